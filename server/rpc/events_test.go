package rpc_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const watchPath = "/v1/conversations/" + conv + ":watch"

// typing is the frame of a signal, which has no place among events.
func typing() *support.Frame {
	return support.NewFrame(&goodshipv1.WatchUpdate{ConversationId: conv, Update: &goodshipv1.WatchUpdate_Signal{Signal: &goodshipv1.Signal{
		Kind: goodshipv1.SignalKind_SIGNAL_KIND_TYPING, ExpireTime: timestamppb.New(time.Unix(1_700_000_000, 0)),
	}}})
}

// said is the frame of an event that holds a text.
func said(cursor, text string) *support.Frame {
	return support.NewFrame(&goodshipv1.WatchUpdate{Cursor: cursor, ConversationId: conv, Update: &goodshipv1.WatchUpdate_Event{Event: &goodshipv1.Event{
		Kind: &goodshipv1.Event_MessageSent{MessageSent: &goodshipv1.MessageSent{Message: &goodshipv1.Message{Number: 1, Text: text}}},
	}}})
}

// errStopping is how a watch ends when the server stops.
func errStopping() error {
	return fault.New(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_SERVER_STOPPING, "The server is stopping.").With("cursor", "c1")
}

// The stream is the text/event-stream of the standard, whatever the reader accepts: byte for byte.
func TestAWatchIsAStreamOfServerSentEvents(t *testing.T) {
	svc := &fake{watch: func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
		for _, f := range []*support.Frame{progress("c1"), said("c2", "Ahoy\r\ndata: <&>\u2028"), typing()} {
			if err := out.SendMsg(f); err != nil {
				return err
			}
		}
		return errStopping()
	}}
	to := serve(t, svc, rpc.Config{})
	const updates = "retry: 1000\n\n" +
		"id: c1\ndata: {\"cursor\":\"c1\",\"progress\":{}}\n\n" +
		"id: c2\ndata: {\"cursor\":\"c2\",\"conversationId\":\"" + conv + "\",\"event\":{\"messageSent\":{\"message\":{\"number\":1,\"text\":\"Ahoy\\r\\ndata: <&>\u2028\"}}}}\n\n" +
		"data: {\"conversationId\":\"" + conv + "\",\"signal\":{\"kind\":\"SIGNAL_KIND_TYPING\",\"expireTime\":\"2023-11-14T22:13:20Z\"}}\n\n"
	for _, accept := range []string{"text/event-stream", "*/*", "application/json", ""} {
		resp, body := rest(t, to, "GET", watchPath, "", "Accept", accept)
		got, _, _ := strings.Cut(body, "event: error\n")
		if resp.StatusCode != http.StatusOK || got != updates {
			t.Errorf("Accept %q: HTTP %d %q, want %q", accept, resp.StatusCode, body, updates)
		}
		if info, _ := detailsOf(t, endOf(t, body)); info.GetReason() != "SERVER_STOPPING" || info.GetMetadata()["cursor"] != "c1" {
			t.Errorf("the end: %q", body)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	svc.watch = nil
	if resp, body := rest(t, to, "GET", watchPath, ""); resp.StatusCode != http.StatusOK || strings.Contains(body, "event:") {
		t.Errorf("a segment that ends well: HTTP %d %q", resp.StatusCode, body)
	}
}

// endOf returns what an event of the name `error` at the end of a stream says.
func endOf(t *testing.T, stream string) *status.Status {
	t.Helper()
	_, last, found := strings.Cut(stream, "event: error\ndata: ")
	text, whole := strings.CutSuffix(last, "\n\n")
	if !found || !whole {
		t.Fatalf("the stream has no error at its end: %q", stream)
	}
	return readStatus(t, []byte(text+"\n"))
}

// Where a reader goes on: the header that browsers send by themselves is newer than the URL that they keep.
func TestWhereAStreamBegins(t *testing.T) {
	var got proto.Message
	svc := &fake{
		watch: func(r *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
			got = r
			return out.SendMsg(progress("c1"))
		},
		desk: func(r *goodshipv1.WatchDeskRequest, out grpc.ServerStream) error {
			got = r
			return out.SendMsg(progress("c1"))
		},
	}
	to := serve(t, svc, rpc.Config{})
	of := func(cursor string) proto.Message {
		return &goodshipv1.WatchConversationRequest{ConversationId: conv, Cursor: cursor}
	}
	const last = "Last-Event-ID"
	for _, c := range []struct {
		name, path string
		header     []string
		want       proto.Message
		http       int
		reason     string
	}{
		{"from now on", watchPath, nil, of(""), 200, ""},
		{"the query", watchPath + "?cursor=c1", nil, of("c1"), 200, ""},
		{"the header", watchPath, []string{last, "c2"}, of("c2"), 200, ""},
		{"both", watchPath + "?cursor=c1", []string{last, "c2"}, of("c2"), 200, ""},
		{"an empty header", watchPath + "?cursor=c1", []string{last, ""}, of("c1"), 200, ""},
		{"all of a customer's", "/v1/conversations/-:watch?cursor=c1", []string{"Goodship-Act-For", "customer/ada"},
			&goodshipv1.WatchConversationRequest{ConversationId: "-", Cursor: "c1"}, 200, ""},
		{"a desk", "/v1/desk:watch?state=STATE_WAITING&ownerId=kim&cursor=c1", []string{last, "c2"},
			&goodshipv1.WatchDeskRequest{Cursor: "c2", State: goodshipv1.State_STATE_WAITING, OwnerId: "kim"}, 200, ""},
		{"a desk of what nobody owns", "/v1/desk:watch?unowned=true", nil, &goodshipv1.WatchDeskRequest{Unowned: true}, 200, ""},

		{"two headers", watchPath, []string{last, "c1", last, "c2"}, nil, 400, "MALFORMED_REQUEST"},
		{"a header of anything", watchPath, []string{last, "c\u00e9"}, nil, 400, "MALFORMED_REQUEST"},
		{"a long header", watchPath, []string{last, strings.Repeat("x", 1025)}, nil, 400, "INVALID_REQUEST"},
		{"a long cursor", watchPath + "?cursor=" + strings.Repeat("x", 1025), nil, nil, 400, "INVALID_REQUEST"},
		{"a parameter that there is not", watchPath + "?curser=c1", nil, nil, 400, "UNKNOWN_FIELD"},
		{"a token in the URL", watchPath + "?token=" + adminKey, nil, nil, 400, "UNKNOWN_FIELD"},
		{"two cursors", watchPath + "?cursor=c1&cursor=c2", nil, nil, 400, "INVALID_REQUEST"},
		{"a conversation twice", watchPath + "?conversation_id=" + conv, nil, nil, 400, "UNKNOWN_FIELD"},
		{"no conversation", "/v1/conversations/nothing:watch", nil, nil, 400, "INVALID_REQUEST"},
		{"another verb", "/v1/conversations/" + conv + ":listen", nil, nil, 404, "PATH_NOT_FOUND"},
		{"a state that there is not", "/v1/desk:watch?state=STATE_LOST", nil, nil, 400, "INVALID_REQUEST"},
		{"an etag", watchPath, []string{"If-Match", `"1"`}, nil, 400, "INVALID_REQUEST"},
		{"a second credential", watchPath, []string{"Authorization", "Bearer x"}, nil, 401, "CREDENTIAL_INVALID"},
		{"a customer at a desk", "/v1/desk:watch", []string{"Goodship-Act-For", "customer/ada"}, nil, 403, "CALLER_NOT_ALLOWED"},
		{"a page of nobody's", watchPath, []string{"Origin", "https://evil.example"}, nil, 403, "ORIGIN_NOT_ALLOWED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got = nil
			resp, body := rest(t, to, "GET", c.path, "", c.header...)
			if resp.StatusCode != c.http || (c.want == nil) != (got == nil) || c.want != nil && !proto.Equal(got, c.want) {
				t.Errorf("HTTP %d %s: asked for %v, want %v", resp.StatusCode, body, got, c.want)
			}
			if c.reason == "" {
				return
			}
			if info, _ := detailsOf(t, readStatus(t, []byte(body))); info.GetReason() != c.reason || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s as %s: %s", info.GetReason(), resp.Header.Get("Content-Type"), body)
			}
		})
	}
	if resp, body := rest(t, to, "GET", watchPath, `{}`); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("with a body: HTTP %d %s", resp.StatusCode, body)
	}
	if resp, body := rest(t, to, "POST", watchPath, `{}`); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET" {
		t.Errorf("a POST: HTTP %d %s", resp.StatusCode, body)
	}
}

// What fails after the first update is an event, and on our side a line in the log, as for every call.
func TestAStreamThatFails(t *testing.T) {
	const secret = "the king's breakfast"
	for _, c := range []struct {
		name, reason string
		end          func() error
	}{
		{"a fault", "SERVER_STOPPING", errStopping},
		{"an error", "INTERNAL", func() error { return errors.New(secret) }},
		{"a panic", "INTERNAL", func() error { panic(secret) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, first := range []bool{true, false} {
				svc := &fake{watch: func(_ *goodshipv1.WatchConversationRequest, out grpc.ServerStream) error {
					if !first {
						if err := out.SendMsg(progress("c1")); err != nil {
							return err
						}
					}
					return c.end()
				}}
				to := serve(t, svc, rpc.Config{})
				resp, body := rest(t, to, "GET", watchPath, "")
				last := endOf
				if first {
					last = func(t *testing.T, body string) *status.Status { return readStatus(t, []byte(body)) }
				}
				if info, _ := detailsOf(t, last(t, body)); info.GetReason() != c.reason || strings.Contains(body, secret) {
					t.Errorf("HTTP %d %q", resp.StatusCode, body)
				}
				if want := map[bool]string{true: "application/json", false: "text/event-stream"}[first]; resp.Header.Get("Content-Type") != want {
					t.Errorf("Content-Type %q, want %q", resp.Header.Get("Content-Type"), want)
				}
			}
		})
	}
}

// page is a page that reads a stream of events.
type page struct {
	resp *http.Response
	body *bufio.Reader
}

// read opens a stream with the key of every scope. It ends with the context.
func read(ctx context.Context, t *testing.T, client *http.Client, url string, header ...string) *page {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &page{resp, bufio.NewReader(resp.Body)}
}

// next returns the fields of the next event, in lines; io.EOF is an end that the server made, and no other.
func (p *page) next() (string, error) {
	var event strings.Builder
	for {
		line, err := p.body.ReadString('\n')
		if err != nil {
			return event.String(), err
		}
		if line == "\n" {
			return event.String(), nil
		}
		event.WriteString(line)
	}
}

// rest reads until the end and returns the last event, and why it ended.
func (p *page) rest() (last string, err error) {
	for {
		event, err := p.next()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		last = event
	}
}
