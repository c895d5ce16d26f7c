package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readers are how many watch beside the one who does not read.
const readers = 999

// stalled measures how long messages take to a thousand who watch, while all read, and while one of them does not.
func stalled(ctx context.Context, b bench) (err error) {
	fmt.Println("== stalled: delivery to 999 who read, while one more does too, and while it does not")
	s, err := start(ctx, asItIs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	id, err := s.conversation(ctx)
	if err != nil {
		return err
	}
	c := &clocked{taken: make([][]time.Duration, readers)}
	watch, err := s.watch(ctx, min(readers, b.connections), slices.Repeat([]string{id}, readers), c.tell)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watch.close()) }()
	var worse []float64
	for round := range b.rounds + 1 {
		all, err := c.posted(ctx, b, s, watch, id)
		if err != nil {
			return err
		}
		less, err := b.withOneStalled(ctx, s, watch, id, c)
		if err != nil {
			return err
		}
		if round == 0 { // nothing is warm yet
			continue
		}
		fmt.Printf("   p50/p99 in us: all read %.0f/%.0f, one does not %.0f/%.0f\n",
			micro(percentile(all, 50)), micro(percentile(all, 99)), micro(percentile(less, 50)), micro(percentile(less, 99)))
		worse = append(worse, float64(percentile(less, 99))/float64(percentile(all, 99)))
	}
	fmt.Printf("   p99 while one does not read / while all do: %s\n", spread(worse))
	return nil
}

// withOneStalled measures while somebody watches who does not read, from when what they did not read is as much as the transport
// holds, so that the server's send to them waits.
func (b bench) withOneStalled(ctx context.Context, s *server, watch *streams, id string, c *clocked) (taken []time.Duration, err error) {
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	asleep, err := openStream(s.as(ctx, ""), conn, id)
	if err != nil {
		return nil, err
	}
	if err := asleep.RecvMsg(new(update)); err != nil {
		return nil, err
	}
	full := strings.Repeat("Ahoy ", 6000)
	for range 12 {
		if err := watch.deliver(ctx, s, id, full, readers); err != nil {
			return nil, err
		}
	}
	if taken, err = c.posted(ctx, b, s, watch, id); err != nil {
		return nil, err
	}
	return taken, mustBeStalled(ctx, asleep)
}

// mustBeStalled fails unless the stream ends as one that was not read.
func mustBeStalled(ctx context.Context, asleep grpc.ClientStream) error {
	select { // the server waits for 10 s until it gives up
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(11 * time.Second):
	}
	for {
		if err := asleep.RecvMsg(new(update)); status.Code(err) == codes.ResourceExhausted {
			return nil
		} else if err != nil {
			return fmt.Errorf("the stream that was not read ends with %w", err)
		}
	}
}

// clocked notes how long each delivery took, by stream, so that nobody waits for anybody.
type clocked struct {
	begun atomic.Int64
	taken [][]time.Duration
}

func (c *clocked) tell(stream int) {
	c.taken[stream] = append(c.taken[stream], time.Duration(time.Now().UnixNano()-c.begun.Load()))
}

// posted posts for the time of a cell, one message after the other, and returns how long they took to each reader.
func (c *clocked) posted(ctx context.Context, b bench, s *server, watch *streams, id string) (taken []time.Duration, err error) {
	for i := range c.taken {
		c.taken[i] = c.taken[i][:0]
	}
	for end := time.Now().Add(b.cell); time.Now().Before(end); {
		c.begun.Store(time.Now().UnixNano())
		if err := watch.deliver(ctx, s, id, words, readers); err != nil {
			return nil, err
		}
	}
	return slices.Concat(c.taken...), nil
}
