package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// CVE-2026-33186: a `:path` without its slash was routed to the method, while a check by path did not know it. No spelling
// of a path but the right one may reach a method, whoever asks.
func TestOnlyTheRightPathReachesAMethod(t *testing.T) {
	var reached atomic.Int32
	svc := &fake{get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		reached.Add(1)
		return &goodshipv1.Conversation{Id: conv}, nil
	}}
	to := serve(t, svc, rpc.Config{})
	right := getMethod
	for _, c := range []struct {
		path   string
		key    string
		status string
		runs   bool
	}{
		{right, to.key, "0", true},
		{right, "", "16", false},
		{strings.TrimPrefix(right, "/"), to.key, "12", false},
		{strings.TrimPrefix(right, "/"), "", "12", false},
		{"/" + right, to.key, "12", false},
		{right + "/", to.key, "12", false},
		{right + "?", to.key, "12", false},
		{strings.ToLower(right), to.key, "12", false},
		{strings.Replace(right, "/", "//", 1), to.key, "12", false},
		{"/grpc.health.v1.Health/.." + right, "", "12", false},
		{"/grpc.health.v1.Health" + right, "", "12", false},
		{"GetConversation", to.key, "12", false},
		{"", to.key, "12", false},
	} {
		t.Run(c.path, func(t *testing.T) {
			before := reached.Load()
			status := rawCall(t, to.conn.Target(), c.path, c.key)
			if status != c.status {
				t.Errorf("grpc-status %q, want %q", status, c.status)
			}
			if ran := reached.Load() != before; ran != c.runs {
				t.Errorf("the method ran: %v", ran)
			}
		})
	}
}

// On the admin listener net/http takes paths apart before gRPC does. However a path is spelled, it leads past nobody who
// asks for the key.
func TestNoSpellingLeadsPastTheOperatorsKey(t *testing.T) {
	var reached atomic.Int32
	to := serve(t, &fake{check: func() { reached.Add(1) }}, rpc.Config{})
	admin, right := strings.TrimPrefix(to.admin, "http://"), checkMethod
	if status := rawFields(t, admin, callFields(right, operatorKey), &goodshipv1.CheckStoreRequest{}); status != "0" || reached.Load() != 1 {
		t.Fatalf("with the key: grpc-status %q", status)
	}
	for _, path := range []string{
		right, strings.TrimPrefix(right, "/"), "/" + right, right + "/", right + "?", right + "?key=" + operatorKey, right + "#x",
		strings.ToLower(right), strings.Replace(right, "/Check", "%2FCheck", 1), strings.Replace(right, "/Check", "%2fCheck", 1),
		"/./" + right[1:], "/grpc.health.v1.Health/.." + right, "/grpc.health.v1.Health/%2e%2e" + right, "/healthz/.." + right,
		"http://localhost" + right, "*", "",
	} {
		if status := rawFields(t, admin, callFields(path, ""), &goodshipv1.CheckStoreRequest{}); status == "0" || reached.Load() != 1 {
			t.Errorf("%q: grpc-status %q, and the method ran %d times", path, status, reached.Load()-1)
		}
	}
}

// Requests that HTTP/2 does not know reach no method, even with a credential that would do.
func TestMalformedHeadersReachNoMethod(t *testing.T) {
	var reached atomic.Int32
	svc := &fake{check: func() { reached.Add(1) }, get: func(context.Context, *goodshipv1.GetConversationRequest) (*goodshipv1.Conversation, error) {
		reached.Add(1)
		return &goodshipv1.Conversation{}, nil
	}}
	to := serve(t, svc, rpc.Config{})
	doors := map[string]struct {
		address, path, key string
		request            proto.Message
	}{
		"public": {to.conn.Target(), getMethod, to.key, &goodshipv1.GetConversationRequest{ConversationId: conv}},
		"admin":  {strings.TrimPrefix(to.admin, "http://"), checkMethod, operatorKey, &goodshipv1.CheckStoreRequest{}},
	}
	type fields = []hpack.HeaderField
	without := func(name string) func(fields) fields {
		return func(f fields) fields {
			return slices.DeleteFunc(f, func(h hpack.HeaderField) bool { return h.Name == name })
		}
	}
	with := func(name, value string) func(fields) fields {
		return func(f fields) fields { return append(f, hpack.HeaderField{Name: name, Value: value}) }
	}
	for door, c := range doors {
		for name, spoil := range map[string]func(fields) fields{
			"no path":         without(":path"),
			"no method":       without(":method"),
			"no content type": without("content-type"),
			"GET": func(f fields) fields {
				return append(fields{{Name: ":method", Value: "GET"}}, without(":method")(f)...)
			},
			"a path at the end":  func(f fields) fields { return with(":path", c.path)(without(":path")(f)) },
			"two paths":          func(f fields) fields { return append(fields{{Name: ":path", Value: "/healthz"}}, f...) },
			"two methods":        func(f fields) fields { return append(fields{{Name: ":method", Value: "GET"}}, f...) },
			"an unknown pseudo":  func(f fields) fields { return append(fields{{Name: ":user", Value: "operator"}}, f...) },
			"a name in capitals": with("Authorization", "Bearer "+c.key),
			"connection":         with("connection", "close"),
			"too many headers":   with("x-much", strings.Repeat("x", 64<<10)),
			"a line break":       with("x-line", "a\r\nauthorization: Bearer b"),
			"another type":       func(f fields) fields { return with("content-type", "application/json")(without("content-type")(f)) },
		} {
			t.Run(door+": "+name, func(t *testing.T) {
				if status := rawFields(t, c.address, spoil(callFields(c.path, c.key)), c.request); status == "0" || reached.Load() != 0 {
					t.Errorf("grpc-status %q, and the method ran %d times", status, reached.Swap(0))
				}
			})
		}
		if status := rawFields(t, c.address, callFields(c.path, c.key), c.request); status != "0" || reached.Swap(0) != 1 {
			t.Errorf("%s: the call as it should be: grpc-status %q", door, status)
		}
	}
}

// rawCall makes a gRPC call by hand, with a path that no client library would send, and returns its grpc-status; empty if
// the server ended the stream or the connection without one.
func rawCall(t *testing.T, address, path, key string) string {
	t.Helper()
	return rawFields(t, address, callFields(path, key), &goodshipv1.GetConversationRequest{ConversationId: conv})
}

// callFields are the headers of a call.
func callFields(path, key string) []hpack.HeaderField {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "localhost"},
		{Name: ":path", Value: path}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}
	if key != "" {
		fields = append(fields, hpack.HeaderField{Name: "authorization", Value: "Bearer " + key})
	}
	return fields
}

// rawFields makes a call with any headers.
func rawFields(t *testing.T, address string, fields []hpack.HeaderField, req proto.Message) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	writeHeaders(t, framer, fields)
	// The server may have hung up on the headers already.
	_ = framer.WriteData(1, true, grpcMessage(t, req))
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return ""
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, h := range f.Fields {
				if h.Name == "grpc-status" {
					return h.Value
				}
			}
			if f.StreamEnded() {
				return ""
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				return ""
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

// writeHeaders sends headers, in as many frames as they take.
func writeHeaders(t *testing.T, framer *http2.Framer, fields []hpack.HeaderField) {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		if err := encoder.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	first := block.Next(16 << 10)
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: block.Len() == 0, BlockFragment: first}); err != nil {
		t.Fatal(err)
	}
	for block.Len() > 0 {
		next := block.Next(16 << 10)
		if err := framer.WriteContinuation(1, block.Len() == 0, next); err != nil {
			return // the server heard enough
		}
	}
}

// grpcMessage frames a message as gRPC does: a byte that says "not compressed", and the length.
func grpcMessage(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b)))
	return append(head, b...)
}
