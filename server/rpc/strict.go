package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// strict holds a request against its method before the generated handler sees it, which would let pass, or say in words
// only, what is refused here. It decodes a body a second time; beside what a write costs to keep, that is nothing.
func (g *gateway) strict(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		// A colon stands before a verb, and in no id: the mux took `conv_…:claim` for an id for want of a verb.
		misplaced := slices.ContainsFunc(slices.Collect(maps.Values(path)), func(v string) bool { return strings.Contains(v, ":") })
		if p, ok := r.Context().Value(probeKey{}).(*probe); ok {
			p.found = !misplaced
			return
		}
		if misplaced {
			g.noRoute(w, r)
			return
		}
		if err := g.check(r, path); err != nil {
			g.writeError(w, r, err)
			return
		}
		next(w, r, path)
	}
}

func (g *gateway) check(r *http.Request, path map[string]string) error {
	route := g.routeOf(r)
	if route == nil {
		return fmt.Errorf("the gateway serves %s %s, which the contract lacks", r.Method, r.URL.Path)
	}
	if err := checkHeaders(r.Header); err != nil {
		return err
	}
	if err := route.checkPath(path); err != nil {
		return err
	}
	query, err := route.checkQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	body, err := g.readBody(r)
	if err != nil {
		return err
	}
	if err := route.checkBody(r.Header, body, path); err != nil {
		return err
	}
	if err := route.addMask(query, body); err != nil {
		return err
	}
	r.URL.RawQuery = query.Encode()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// malformed returns the fault of a request that cannot be read.
func malformed(format string, args ...any) *fault.Fault {
	return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_MALFORMED_REQUEST, format, args...)
}

// checkHeaders refuses what the gateway would drop without a word because metadata cannot carry it. Who sends a header
// relies on it.
func checkHeaders(h http.Header) error {
	unprintable := func(v string) bool {
		return strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c > '~' })
	}
	for _, name := range []string{authorizationKey, actForKey, idempotencyKey, ifMatchKey, lastEventIDKey} {
		if slices.ContainsFunc(h.Values(name), unprintable) {
			return malformed("The header %s holds what is not printable ASCII. Send it as the contract says.", http.CanonicalHeaderKey(name))
		}
	}
	return nil
}

// checkPath refuses values of the wrong type, and the many ways to write a number that are not the one we write.
func (r *route) checkPath(path map[string]string) error {
	for name, f := range r.inPath {
		if f.Kind() != protoreflect.Int32Kind {
			continue
		}
		if n, err := strconv.ParseInt(path[name], 10, 32); err != nil || strconv.FormatInt(n, 10) != path[name] {
			return fault.Field(name, "in the path must be a number, as in `/1`")
		}
	}
	return nil
}

// checkQuery refuses parameters that the request does not have, and returns the query with masks as the proto has them.
func (r *route) checkQuery(raw string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	// What a gRPC client cannot send, since its library refuses it, must not come in here.
	if text, e := url.QueryUnescape(raw); err != nil || e != nil || !utf8.ValidString(text) {
		return nil, malformed("The query of the URL cannot be read. Encode its parameters as in `?page_size=10&page_token=abc`.")
	}
	request := r.method.input.New().Interface()
	seen := map[protoreflect.FieldNumber]bool{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		f := r.queryField(key)
		if f == nil {
			return nil, unknown(key)
		}
		if seen[f.Number()] || (len(values[key]) > 1 && !f.IsList()) {
			return nil, fault.Field(string(f.Name()), "is given more than once in the query")
		}
		seen[f.Number()] = true
		if isMask(f) {
			values.Set(key, snakeCase(values.Get(key)))
		}
		if err := runtime.PopulateQueryParameters(request, url.Values{key: values[key]}, utilities.NewDoubleArray(nil)); err != nil {
			return nil, fault.Field(string(f.Name()), "in the query must be %s", kindInWords(f))
		}
	}
	return values, nil
}

// queryField returns the field that a query parameter names, by its proto or its JSON name, or nil. What the path and the
// body hold cannot be given there.
func (r *route) queryField(key string) protoreflect.FieldDescriptor {
	f := fieldNamed(r.method.input.Descriptor(), key)
	if f == nil || r.wholeBody || f == r.body || r.inPath[string(f.Name())] != nil {
		return nil
	}
	return f
}

// fieldNamed returns a field by its JSON or its proto name, as protojson takes both; or nil.
func fieldNamed(d protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	if f := d.Fields().ByJSONName(key); f != nil {
		return f
	}
	return d.Fields().ByTextName(key)
}

func isMask(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && f.Message().FullName() == "google.protobuf.FieldMask"
}

// addMask says what a body changes, by the fields at its top, if the caller does not. The gateway would name the fields
// below them, so that a whole that is sent would be merged with the one that is there. A body that says nothing is refused.
func (r *route) addMask(query url.Values, body []byte) error {
	f := r.method.input.Descriptor().Fields().ByName("update_mask")
	if f == nil || r.body == nil || query.Has(string(f.Name())) || query.Has(f.JSONName()) {
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return nil //nolint:nilerr // the gateway says what is wrong with it
	}
	if len(object) == 0 {
		return fault.Field("update_mask", "must name at least one field. Send the fields to change in the body")
	}
	var paths []string
	for key := range object {
		paths = append(paths, string(fieldNamed(r.body.Message(), key).Name()))
	}
	slices.Sort(paths)
	query.Set(string(f.Name()), strings.Join(paths, ","))
	return nil
}

func kindInWords(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.EnumKind:
		names := make([]string, f.Enum().Values().Len())
		for i := range names {
			names[i] = string(f.Enum().Values().Get(i).Name())
		}
		return "one of " + strings.Join(names, ", ")
	case protoreflect.MessageKind:
		return "a " + string(f.Message().Name()) + " in the form that JSON has for it"
	default:
		return "a number of the type " + f.Kind().String()
	}
}

// readBody reads all of the body, as far as the limit goes.
func (g *gateway) readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &large):
		return nil, fault.New(codes.ResourceExhausted, goodshipv1.ErrorReason_ERROR_REASON_REQUEST_TOO_LARGE,
			"The body is larger than %d bytes. Send less at once.", large.Limit).
			With("limit_bytes", strconv.FormatInt(large.Limit, 10))
	case r.Context().Err() != nil:
		return nil, ended(r.Context())
	default:
		return nil, malformed("The body ended before it was whole, or took too long. Send it again.")
	}
}

// checkBody refuses a body that is not JSON of what the method takes, or that disagrees with the path.
func (r *route) checkBody(h http.Header, body []byte, path map[string]string) error {
	if len(bytes.TrimSpace(body)) == 0 {
		if r.body != nil { // the gateway would take it for `{}`, and a PUT would clear what is known
			return fault.Field(string(r.body.Name()), "must stand in the body. Send at least `{}`")
		}
		return nil
	}
	if !r.wholeBody && r.body == nil {
		return malformed("%s takes no body. Give its arguments in the path and the query of the URL.", r.method.name)
	}
	// Only a type that a browser does not send across origins unasked.
	if t, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || t != "application/json" || h.Get("Content-Encoding") != "" {
		return &runtime.HTTPStatusError{HTTPStatus: http.StatusUnsupportedMediaType, Err: malformed(
			"The body must be plain JSON and say so. Send the header `Content-Type: application/json`.")}
	}
	m := r.method.input.New()
	if !r.wholeBody {
		m = m.NewField(r.body).Message()
	}
	if err := protojson.Unmarshal(body, m.Interface()); err != nil {
		return explain(body, m.Descriptor(), err)
	}
	if !r.wholeBody {
		return nil
	}
	for name, f := range r.inPath {
		if m.Has(f) && m.Get(f).String() != path[name] {
			return fault.Field(name, "in the body differs from that in the path. Leave it out of the body")
		}
	}
	return nil
}

// explain returns why JSON is not a message: a field or a name of an enum value that the contract does not have, or that
// it cannot be read. protojson says so in words only.
func explain(body []byte, d protoreflect.MessageDescriptor, err error) error {
	var v any
	if json.Unmarshal(body, &v) == nil {
		if f := unfit(v, d, ""); f != nil {
			return f
		}
	}
	// Its words begin with its name and one of two kinds of space, and may quote all of the body.
	words := short(strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0"))
	return malformed("The body is not the JSON that the method takes: %s.", words)
}

// unfit returns the fault of the first key of a JSON value that names no field of its message, or string that names no
// value of its enum.
func unfit(v any, d protoreflect.MessageDescriptor, path string) *fault.Fault {
	object, ok := v.(map[string]any)
	if !ok || d.FullName().Parent() == "google.protobuf" {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		f := fieldNamed(d, key)
		if f == nil {
			return unknown(join(path, key))
		}
		if found := unfitField(object[key], f, join(path, string(f.Name()))); found != nil {
			return found
		}
	}
	return nil
}

func unfitField(v any, f protoreflect.FieldDescriptor, path string) *fault.Fault {
	if list, ok := v.([]any); ok && f.IsList() {
		for i, v := range list {
			if found := unfitValue(v, f, fmt.Sprintf("%s[%d]", path, i)); found != nil {
				return found
			}
		}
		return nil
	}
	return unfitValue(v, f, path)
}

func unfitValue(v any, f protoreflect.FieldDescriptor, path string) *fault.Fault {
	switch {
	case f.Message() != nil && !f.IsMap():
		return unfit(v, f.Message(), path)
	case f.Enum() != nil:
		if name, ok := v.(string); ok && f.Enum().Values().ByName(protoreflect.Name(name)) == nil {
			return fault.Field(short(path), "must be %s", kindInWords(f))
		}
	}
	return nil
}
