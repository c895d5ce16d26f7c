package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// apologies measures how many apologies go out a second, and how long messages take meanwhile, against messages while the apology is
// on hold.
func apologies(ctx context.Context, b bench) error {
	fmt.Printf("== apologies: how long %d live messages a second take while apologies go out, against while they are on hold\n", livePerSecond)
	for _, c := range []struct{ name, how string }{{"at the default rate", asItIs}, {"as fast as they can", unbounded}} {
		if err := rush(ctx, b, c.name, c.how); err != nil {
			return err
		}
	}
	return nil
}

// livePerSecond is how many messages are sent meanwhile, each at its time, whether the ones before it are answered or not.
const livePerSecond = 200

func rush(ctx context.Context, b bench, name, how string) (err error) {
	s, err := start(ctx, how)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ids, err := s.conversations(ctx, 64)
	if err != nil {
		return err
	}
	i, err := declare(ctx, s)
	if err != nil {
		return err
	}
	if err := i.add(ctx, b.told, func(int) error { return nil }); err != nil {
		return err
	}
	if err := i.send(ctx); err != nil {
		return err
	}
	var rates, p50, p99 []float64
	var with, without []time.Duration
	for round := range b.rounds + 1 {
		r, err := i.compare(ctx, b, ids, round%2 == 0)
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("everyone was told before the end: give more than -told %d", b.told)
		} else if err != nil {
			return err
		}
		if round == 0 { // nothing is warm yet
			continue
		}
		fmt.Printf("   %s: %.0f apologies a second; messages, p50/p99 in us: %.0f/%.0f while they go out, %.0f/%.0f without\n", name, r.rate,
			micro(percentile(r.with, 50)), micro(percentile(r.with, 99)), micro(percentile(r.without, 50)), micro(percentile(r.without, 99)))
		rates, with, without = append(rates, r.rate), slices.Concat(with, r.with), slices.Concat(without, r.without)
		p50, p99 = append(p50, r.ratio(50)), append(p99, r.ratio(99))
	}
	fmt.Printf("   %s: %s apologies a second; with / without: p50 %s, p99 %s; p99 of all rounds %.2f\n", name, spread(rates), spread(p50), spread(p99),
		float64(percentile(with, 99))/float64(percentile(without, 99)))
	return nil
}

// compared is what a round measured.
type compared struct {
	rate          float64
	with, without []time.Duration
}

func (c compared) ratio(p float64) float64 {
	return float64(percentile(c.with, p)) / float64(percentile(c.without, p))
}

// compare measures with apologies that go out and with the apology on hold, one after the other.
func (i *incident) compare(ctx context.Context, b bench, ids []string, holdFirst bool) (c compared, err error) {
	for _, on := range []bool{!holdFirst, holdFirst} {
		if !on {
			if c.without, err = i.live(ctx, 2*b.cell, ids); err != nil {
				return c, err
			}
			continue
		}
		if c.rate, c.with, err = i.going(ctx, 2*b.cell, ids); err != nil {
			return c, err
		}
	}
	return c, nil
}

// going measures messages while apologies go out, and how many did.
func (i *incident) going(ctx context.Context, long time.Duration, ids []string) (rate float64, took []time.Duration, err error) {
	before, err := i.written(ctx)
	if err != nil {
		return 0, nil, err
	}
	begun := time.Now()
	if err := i.goOn(ctx); err != nil {
		return 0, nil, err
	}
	if took, err = i.live(ctx, long, ids); err != nil {
		return 0, nil, err
	}
	if err := i.hold(ctx); err != nil {
		return 0, nil, err
	}
	lasted := time.Since(begun)
	after, err := i.written(ctx)
	return float64(after-before) / lasted.Seconds(), took, err
}

// live sends messages for a while, each at its time, and returns how long each took from then.
func (s *server) live(ctx context.Context, long time.Duration, ids []string) ([]time.Duration, error) {
	n := int(long.Seconds() * livePerSecond)
	took, errs := make([]time.Duration, n), make([]error, n)
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / livePerSecond)
	defer tick.Stop()
	for m := range n {
		due := <-tick.C
		all.Go(func() {
			errs[m] = s.send(ctx, ids[m%len(ids)], words)
			took[m] = time.Since(due)
		})
	}
	all.Wait()
	return took, errors.Join(errs...)
}
