package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// latency measures from a call of SendMessage to the arrival at one who watches, over another connection, against the
// plain unary call that does least, a health check on the same server, and against the reply to SendMessage.
func latency(ctx context.Context, b bench) (err error) {
	fmt.Println("== latency: from post to arrival, against a unary echo (grpc.health.v1.Health/Check) on the same server")
	s, err := start(ctx, asItIs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	id, err := s.conversation(ctx)
	if err != nil {
		return err
	}
	watch, err := s.watch(ctx, 1, []string{id}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watch.close()) }()
	var p50, p99 []float64
	for round := range b.rounds + 1 {
		t, err := race(ctx, b, s, watch, id)
		if err != nil {
			return err
		}
		if round == 0 { // nothing is warm yet
			continue
		}
		fmt.Printf("   %d times each, p50/p99 in us: echo %.0f/%.0f, reply to SendMessage %.0f/%.0f, arrival %.0f/%.0f\n", len(t.echo),
			micro(percentile(t.echo, 50)), micro(percentile(t.echo, 99)), micro(percentile(t.reply, 50)), micro(percentile(t.reply, 99)), micro(percentile(t.arrival, 50)), micro(percentile(t.arrival, 99)))
		p50 = append(p50, ratio(t, 50))
		p99 = append(p99, ratio(t, 99))
	}
	fmt.Printf("   arrival / echo: p50 %s, p99 %s\n", spread(p50), spread(p99))
	return nil
}

// times are what three kinds of things took, one after the other in turn.
type times struct{ echo, reply, arrival []time.Duration }

func ratio(t times, p float64) float64 {
	return float64(percentile(t.arrival, p)) / float64(percentile(t.echo, p))
}

// race measures for the time of a cell.
func race(ctx context.Context, b bench, s *server, watch *streams, id string) (t times, err error) {
	echo := healthv1.NewHealthClient(s.conn)
	for end := time.Now().Add(b.cell); time.Now().Before(end); {
		begun := time.Now()
		if _, err := echo.Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
			return t, err
		}
		t.echo = append(t.echo, time.Since(begun))

		arrived, reached := make(chan time.Time, 1), watch.expect(1)
		go func() {
			<-reached
			arrived <- time.Now()
		}()
		begun = time.Now()
		if err := s.send(ctx, id, words); err != nil {
			return t, err
		}
		t.reply = append(t.reply, time.Since(begun))
		t.arrival = append(t.arrival, (<-arrived).Sub(begun))
	}
	return t, nil
}

// words are as many as people say at a time.
const words = "The film stops after ten minutes, every time and on every device that I have, and then it says that the device is not allowed to play it. I have paid for it this morning, and it played well until noon. What can I do?"
