package rpc

import (
	"slices"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc/codes"
)

// mayCall returns nil if the contract lets the caller make a call. It denies by default: a method that is unknown (nil), or
// that lists nobody, is refused to everyone, and so is a caller of no kind.
func mayCall(m *method, fullMethod string, caller support.Caller) error {
	var access *goodshipv1.Access
	if m != nil {
		access = m.access
	}
	if caller.Kind == goodshipv1.Caller_CALLER_UNSPECIFIED || !slices.Contains(access.GetCallers(), caller.Kind) {
		return callerNotAllowed(fullMethod, caller.Kind, access.GetCallers())
	}
	if caller.Kind == goodshipv1.Caller_CALLER_OPERATOR && caller.Workspace == "" && !m.noWorkspace {
		return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_ACT_FOR_INVALID,
			"%s is about a workspace and names none. Send `goodship-act-for: workspace/<id>`.", methodName(fullMethod))
	}
	// A scope is a right of a key that speaks for its own backend; agents and customers have the rights of their kind.
	scope := access.GetScope()
	if scope == goodshipv1.Scope_SCOPE_UNSPECIFIED || caller.Kind != goodshipv1.Caller_CALLER_BACKEND || slices.Contains(caller.Scopes, scope) {
		return nil
	}
	needed := strings.TrimPrefix(scope.String(), "SCOPE_")
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_SCOPE_MISSING,
		"%s needs a key with the scope %s, which this key lacks. Use one that has it, or make one with CreateApiKey.", methodName(fullMethod), needed).
		With("scope", needed)
}

// callerNotAllowed names callers as reasons are named, without the prefix of their enum.
func callerNotAllowed(fullMethod string, kind goodshipv1.Caller, allowed []goodshipv1.Caller) error {
	name := func(c goodshipv1.Caller) string { return strings.TrimPrefix(c.String(), "CALLER_") }
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = name(a)
	}
	who := "nobody"
	if len(names) > 0 {
		who = strings.ToLower(strings.Join(names, ", "))
	}
	return fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED,
		"A caller of the kind %s may not call %s. Who may: %s. A key with the scope ACT acts for others by `goodship-act-for`.",
		strings.ToLower(name(kind)), methodName(fullMethod), who).
		With("caller", name(kind)).
		With("allowed", strings.Join(names, ","))
}

// methodName is a method's name without its service.
func methodName(fullMethod string) string {
	return fullMethod[strings.LastIndexByte(fullMethod, '/')+1:]
}
