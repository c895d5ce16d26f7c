package rpc

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// httpStatus is where REST has a better word than the code's own.
var httpStatus = map[string]int{
	fault.ReasonName(goodshipv1.ErrorReason_ERROR_REASON_ETAG_MISMATCH):      http.StatusPreconditionFailed,
	fault.ReasonName(goodshipv1.ErrorReason_ERROR_REASON_PREVIEW_CHANGED):    http.StatusPreconditionFailed,
	fault.ReasonName(goodshipv1.ErrorReason_ERROR_REASON_REQUEST_TOO_LARGE):  http.StatusRequestEntityTooLarge,
	fault.ReasonName(goodshipv1.ErrorReason_ERROR_REASON_STORE_FULL):         http.StatusServiceUnavailable,
	fault.ReasonName(goodshipv1.ErrorReason_ERROR_REASON_METHOD_NOT_ALLOWED): http.StatusMethodNotAllowed,
}

// noRoute refuses a request that no method has a place for.
func (g *gateway) noRoute(w http.ResponseWriter, r *http.Request) {
	if _, ok := r.Context().Value(probeKey{}).(*probe); ok {
		return
	}
	allowed := g.allowed(r)
	if len(allowed) == 0 {
		g.writeError(w, r, fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_PATH_NOT_FOUND,
			"No method of the API has this path. Compare it with the API's description."))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	g.writeError(w, r, fault.New(codes.Unimplemented, goodshipv1.ErrorReason_ERROR_REASON_METHOD_NOT_ALLOWED,
		"This path does not take %s but %s.", r.Method, strings.Join(allowed, ", ")))
}

// writeError answers with a google.rpc.Status that has exactly one ErrorInfo, whoever the error comes from.
func (g *gateway) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var wish *runtime.HTTPStatusError
	if errors.As(err, &wish) {
		err = wish.Err
	}
	st := g.asStatus(r.Context(), err)
	body, info, retry := g.forREST(r, st)
	code := runtime.HTTPStatusFromCode(st.Code())
	if better, ok := httpStatus[info.GetReason()]; ok {
		code = better
	}
	if wish != nil {
		code = wish.HTTPStatus
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if code == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if retry != nil {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.GetRetryDelay().AsDuration().Seconds()))))
	}
	w.WriteHeader(code)
	_, _ = w.Write(body) // whom it does not reach has gone
}

// asStatus returns the status of an error. One that did not pass the chain was made by the gateway or its channel and has
// no reason yet.
func (g *gateway) asStatus(ctx context.Context, err error) *status.Status {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f.GRPCStatus()
	}
	switch st := status.Convert(err); st.Code() {
	case codes.Canceled:
		return callEnded(codes.Canceled, "The caller ended the call before it was done").GRPCStatus()
	case codes.DeadlineExceeded:
		return callEnded(codes.DeadlineExceeded, "The deadline passed before the call was done").GRPCStatus()
	case codes.InvalidArgument:
		return malformed("The request cannot be read: %s.", st.Message()).GRPCStatus()
	default:
		return status.Convert(g.links.asFault(ctx, "REST", err))
	}
}

// forREST returns a status as JSON, with violations named as REST names fields, and the details that headers and codes follow.
func (g *gateway) forREST(r *http.Request, st *status.Status) (body []byte, info *errdetails.ErrorInfo, retry *errdetails.RetryInfo) {
	reply := proto.CloneOf(st.Proto())
	for i, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.RetryInfo:
			retry = d
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				v.Field = restPath(g.routeOf(r), v.GetField())
			}
			if a, err := anypb.New(d); err == nil {
				reply.Details[i] = a
			}
		}
	}
	body, err := marshalJSON(reply)
	if err != nil {
		// Only for a detail of a type that is not linked in; the code and the sentence are worth more than nothing.
		g.links.log.ErrorContext(r.Context(), "an error has no JSON", "error", err)
		body, _ = marshalJSON(internal(incidentID()).GRPCStatus().Proto())
	}
	return body, info, retry
}

// restPath turns the path of a field as the proto has it into that of the body: in camelCase, and from the body's own
// top, where the body is one field of the request. Keys of maps, in quotes, stay as they are.
func restPath(r *route, path string) string {
	if r != nil && r.body != nil {
		path = strings.TrimPrefix(path, string(r.body.Name())+".")
	}
	parts := strings.Split(path, `"`)
	for i := 0; i < len(parts); i += 2 {
		parts[i] = camelCase(parts[i])
	}
	return strings.Join(parts, `"`)
}

// camelCase turns names of proto fields into those of JSON.
func camelCase(s string) string {
	var b strings.Builder
	up := false
	for _, c := range s {
		switch {
		case c == '_':
			up = true
			continue
		case up && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		up = false
		b.WriteRune(c)
	}
	return b.String()
}

// snakeCase turns names of JSON fields into those of the proto.
func snakeCase(s string) string {
	var b strings.Builder
	for _, c := range s {
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
