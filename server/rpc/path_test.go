package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
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

// rawCall makes a gRPC call by hand, with a path that no client library would send, and returns its grpc-status; empty if
// the server ended the stream or the connection without one.
func rawCall(t *testing.T, address, path, key string) string {
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
	if err := errors.Join(
		framer.WriteSettings(),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: headerBlock(t, path, key)}),
		framer.WriteData(1, true, grpcMessage(t, &goodshipv1.GetConversationRequest{ConversationId: conv})),
	); err != nil {
		t.Fatal(err)
	}
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
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

func headerBlock(t *testing.T, path, key string) []byte {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "localhost"},
		{Name: ":path", Value: path}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}
	if key != "" {
		fields = append(fields, hpack.HeaderField{Name: "authorization", Value: "Bearer " + key})
	}
	for _, f := range fields {
		if err := encoder.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	return block.Bytes()
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
