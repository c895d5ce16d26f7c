package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// fanout measures what the delivery of one message costs the server's processors, for one and for many streams, against the same
// server whose updates are encoded for each stream.
func fanout(ctx context.Context, b bench) (err error) {
	fmt.Println("== fanout: the server's CPU for each delivery, encoded once for all against encoded for each")
	var both [2]*server
	for i, how := range []string{asItIs, forEach} {
		if both[i], err = start(ctx, how); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, both[i].stop()) }()
	}
	counts := []int{1, 100, b.streams}
	slices.Sort(counts)
	for _, n := range slices.Compact(counts) {
		if err := b.fan(ctx, both, n); err != nil {
			return err
		}
	}
	return nil
}

// fan compares the two servers for so many streams.
func (b bench) fan(ctx context.Context, both [2]*server, n int) (err error) {
	connections := min(n, b.connections)
	var ids [2]string
	var watches [2]*streams
	for i, s := range both {
		if ids[i], err = s.conversation(ctx); err != nil {
			return err
		}
		if watches[i], err = s.watch(ctx, connections, slices.Repeat(ids[i:i+1], n), nil); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, watches[i].close()) }()
	}
	var costs [2][]float64
	var better []float64
	for round := range b.rounds + 1 {
		var cost [2]float64
		for k := range both {
			i := (k + round) % 2 // each goes first in turn
			if cost[i], err = b.cost(ctx, both[i], watches[i], ids[i], n); err != nil {
				return err
			}
		}
		if round > 0 { // nothing is warm in the first
			costs[0], costs[1], better = append(costs[0], cost[0]), append(costs[1], cost[1]), append(better, cost[1]/cost[0])
		}
	}
	fmt.Printf("   %5d streams on %3d connections, us each: once %s, for each %s; for each / once: %s\n", n, connections, spread(costs[0]), spread(costs[1]), spread(better))
	return nil
}

// cost returns the microseconds of CPU that a delivery costs a server, SendMessage included.
func (b bench) cost(ctx context.Context, s *server, watch *streams, id string, n int) (float64, error) {
	before, err := s.used(false)
	if err != nil {
		return 0, err
	}
	deliveries := 0
	for end := time.Now().Add(b.cell); time.Now().Before(end); deliveries += n {
		if err := watch.deliver(ctx, s, id, words, n); err != nil {
			return 0, err
		}
	}
	after, err := s.used(false)
	return micro(after.CPU-before.CPU) / float64(deliveries), err
}
