package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// affected measures the server's memory while those whom an incident touched are named to it.
func affected(ctx context.Context, b bench) (err error) {
	fmt.Printf("== affected: the server's memory while %d affected customers with three attributes each are loaded by a stream, in MB\n", b.affected)
	s, err := start(ctx, asItIs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	i, err := declare(ctx, s)
	if err != nil {
		return err
	}
	before, err := s.used(true)
	if err != nil {
		return err
	}
	var most usage
	begun := time.Now()
	err = i.add(ctx, b.affected, func(int) error {
		now, err := s.used(false)
		most.Heap, most.Anon, most.RSS = max(most.Heap, now.Heap), max(most.Anon, now.Anon), max(most.RSS, now.RSS)
		return err
	})
	if err != nil {
		return err
	}
	took := time.Since(begun)
	after, err := s.used(true)
	if err != nil {
		return err
	}
	for _, u := range []struct {
		when string
		usage
	}{{"before", before}, {"at most meanwhile", most}, {"after, garbage collected", after}} {
		fmt.Printf("   %-24s heap %.0f, memory of its own %.0f, with the pages of the file that are mapped %.0f\n", u.when, mb(u.Heap), mb(u.Anon), mb(u.RSS))
	}
	fmt.Printf("   in %.0f s, %.0f a second\n", took.Seconds(), float64(b.affected)/took.Seconds())
	return nil
}

// mb is a number of bytes in MB.
func mb(bytes int64) float64 { return float64(bytes) / 1e6 }
