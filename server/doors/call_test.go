package doors_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// method is a method of goodship.v1, as its descriptor tells of it.
type method struct {
	name, service string
	desc          protoreflect.MethodDescriptor
	// verb and path are its place in REST; empty if it has none. body is `*`, a field, or empty.
	verb, path, body string
}

// full is the method's name on the wire.
func (m method) full() string { return "/goodship.v1." + m.service + "/" + m.name }

// isWatch reports whether it tells of what happens, without end.
func (m method) isWatch() bool { return m.desc.Output().Name() == "WatchUpdate" }

// isEvents reports whether REST answers with server-sent events.
func (m method) isEvents() bool { return m.desc.IsStreamingServer() && m.path != "" }

// methods are all methods of the contract, by their names, which are unique.
var methods = sync.OnceValue(func() map[string]method {
	all := map[string]method{}
	protoregistry.GlobalFiles.RangeFilesByPackage("goodship.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				d := s.Methods().Get(j)
				m := method{name: string(d.Name()), service: string(s.Name()), desc: d}
				m.verb, m.path, m.body = place(d)
				all[m.name] = m
			}
		}
		return true
	})
	return all
})

func place(d protoreflect.MethodDescriptor) (verb, path, body string) {
	rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	for verb, path := range map[string]string{
		"GET": rule.GetGet(), "PUT": rule.GetPut(), "POST": rule.GetPost(), "PATCH": rule.GetPatch(), "DELETE": rule.GetDelete(),
	} {
		if path != "" {
			return verb, path, rule.GetBody()
		}
	}
	return "", "", ""
}

// named returns the method of a request.
func named(req proto.Message) method {
	return methods()[strings.TrimSuffix(string(req.ProtoReflect().Descriptor().Name()), "Request")]
}

// message returns an empty message of a type of goodship.v1, all of which are linked in.
func message(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}

// credential is what a call carries to say who makes it; the zero value is nothing.
type credential struct{ token, actFor string }

// answer is what a call got: a reply, or a status that is not OK.
type answer struct {
	reply  proto.Message
	status *statusv1.Status
	// reason is the status's, or what is wrong with how the status says it.
	reason string
}

// String tells an answer in words: `OK`, or code and reason as in `NotFound CONVERSATION_NOT_FOUND`.
func (a answer) String() string {
	if a.status == nil {
		return "OK"
	}
	return strings.TrimSpace(codes.Code(uint32(a.status.GetCode())).String() + " " + a.reason)
}

// text is all that the caller was told, to look for words in, and to compare: where to watch on from is sealed anew each time.
func (a answer) text() string {
	m := proto.Message(a.status)
	if a.status == nil {
		m = withoutCursor(a.reply)
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// withoutCursor returns a message without its watch_cursor.
func withoutCursor(m proto.Message) proto.Message {
	m = proto.Clone(m)
	if f := m.ProtoReflect().Descriptor().Fields().ByName("watch_cursor"); f != nil {
		m.ProtoReflect().Clear(f)
	}
	return m
}

// refused returns the answer that a status is.
func refused(s *statusv1.Status) answer {
	a := answer{status: s}
	infos := 0
	for _, d := range s.GetDetails() {
		info := &errdetails.ErrorInfo{}
		if d.MessageIs(info) && d.UnmarshalTo(info) == nil {
			infos++
			a.reason = info.GetReason()
		}
	}
	if infos > 1 {
		a.reason = fmt.Sprintf("%d reasons", infos)
	}
	return a
}

// overGRPC makes a call on a connection, of a stream too: its reply is then the last message, of a watch the first. A stream of
// requests is the one twice.
func overGRPC(ctx context.Context, conn grpc.ClientConnInterface, c credential, req proto.Message) answer {
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	if c.actFor != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "goodship-act-for", c.actFor)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := named(req)
	reply := message(m.desc.Output())
	var err error
	switch {
	case m.desc.IsStreamingServer():
		err = drain(ctx, conn, m, req, reply)
	case m.desc.IsStreamingClient():
		err = feed(ctx, conn, m, req, reply)
	default:
		err = conn.Invoke(ctx, m.full(), req, reply)
	}
	if err != nil {
		return refused(status.Convert(err).Proto())
	}
	return answer{reply: reply}
}

// drain reads a stream to its end, a watch until it is open.
func drain(ctx context.Context, conn grpc.ClientConnInterface, m method, req, reply proto.Message) error {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.full())
	if err != nil {
		return err
	}
	if err := s.SendMsg(req); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for {
		if err := s.RecvMsg(reply); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if m.isWatch() {
			return nil
		}
	}
}

// feed sends a request twice, and reads the reply.
func feed(ctx context.Context, conn grpc.ClientConnInterface, m method, req, reply proto.Message) error {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, m.full())
	if err != nil {
		return err
	}
	for range 2 {
		if err := s.SendMsg(req); err != nil && !errors.Is(err, io.EOF) { // EOF: why, is received
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return s.RecvMsg(reply)
}

// overREST makes a call at an address, as in `http://127.0.0.1:8080`. Headers are names and values in turn.
func overREST(ctx context.Context, client *http.Client, base string, c credential, req proto.Message, headers ...string) (answer, error) {
	r, err := restRequest(ctx, base, req)
	if err != nil {
		return answer{}, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.actFor != "" {
		r.Header.Set("Goodship-Act-For", c.actFor)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK && named(req).isEvents() {
		return lastEvent(named(req), &events{body: bufio.NewReader(resp.Body)})
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode == http.StatusOK {
		reply := message(named(req).desc.Output())
		return answer{reply: reply}, protojson.Unmarshal(body, reply)
	}
	s := &statusv1.Status{}
	if err := protojson.Unmarshal(body, s); err != nil {
		return answer{}, fmt.Errorf("HTTP %d %s: %w", resp.StatusCode, body, err)
	}
	return refused(s), nil
}

// lastEvent reads a stream of events to its end, a watch until it is open, and returns what came last.
func lastEvent(m method, e *events) (answer, error) {
	for last := (answer{}); ; {
		reply := message(m.desc.Output())
		err := e.read(reply)
		switch {
		case errors.Is(err, io.EOF) && last.reply != nil:
			return last, nil
		case status.Code(err) != codes.Unknown && err != nil:
			return refused(status.Convert(err).Proto()), nil
		case err != nil || m.isWatch():
			return answer{reply: reply}, err
		}
		last = answer{reply: reply}
	}
}

var pathField = regexp.MustCompile(`\{([a-z_]+)\}`)

// restRequest writes a request as REST has it.
func restRequest(ctx context.Context, base string, req proto.Message) (*http.Request, error) {
	m := named(req)
	fields, err := jsonFields(req)
	if err != nil {
		return nil, err
	}
	byName := func(name string) string {
		return req.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name)).JSONName()
	}
	path := pathField.ReplaceAllStringFunc(m.path, func(v string) string {
		key := byName(strings.Trim(v, "{}"))
		value := fields[key]
		delete(fields, key)
		return url.PathEscape(plain(value))
	})
	var body []byte
	switch m.body {
	case "":
	case "*":
		if body, err = json.Marshal(fields); err != nil {
			return nil, err
		}
		fields = nil
	default:
		key := byName(m.body)
		body = fields[key]
		delete(fields, key)
	}
	query := url.Values{}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		query.Set(key, plain(fields[key]))
	}
	r, err := http.NewRequestWithContext(ctx, m.verb, base+path+"?"+query.Encode(), bytes.NewReader(body))
	if err == nil && len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, err
}

// jsonFields returns the fields of a message that are set, as JSON.
func jsonFields(m proto.Message) (map[string]json.RawMessage, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	return fields, json.Unmarshal(b, &fields)
}

// plain is a JSON value as a path or a query has it.
func plain(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// kindName is a kind of callers as errors have it.
func kindName(c goodshipv1.Caller) string { return strings.TrimPrefix(c.String(), "CALLER_") }
