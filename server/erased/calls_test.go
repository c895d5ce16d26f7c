package erased_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// method is a method of goodship.v1.
type method struct {
	desc       protoreflect.MethodDescriptor
	verb, path string
	body       bool
}

func (m method) full() string {
	return fmt.Sprintf("/%s/%s", m.desc.Parent().FullName(), m.desc.Name())
}

// reading returns every method that reads, by name.
func reading() map[string]method {
	all := map[string]method{}
	protoregistry.GlobalFiles.RangeFilesByPackage("goodship.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				d := methods.Get(j)
				options := d.Options().(*descriptorpb.MethodOptions)
				if options.GetIdempotencyLevel() != descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
					continue
				}
				m := method{desc: d}
				if rule, _ := proto.GetExtension(options, annotations.E_Http).(*annotations.HttpRule); rule.GetPost() != "" {
					m.verb, m.path, m.body = http.MethodPost, rule.GetPost(), true
				} else if rule.GetGet() != "" {
					m.verb, m.path = http.MethodGet, rule.GetGet()
				}
				all[string(d.Name())] = m
			}
		}
		return true
	})
	return all
}

// empty returns an empty message of a type, all of which are linked in.
func empty(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}

// requests returns requests of a method: one for each value of each field that names something, with the first value of the others.
func (m method) requests(named map[string][]string) []proto.Message {
	fields := m.desc.Input().Fields()
	base := empty(m.desc.Input())
	var varied []protoreflect.FieldDescriptor
	for i := range fields.Len() {
		f := fields.Get(i)
		switch values := named[string(f.Name())]; {
		case f.Name() == "page_size":
			base.ProtoReflect().Set(f, protoreflect.ValueOfInt32(100))
		case f.Kind() == protoreflect.StringKind && !f.IsList() && len(values) > 0:
			varied = append(varied, f)
		case f.Kind() == protoreflect.Int32Kind && (f.Name() == "number" || f.Name() == "resolution_number"):
			varied = append(varied, f)
		}
	}
	all := []proto.Message{base}
	for _, f := range varied {
		var next []proto.Message
		for _, req := range all {
			if !strings.Contains(m.path, "{"+string(f.Name())+"}") { // it is a filter
				next = append(next, req)
			}
			for _, v := range values(f, named) {
				with := proto.Clone(req)
				with.ProtoReflect().Set(f, v)
				next = append(next, with)
			}
		}
		all = next
	}
	return all
}

func values(f protoreflect.FieldDescriptor, named map[string][]string) []protoreflect.Value {
	var all []protoreflect.Value
	if f.Kind() == protoreflect.Int32Kind {
		for n := range int32(6) {
			all = append(all, protoreflect.ValueOfInt32(n+1))
		}
	}
	for _, s := range named[string(f.Name())] {
		all = append(all, protoreflect.ValueOfString(s))
	}
	return all
}

// overGRPC makes a call and returns all that it told, until last stands in it if the call has no end.
func (h *house) overGRPC(c caller, m method, req proto.Message, last string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(c.by(h.t.Context()), patience)
	defer cancel()
	if !m.desc.IsStreamingServer() {
		reply := empty(m.desc.Output())
		if err := h.at(c).Invoke(ctx, m.full(), req, reply); err != nil {
			return protojson.Format(status.Convert(err).Proto())
		}
		return protojson.Format(reply)
	}
	s, err := h.at(c).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.full())
	if err == nil {
		err = errors.Join(s.SendMsg(req), s.CloseSend())
	}
	var told strings.Builder
	for err == nil && (last == "" || !strings.Contains(told.String(), last)) {
		item := empty(m.desc.Output())
		if err = s.RecvMsg(item); err == nil {
			told.WriteString(protojson.Format(item))
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if ctx.Err() != nil {
			h.t.Errorf("%s as %s: it told no %q in time", m.desc.Name(), c.name, last)
		}
		told.WriteString(protojson.Format(status.Convert(err).Proto()))
	}
	return told.String()
}

var pathField = regexp.MustCompile(`\{([a-z_]+)\}`)

// overREST is overGRPC by HTTP.
func (h *house) overREST(c caller, m method, req proto.Message, last string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	r := m.request(ctx, h.rest, req)
	r.Header.Set("Authorization", "Bearer "+c.token)
	if c.actFor != "" {
		r.Header.Set("Goodship-Act-For", c.actFor)
	}
	resp, err := h.http.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var told strings.Builder
	for lines := bufio.NewReader(resp.Body); err == nil && (last == "" || !strings.Contains(told.String(), last)); {
		var line string
		line, err = lines.ReadString('\n')
		told.WriteString(line)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		h.t.Errorf("%s as %s over REST: %v", m.desc.Name(), c.name, err)
	}
	return told.String()
}

// request writes a request as REST has it.
func (m method) request(ctx context.Context, base string, req proto.Message) *http.Request {
	fields := map[string]any{}
	text, err := protojson.Marshal(req)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic(err)
	}
	path := pathField.ReplaceAllStringFunc(m.path, func(v string) string {
		key := m.desc.Input().Fields().ByName(protoreflect.Name(strings.Trim(v, "{}"))).JSONName()
		value := fmt.Sprint(fields[key])
		delete(fields, key)
		return url.PathEscape(value)
	})
	var body []byte
	query := url.Values{}
	if m.body {
		if body, err = json.Marshal(fields); err != nil {
			panic(err)
		}
	} else {
		for key, value := range fields {
			query.Set(key, fmt.Sprint(value))
		}
	}
	r, err := http.NewRequestWithContext(ctx, m.verb, base+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	if m.body {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// do makes a call that must succeed, under a request id if it takes one.
func do[Reply proto.Message](h *house, c caller, req proto.Message) Reply {
	h.t.Helper()
	name := strings.TrimSuffix(string(req.ProtoReflect().Descriptor().Name()), "Request")
	var full string
	var reply proto.Message
	protoregistry.GlobalFiles.RangeFilesByPackage("goodship.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if d := f.Services().Get(i).Methods().ByName(protoreflect.Name(name)); d != nil {
				full, reply = method{desc: d}.full(), empty(d.Output())
			}
		}
		return true
	})
	h.remember(c, req)
	ctx, cancel := context.WithTimeout(c.by(h.t.Context()), patience)
	defer cancel()
	if err := h.at(c).Invoke(ctx, full, req, reply); err != nil {
		h.t.Fatalf("%s as %s: %v", name, c.name, err)
	}
	return reply.(Reply)
}

// remember gives a request a request id, if it takes one and has none, and notes it.
func (h *house) remember(c caller, req proto.Message) {
	m := req.ProtoReflect()
	field := m.Descriptor().Fields().ByName("request_id")
	if field == nil {
		return
	}
	if !m.Has(field) {
		m.Set(field, protoreflect.ValueOfString(fmt.Sprint("call ", len(h.made))))
	}
	bare := proto.Clone(req)
	bare.ProtoReflect().Clear(field)
	h.made = append(h.made, request{by: c, id: m.Get(field).String(), body: bare})
}

// until returns when something holds.
func (h *house) until(what string, holds func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: it never came", what)
		}
	}
}
