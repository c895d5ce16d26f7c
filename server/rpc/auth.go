package rpc

import (
	"context"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// The metadata that says who calls. REST has headers of the same names.
const (
	authorizationKey = "authorization"
	actForKey        = "goodship-act-for"
)

// public returns how the public's callers are known: by the credential alone, and by `goodship-act-for` where that allows
// it.
func public(svc Service) func(context.Context) (support.Caller, error) {
	return func(ctx context.Context) (support.Caller, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		token, err := bearer(md.Get(authorizationKey))
		if err != nil {
			return support.Caller{}, err
		}
		actFor, err := actFor(md.Get(actForKey))
		if err != nil {
			return support.Caller{}, err
		}
		return svc.Authenticate(ctx, token, actFor)
	}
}

// bearer returns the token of the metadata `authorization`. Two values would let two readers see two callers.
func bearer(values []string) (string, error) {
	if len(values) == 0 || (len(values) == 1 && values[0] == "") {
		return "", fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_MISSING,
			"The call carries no credential. Send the metadata, or over REST the header, `authorization: Bearer <API key or token>`.")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "bearer") || token == "" || strings.ContainsAny(token, " ,") {
		return "", fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID,
			"The credential is malformed. Send exactly one `authorization: Bearer <API key or token>`.")
	}
	return token, nil
}

// actFor returns the metadata `goodship-act-for`, empty if it is absent. An empty value is not absent: a backend that
// fills in a name which it does not have must not act as itself instead.
func actFor(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || values[0] == "":
		return "", fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_ACT_FOR_INVALID,
			"`goodship-act-for` is empty or given twice. Send one `customer/<id>` or `agent/<id>`, or leave it out to speak for the backend itself.")
	}
	return values[0], nil
}
