package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// streams are watches that are read, of whichever connections.
type streams struct {
	conns []*grpc.ClientConn
	end   context.CancelFunc
	run   sync.WaitGroup
	// began gets a token, or an error, of each stream's first update.
	began chan error
	// arrived counts events; target is at how many reached is closed.
	arrived, target atomic.Int64
	reached         atomic.Pointer[chan struct{}]
	// each is told of each event by the stream's number, if it is not nil.
	each func(stream int)
}

// watch opens a stream for each conversation of a list over so many connections, and returns when each was told something.
func (s *server) watch(ctx context.Context, connections int, conversations []string, each func(stream int)) (*streams, error) {
	ctx, cancel := context.WithCancel(ctx)
	all := &streams{end: cancel, began: make(chan error, len(conversations)), each: each}
	for range connections {
		conn, err := s.dial()
		if err != nil {
			return nil, errors.Join(err, all.close())
		}
		all.conns = append(all.conns, conn)
	}
	gate := make(chan struct{}, 256) // opens no more at once
	for i, id := range conversations {
		gate <- struct{}{}
		all.run.Go(func() { all.read(s.as(ctx, ""), all.conns[i%connections], i, id, func() { <-gate }) })
	}
	for range conversations {
		if err := <-all.began; err != nil {
			return nil, errors.Join(err, all.close())
		}
	}
	return all, nil
}

// close ends all streams and their connections.
func (a *streams) close() error {
	a.end()
	a.run.Wait()
	var err error
	for _, conn := range a.conns {
		err = errors.Join(err, conn.Close())
	}
	return err
}

// read reads one stream to its end.
func (a *streams) read(ctx context.Context, conn *grpc.ClientConn, i int, conversation string, began func()) {
	once := sync.OnceFunc(began)
	defer once()
	s, err := openStream(ctx, conn, conversation)
	for first := true; err == nil; first = false {
		var u update
		if err = s.RecvMsg(&u); err != nil {
			break
		}
		if first {
			once()
			a.began <- nil
		}
		if u.event {
			a.count(i)
		}
	}
	if status.Code(err) != codes.Canceled {
		select {
		case a.began <- fmt.Errorf("a stream ends with %w", err):
		default:
		}
	}
}

func openStream(ctx context.Context, conn *grpc.ClientConn, conversation string) (grpc.ClientStream, error) {
	s, err := conn.NewStream(ctx, &goodshipv1.ConversationService_ServiceDesc.Streams[0], goodshipv1.ConversationService_WatchConversation_FullMethodName, grpc.ForceCodecV2(glance{encoding.GetCodecV2(proto.Name)}))
	if err != nil {
		return nil, err
	}
	return s, errors.Join(s.SendMsg(&goodshipv1.WatchConversationRequest{ConversationId: conversation}), s.CloseSend())
}

func (a *streams) count(i int) {
	if a.each != nil {
		a.each(i)
	}
	if a.arrived.Add(1) == a.target.Load() {
		close(*a.reached.Load())
	}
}

// expect has reached closed after so many more events. It is called while none is on its way.
func (a *streams) expect(n int) (reached <-chan struct{}) {
	done := make(chan struct{})
	a.reached.Store(&done)
	a.target.Store(a.arrived.Load() + int64(n))
	return done
}

// deliver says something and waits until so many streams were told.
func (a *streams) deliver(ctx context.Context, s *server, conversation, text string, n int) error {
	reached := a.expect(n)
	if err := s.send(ctx, conversation, text); err != nil {
		return err
	}
	select {
	case <-reached:
		return nil
	case err := <-a.began:
		return err
	case <-time.After(time.Minute):
		return fmt.Errorf("of %d streams only %d were told within a minute", n, int64(n)-a.target.Load()+a.arrived.Load())
	}
}

// update is what a reader in a hurry sees of one: whether it is an event.
type update struct{ event bool }

// glance is a codec whose readers cost little, so that the machine is the server's.
type glance struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (g glance) Unmarshal(data mem.BufferSlice, v any) error {
	u, ok := v.(*update)
	if !ok {
		return g.CodecV2.Unmarshal(data, v)
	}
	const event = 3 // the field of WatchUpdate
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	for rest := b.ReadOnlyData(); len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return protowire.ParseError(n)
		}
		u.event = u.event || number == event
		m := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if m < 0 {
			return protowire.ParseError(m)
		}
		rest = rest[n+m:]
	}
	return nil
}
