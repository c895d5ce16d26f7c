package rpc

import (
	"context"
	"net/http"
	"regexp"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/rs/cors"
	"google.golang.org/grpc/codes"
)

// preflightAge is how long a browser need not ask again.
const preflightAge = 10 * time.Minute

// withCORS lets the web pages of allowed origins call REST and read what it answers, errors too. A preflight has no
// credential and so no workspace: it is granted to an origin that any workspace allows, and the call itself is held to its
// own (checkOrigin). No reply is for every origin, and none allows cookies: there are none.
func withCORS(svc Service, next http.Handler) http.Handler {
	return cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, _ string) (bool, []string) {
			// An error is no permission; the call that follows hears of it.
			ok, err := allowsOrigin(r.Context(), svc, "", r.Header.Values(originKey))
			return ok && err == nil, nil
		},
		AllowedMethods: []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete},
		// Not Goodship-Act-For: that is for API keys, and no page should hold one.
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID", "Traceparent", "Tracestate"},
		ExposedHeaders: []string{"ETag", "Retry-After"},
		MaxAge:         int(preflightAge.Seconds()),
	}).Handler(next)
}

// checkOrigin returns nil if a call comes from no web page, or from one whose origin its workspace allows.
func checkOrigin(ctx context.Context, svc Service, workspace string, origins []string) error {
	if len(origins) == 0 {
		return nil
	}
	if ok, err := allowsOrigin(ctx, svc, workspace, origins); ok || err != nil {
		return err
	}
	f := fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_ORIGIN_NOT_ALLOWED,
		"The workspace does not allow calls by web pages of this origin. Add it to the workspace's allowed_origins.")
	if len(origins) == 1 && isOrigin(origins[0]) {
		f = f.With("origin", origins[0])
	}
	return f
}

// allowsOrigin reports whether a workspace, or any if it is empty, allows the one origin that a request names. None allows
// `null`, which any sandboxed page of anybody's is.
func allowsOrigin(ctx context.Context, svc Service, workspace string, origins []string) (bool, error) {
	if len(origins) != 1 || origins[0] == "null" {
		return false, nil
	}
	return svc.AllowsOrigin(ctx, workspace, origins[0])
}

// originForm is what browsers send as `Origin`, but for `null`. What is not of this form is not sent back.
var originForm = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[A-Za-z0-9._:\[\]-]+$`)

const maxOriginBytes = 280

func isOrigin(s string) bool { return len(s) <= maxOriginBytes && originForm.MatchString(s) }
