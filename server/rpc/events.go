package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// lastEventIDKey is the header by which readers of server-sent events say where they go on.
const lastEventIDKey = "last-event-id"

// eventPatience is how long a reader of server-sent events may take for what is written at once.
const eventPatience = 10 * time.Second

// beginning of a stream of events: who lost it is to be back in a second. Browsers would take three.
const beginning = "retry: 1000\n\n"

// handleStreams puts server-sent events in the place of what the generated gateway would stream.
func (g *gateway) handleStreams() error {
	for fullMethod, m := range g.links.methods {
		if m.output == nil || m.route == nil {
			continue
		}
		if err := g.mux.HandlePath(m.route.verb, m.route.pattern, g.events(fullMethod, m)); err != nil {
			return err
		}
	}
	return nil
}

// events answers with what a stream tells. What refuses it before its first item is an HTTP error like any other; what ends it
// later is an event of the name `error`.
func (g *gateway) events(fullMethod string, m *method) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		out := &eventWriter{w: w, control: http.NewResponseController(w), patience: g.eventPatience}
		in, err := g.open(ctx, fullMethod, m, r, path)
		for err == nil {
			err = out.pass(in, m)
		}
		switch {
		case errors.Is(err, io.EOF) || out.broken:
		case out.begun:
			body, _, _ := g.forREST(r, g.asStatus(r.Context(), err))
			_ = out.write(event("event: error", body)) // whom it does not reach has gone
		default:
			g.writeError(w, r, err)
		}
	}
}

// open opens a stream as a request asks for it. The caller ends it by the context.
func (g *gateway) open(ctx context.Context, fullMethod string, m *method, r *http.Request, path map[string]string) (grpc.ClientStream, error) {
	req, err := m.streamRequest(r, path)
	if err != nil {
		return nil, err
	}
	ctx, err = runtime.AnnotateContext(ctx, g.mux, r, fullMethod)
	if err != nil {
		return nil, err
	}
	in, err := g.channel.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, fullMethod)
	if err != nil {
		return nil, err
	}
	if err := in.SendMsg(req); err != nil && !errors.Is(err, io.EOF) { // EOF: why, is received
		return nil, err
	}
	return in, in.CloseSend()
}

// streamRequest returns what a request, which was held against its method, asks for.
func (m *method) streamRequest(r *http.Request, path map[string]string) (proto.Message, error) {
	req := m.input.New()
	if err := runtime.PopulateQueryParameters(req.Interface(), r.URL.Query(), utilities.NewDoubleArray(nil)); err != nil {
		return nil, err
	}
	for name, value := range path {
		if err := runtime.PopulateFieldFromPath(req.Interface(), name, value); err != nil {
			return nil, err
		}
	}
	last := r.Header.Values(lastEventIDKey)
	if len(last) > 1 {
		return nil, malformed("The header Last-Event-ID is given twice. Send the id of the last event that you have.")
	}
	if len(last) == 1 && last[0] != "" { // a reader that has seen no id may send that it has none
		req.Set(m.cursor, protoreflect.ValueOfString(last[0]))
	}
	return req.Interface(), nil
}

// eventWriter writes server-sent events to a reader, who may be slow.
type eventWriter struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	// begun is set once the reply has, and broken once it cannot go on.
	begun, broken bool
}

// pass writes the next item of a method's stream; io.EOF is its end.
func (e *eventWriter) pass(in grpc.ClientStream, m *method) error {
	text, err := m.next(in)
	if err != nil {
		return err
	}
	return e.write(text)
}

// next receives an item of the method's stream, and returns it as a server-sent event. What a watch tells is encoded once for all
// who read it.
func (m *method) next(in grpc.ClientStream) ([]byte, error) {
	if m.watch {
		var next frameSlot
		if err := in.RecvMsg(&next); err != nil {
			return nil, err
		}
		return next.Text(updateEvent)
	}
	item := m.output.New().Interface()
	if err := in.RecvMsg(item); err != nil {
		return nil, err
	}
	return itemEvent(item)
}

// write writes an event. A reader who has not taken it in when the patience is over loses the connection: the id of the last
// event that got there is where to go on. The server's own WriteTimeout is lifted, since it is about whole replies.
func (e *eventWriter) write(text []byte) error {
	err := e.control.SetWriteDeadline(time.Now().Add(e.patience))
	if err == nil && !e.begun {
		e.begin()
		_, err = io.WriteString(e.w, beginning)
	}
	if err == nil {
		_, err = e.w.Write(text)
	}
	if err == nil {
		err = e.control.Flush()
	}
	if err == nil {
		err = e.control.SetWriteDeadline(time.Time{})
	}
	e.broken = err != nil
	return err
}

func (e *eventWriter) begin() {
	e.begun = true
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies of nginx's kind would wait for more
	e.w.WriteHeader(http.StatusOK)
}

// updateEvent is an update as a server-sent event.
func updateEvent(u *goodshipv1.WatchUpdate) ([]byte, error) { return itemEvent(u) }

// itemEvent is an item of a stream as a server-sent event, of which the id is the cursor, if it has one.
func itemEvent(item proto.Message) ([]byte, error) {
	data, err := marshalJSON(item)
	if err != nil {
		return nil, err
	}
	m := item.ProtoReflect()
	var id string
	if cursor := m.Get(stringField(m.Descriptor(), "cursor")).String(); cursor != "" {
		id = "id: " + cursor
	}
	return event(id, data), nil
}

// event returns an event of a field, if it is not empty, and of data in a line that ends.
func event(field string, data []byte) []byte {
	var b bytes.Buffer
	if field != "" {
		b.WriteString(field + "\n")
	}
	b.WriteString("data: ")
	b.Write(data)
	b.WriteByte('\n')
	return b.Bytes()
}
