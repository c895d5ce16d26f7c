// Command bench measures how messages reach those who watch, and what it costs to tell many that we are sorry. Every figure that matters is a ratio of two things measured in
// turn in the same run, against a server in a process of its own; README.md says what they mean.
//
//	go run .
//	go run . fanout
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// bench is what a run was told, and what it is about.
type bench struct {
	streams, connections, own int
	told, affected            int
	rounds                    int
	cell                      time.Duration
}

// measures are what can be measured, in the order in which it is.
var measures = []struct {
	name string
	run  func(context.Context, bench) error
}{
	{"latency", latency},
	{"fanout", fanout},
	{"memory", memory},
	{"stalled", stalled},
	{"apologies", apologies},
	{"affected", affected},
}

func main() {
	if how := os.Getenv(asServer); how != "" {
		if err := serve(how); err != nil {
			fmt.Fprintln(os.Stderr, "bench server:", err)
			os.Exit(1)
		}
		return
	}
	var b bench
	flag.IntVar(&b.streams, "streams", 10_000, "the most streams that share connections")
	flag.IntVar(&b.connections, "connections", 100, "how many connections they share")
	flag.IntVar(&b.own, "own", 8_000, "how many streams have a connection each; twice as many open files are needed")
	flag.IntVar(&b.told, "told", 100_000, "how many are affected by the incident whose apologies are measured")
	flag.IntVar(&b.affected, "affected", 1_000_000, "how many affected customers are loaded")
	flag.IntVar(&b.rounds, "rounds", 5, "how often what is compared is measured, in turn")
	flag.DurationVar(&b.cell, "cell", 1500*time.Millisecond, "how long each measurement takes at least")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what is named, or everything.
func (b bench) run(ctx context.Context, names []string) error {
	if b.connections < 1 || b.rounds < 1 || b.streams < b.connections {
		return errors.New("give at least one connection, one round, and a stream for each connection")
	}
	for _, name := range names {
		if !slices.ContainsFunc(measures, func(m struct {
			name string
			run  func(context.Context, bench) error
		}) bool {
			return m.name == name
		}) {
			return fmt.Errorf("there is no measurement %q: name latency, fanout, memory, stalled, apologies or affected", name)
		}
	}
	for _, m := range measures {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		begun := time.Now()
		if err := m.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Printf("   (%s took %.0f s)\n\n", m.name, time.Since(begun).Seconds())
	}
	return nil
}
