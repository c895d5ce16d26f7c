package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// memory measures what an idle stream costs the server's memory.
func memory(ctx context.Context, b bench) error {
	fmt.Println("== memory: the server's for each idle stream, in KiB")
	for _, c := range []struct {
		name                 string
		streams, connections int
		conversations        int
	}{
		{"of one conversation, on shared connections", b.streams, b.connections, 1},
		{"of a conversation each, on shared connections", b.streams, b.connections, b.streams},
		{"of one conversation, with a connection each", b.own, b.own, 1},
	} {
		if err := idle(ctx, c.name, c.streams, c.connections, c.conversations); err != nil {
			return err
		}
	}
	return nil
}

// idle opens streams on a new server, and shows what it has more than before.
func idle(ctx context.Context, name string, streams, connections, conversations int) (err error) {
	s, err := start(ctx, asItIs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ids, err := s.conversations(ctx, conversations)
	if err != nil {
		return err
	}
	before, err := s.used(true)
	if err != nil {
		return err
	}
	watch, err := s.watch(ctx, connections, slices.Repeat(ids, streams/conversations), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watch.close()) }()
	after, err := s.used(true)
	if err != nil {
		return err
	}
	each := func(a, b int64) float64 { return kib(a-b) / float64(streams) }
	fmt.Printf("   %5d %s (%d): %.1f of RSS, of which %.1f heap and %.1f stacks; %.2f goroutines\n", streams, name, connections,
		each(after.RSS, before.RSS), each(after.Heap, before.Heap), each(after.Stack, before.Stack), float64(after.Goroutines-before.Goroutines)/float64(streams))
	return nil
}
