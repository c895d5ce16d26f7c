package doors_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statusv1 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// updates are what a watch tells, over gRPC or REST. A status is an error.
type updates interface {
	next() (*goodshipv1.WatchUpdate, error)
}

// messages are a watch over gRPC.
type messages struct{ grpc.ClientStream }

func (m messages) next() (*goodshipv1.WatchUpdate, error) {
	u := &goodshipv1.WatchUpdate{}
	return u, m.RecvMsg(u)
}

// events are a watch over REST: server-sent events.
type events struct {
	body *bufio.Reader
}

// next returns the next update, or what an event of the name `error` says.
func (e *events) next() (*goodshipv1.WatchUpdate, error) {
	u := &goodshipv1.WatchUpdate{}
	return u, e.read(u)
}

// read reads the next event into a message, whose cursor must be the event's id.
func (e *events) read(m proto.Message) error {
	for {
		fields, err := e.event()
		if err != nil {
			return err
		}
		data, there := fields["data"]
		if !there {
			continue // the first, which says when to come back
		}
		if fields["event"] == "error" {
			s := &statusv1.Status{}
			if err := protojson.Unmarshal([]byte(data), s); err != nil {
				return err
			}
			return status.ErrorProto(s)
		}
		if err := protojson.Unmarshal([]byte(data), m); err != nil {
			return err
		}
		if cursor := m.(interface{ GetCursor() string }).GetCursor(); cursor != fields["id"] {
			return fmt.Errorf("the id is %q and the cursor %q", fields["id"], cursor)
		}
		return nil
	}
}

// event returns the fields of the next event.
func (e *events) event() (map[string]string, error) {
	fields := map[string]string{}
	for {
		line, err := e.body.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == "\n" {
			return fields, nil
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		fields[name] = value
	}
}

// watches opens a watch over a transport.
func (p *product) watches(ctx context.Context, transport string, c credential, req proto.Message) updates {
	p.t.Helper()
	if transport == "gRPC" {
		return p.watchesGRPC(ctx, c, req)
	}
	r, err := restRequest(ctx, p.REST, req)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if c.actFor != "" {
		r.Header.Set("Goodship-Act-For", c.actFor)
	}
	resp, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(resp.Body)
		p.t.Fatalf("%s over REST: HTTP %d %s %v", named(req).name, resp.StatusCode, text, err)
	}
	return &events{body: bufio.NewReader(resp.Body)}
}

func (p *product) watchesGRPC(ctx context.Context, c credential, req proto.Message) updates {
	p.t.Helper()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	if c.actFor != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "goodship-act-for", c.actFor)
	}
	s, err := p.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, named(req).full())
	if err := errors.Join(err, s.SendMsg(req), s.CloseSend()); err != nil {
		p.t.Fatal(err)
	}
	return messages{s}
}

// opened is a watch that is open.
type opened struct {
	updates
	p    *product
	name string
}

// open opens a watch over every transport, and returns when each has told where it is. The context ends them.
func (p *product) open(ctx context.Context, c credential, req proto.Message) []opened {
	p.t.Helper()
	var all []opened
	for _, transport := range []string{"gRPC", "REST"} {
		w := opened{p.watches(ctx, transport, c, req), p, named(req).name + " over " + transport}
		if first, err := w.next(); err != nil || first.GetProgress() == nil || first.Cursor == "" {
			p.t.Fatalf("%s: the first update is %v: %v", w.name, first, err)
		}
		all = append(all, w)
	}
	return all
}

// tells returns the next event, mark or signal. Progress depends on the clock, which other tests move.
func (w opened) tells() *goodshipv1.WatchUpdate {
	w.p.t.Helper()
	for {
		u, err := w.next()
		if err != nil {
			w.p.t.Fatalf("%s: %v", w.name, err)
		}
		if u.GetProgress() == nil {
			return u
		}
	}
}

// ends reads a watch to its end, which must be an answer with a cursor, and returns that.
func (w opened) ends(want string) (cursor string) {
	w.p.t.Helper()
	for {
		u, err := w.next()
		if err == nil {
			if u.GetProgress() == nil {
				w.p.t.Errorf("%s: got %v before its end", w.name, u)
			}
			continue
		}
		a := refused(status.Convert(err).Proto())
		w.p.expect(w.name, a, want)
		return cursorOf(a)
	}
}

// cursorOf returns the cursor that an error tells.
func cursorOf(a answer) string {
	for _, d := range a.status.GetDetails() {
		info := &errdetails.ErrorInfo{}
		if d.MessageIs(info) && d.UnmarshalTo(info) == nil {
			return info.GetMetadata()["cursor"]
		}
	}
	return ""
}

// mine is a request to watch all conversations of a customer.
func mine(cursor string) proto.Message {
	return &goodshipv1.WatchConversationRequest{ConversationId: "-", Cursor: cursor}
}

// desk is a request to watch all conversations of a workspace.
func desk(cursor string) proto.Message { return &goodshipv1.WatchDeskRequest{Cursor: cursor} }

// goesOn checks that watches end with an answer, and that somebody else who may watch the same goes on from there.
func (p *product) goesOn(all []opened, end string, c credential, from func(cursor string) proto.Message) {
	p.t.Helper()
	for _, w := range all {
		cursor := w.ends(end)
		if cursor == "" {
			p.t.Errorf("%s: its end has no cursor", w.name)
		}
		p.gets(c, from(cursor), ok)
	}
}

// momentsShowNowhere watches as a customer while agents are among themselves, by a clock that nobody else moves: nothing comes at
// that moment, not even that nothing happened.
func momentsShowNowhere(t *testing.T) {
	p := newProduct(t, newHouse(t), "home")
	o := replied(p, p.cast(caller{}, false))
	overdue := grant(o.id, euros(1))
	overdue.SettleByTime = timestamppb.New(p.clock.Now().Add(time.Second))
	p.do(p.agent(ada), overdue)
	seen := p.do(p.customer(kim), &goodshipv1.GetConversationRequest{ConversationId: o.id}).(*goodshipv1.Conversation)
	all := append(p.open(t.Context(), p.customer(kim), mine("")), p.open(t.Context(), p.customer(kim), &goodshipv1.WatchConversationRequest{ConversationId: o.id})...)
	for _, w := range all[2:] {
		for range seen.ReadMarks {
			if u := w.tells(); u.GetReadMark() == nil {
				t.Fatalf("%s: got %v, want a read mark", w.name, u)
			}
		}
	}
	desks := p.open(t.Context(), p.agent(ben), desk(""))
	amongThemselves(p, o.id)
	p.clock.Jump(time.Second)
	for desks[0].tells().GetEvent().GetCreditOverdue() == nil { // what happened has been told to those who may know
	}
	p.says(p.agent(ben), o.id)
	for _, w := range all {
		u, err := w.next()
		if err != nil || u.GetEvent().GetMessageSent() == nil || u.GetEvent().PublicRevision != seen.PublicRevision+1 {
			t.Errorf("%s: the next is %v %v, want the message as revision %d", w.name, u, err, seen.PublicRevision+1)
		}
	}
}
