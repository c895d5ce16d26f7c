package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
)

// A unit that fails harms nobody, and whoever does not know what happened asks again (invariants 1, 2, 5 and 12).

// oneFailureHurtsNobodyElse mixes units that fail and panic with units that do not.
func oneFailureHurtsNobodyElse(s *subject) {
	var mu sync.Mutex
	var kept []string
	together(8, func(i int) {
		for j := range 6 {
			text := fmt.Sprintf("%d-%d", i, j)
			fn := func(tx store.Tx) (*storev1.Receipt, error) {
				return nil, appendTo(tx, "conv", func(d *draft) { d.say(text) })
			}
			switch (i + j) % 3 {
			case 0:
				_, err := s.update("w", store.Once{}, fn)
				s.wantErr("a unit among failing ones", err, nil)
				mu.Lock()
				kept = append(kept, text)
				mu.Unlock()
			case 1:
				_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
					_, err := fn(tx)
					return nil, errors.Join(err, errOwn)
				})
				s.wantErr("a failing unit", err, errOwn)
			case 2:
				s.panics("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
					_, err := fn(tx)
					panic(fmt.Sprint("on purpose, after ", err))
				})
			}
		}
	})
	s.wantMessages("w", "conv", kept)
}

// canceledInside cancels a unit while fn runs: whatever Update says, there is one effect after the retry.
func canceledInside(s *subject) {
	var want []string
	for i := range 8 {
		text := strconv.Itoa(i)
		want = append(want, text)
		once := store.Once{RequestID: text}
		fn := func(tx store.Tx) (*storev1.Receipt, error) {
			return &storev1.Receipt{ConversationId: "conv"}, appendTo(tx, "conv", func(d *draft) { d.say(text) })
		}
		ctx, cancel := context.WithCancel(s.ctx)
		s.knows("w")
		_, err := s.store().Update(ctx, "w", once, func(tx store.Tx) (*storev1.Receipt, error) {
			cancel()
			return fn(tx)
		})
		cancel()
		retried, errRetry := s.update("w", once, fn)
		if errRetry != nil || err == nil && !retried.Replayed {
			s.Errorf("canceled inside with %v: the retry got %+v, %v", err, retried, errRetry)
		}
	}
	s.wantMessages("w", "conv", want)
}

// injectedFailures fails a unit at every point, and then goes on, reopens or crashes.
func injectedFailures(s *subject) {
	if s.harness.Fail == nil {
		s.Skip("the engine has no points to fail at")
	}
	for _, point := range []Point{BeforeApply, BeforeCommit, AfterCommit} {
		for next, restart := range map[string]func(){"go on": s.recover, "reopen": s.reopen, "crash": s.crash} {
			workspace := fmt.Sprintf("%s, %s", point, next)
			once := store.Once{RequestID: "request", Scope: "scope", Body: [32]byte{1}}
			s.do(workspace, func(tx store.Tx) error { return furnish(tx, workspace) })
			before := s.image()

			s.harness.Fail(point)
			_, err := s.update(workspace, once, furnishOnce(workspace))
			s.wantErr(workspace, err, store.ErrUnavailable)
			if restart(); point != AfterCommit {
				s.recover()
				s.unchanged(workspace, before)
			}
			s.recover()
			result, err := s.update(workspace, once, furnishOnce(workspace))
			if err != nil || result.Replayed != (point == AfterCommit) || result.Receipt.GetConversationId() != "conv_1" {
				s.Errorf("%s: the retry got %+v, %v", workspace, result, err)
			}
			if got := s.head(workspace, "conv_1").GetConversation().GetMessageCount(); got != 2 {
				s.Errorf("%s: got %d messages, want 2: the unit's effect exactly once", workspace, got)
			}
		}
	}
}

// requestIDSettlesUnknownOutcomes fails a commit that many share. Who got ErrUnavailable does not know what happened, and
// does it again.
func requestIDSettlesUnknownOutcomes(s *subject) {
	if s.harness.Fail == nil {
		s.Skip("the engine has no points to fail at")
	}
	for _, point := range []Point{BeforeApply, BeforeCommit, AfterCommit} {
		var want []string
		var again sync.Map
		send := func(text string) error {
			_, err := s.update("w", store.Once{RequestID: text}, func(tx store.Tx) (*storev1.Receipt, error) {
				return &storev1.Receipt{}, appendTo(tx, string(point), func(d *draft) { d.say(text) })
			})
			return err
		}
		s.harness.Fail(point)
		together(8, func(i int) {
			for j := range 3 {
				if err := send(fmt.Sprintf("%s %d-%d", point, i, j)); err != nil {
					s.wantErr("a unit in the commit that failed", err, store.ErrUnavailable)
					again.Store(fmt.Sprintf("%s %d-%d", point, i, j), true)
				}
			}
		})
		s.recover()
		failed := 0
		again.Range(func(text, _ any) bool {
			failed++
			s.wantErr("again", send(text.(string)), nil)
			return true
		})
		if failed == 0 {
			s.Errorf("%s: no unit failed", point)
		}
		for i := range 8 {
			for j := range 3 {
				want = append(want, fmt.Sprintf("%s %d-%d", point, i, j))
			}
		}
		s.wantMessages("w", string(point), want)
	}
}

// endedGoroutine ends the goroutine that fn runs on, as a test does that fails inside. The store goes on.
func endedGoroutine(s *subject) {
	s.write("w", "conv", func(d *draft) { d.say("before") })
	before := s.image()
	together(1, func(int) {
		_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			if err := appendTo(tx, "conv", func(d *draft) { d.say("lost") }); err != nil {
				return nil, err
			}
			runtime.Goexit()
			return nil, nil
		})
		// An engine that runs fn on the caller's goroutine does not get here.
		if err == nil {
			s.Error("fn ended its goroutine: got success")
		}
	})
	s.unchanged("fn ended its goroutine", before)
	s.write("w", "conv", func(d *draft) { d.say("after") })
}
