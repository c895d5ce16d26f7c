package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/memory"
	"google.golang.org/protobuf/proto"
)

// A backup holds everything that can be read, and the request ids. The reference restores what any engine wrote.

// restore backs up a store and restores the backup into a reference.
func restore(ctx context.Context, st store.Store, clock *faketime.Clock) (*memory.Store, error) {
	var backup bytes.Buffer
	if err := st.Backup(ctx, &backup); err != nil {
		return nil, err
	}
	return memory.Restore(&backup, memory.Options{Now: clock.Now})
}

// backupIsWhole backs up a store in which there is everything, and goes on in the restored one.
func backupIsWhole(s *subject) {
	pick := choose(rand.New(rand.NewPCG(5, 6)).IntN)
	var last time.Time
	once := store.Once{RequestID: "request", Scope: "scope", Conversation: "conv_1", Body: [32]byte{1}}
	for _, w := range alike[:4] {
		for i := range 12 {
			s.do(w, func(tx store.Tx) error {
				last = tx.Now()
				if i%4 == 0 {
					return furnish(tx, w)
				}
				return appendTo(tx, fmt.Sprint("conv_", pick(5)), func(d *draft) { d.shuffle(pick); d.say("message"); d.note("note") })
			})
		}
		_, err := s.update(w, once, say("conv_1"))
		s.wantErr("Update", err, nil)
		_, err = s.update(w, store.Once{RequestID: "elsewhere"}, say("conv_1"))
		s.wantErr("Update", err, nil)
	}
	s.harness.Clock.Jump(-time.Hour)
	restored, err := restore(s.ctx, s.store(), s.harness.Clock)
	if err != nil {
		s.Fatalf("backup and restore: %v", err)
	}
	s.wantRestored(restored)
	s.wantGoesOn(restored, once, last)
}

// wantGoesOn fails the test unless a restored store knows the request ids and the time, in an epoch of its own.
func (s *subject) wantGoesOn(restored store.Store, once store.Once, last time.Time) {
	s.Helper()
	for _, w := range alike[:4] {
		for _, once := range []store.Once{once, {RequestID: "elsewhere"}} {
			want, err := s.update(w, once, say("conv_1"))
			s.wantErr("again", err, nil)
			got, err := restored.Update(s.ctx, w, once, say("conv_1"))
			if err != nil || !got.Replayed || !proto.Equal(got.Receipt, want.Receipt) {
				s.Errorf("again in what was restored: got %+v, %v, want %+v", got, err, want)
			}
		}
		other := once
		other.Body[0]++
		_, err := restored.Update(s.ctx, w, other, say("conv_1"))
		s.wantErr("another body in what was restored", err, store.ErrRequestIDReused)
		_, err = restored.Update(s.ctx, w, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
			if !tx.Now().After(last) {
				s.Errorf("a unit in what was restored has time %v, want one after %v", tx.Now(), last)
			}
			return nil, nil
		})
		s.wantErr("Update of what was restored", err, nil)
	}
	if before, after := s.store().Sealer().Hash([]byte("request")), restored.Sealer().Hash([]byte("request")); before != after {
		s.Errorf("what was restored hashes a request as %x, and the store that was backed up as %x", after, before)
	}
	if restored.Sealer().Epoch() == s.store().Sealer().Epoch() {
		s.Error("what was restored is in the epoch of the store that was backed up")
	}
}

// backupBesideWritesFitsTogether backs up while others write and prune. Restoring checks that heads, logs and feed fit together;
// and nothing is missing that was acknowledged before.
func backupBesideWritesFitsTogether(s *subject) {
	const writers, before, during = 3, 4, 8
	write := func(i, n int) {
		for range n {
			_, err := s.update(alike[i], store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
				return nil, furnish(tx, alike[i])
			})
			s.wantErr("Update", err, nil)
		}
	}
	together(writers, func(i int) { write(i, before) })
	together(writers+2, func(i int) {
		if i < writers {
			write(i, during)
			return
		}
		if i > writers {
			for range during {
				_, err := s.store().PruneFeed(s.ctx, afterAll, 2)
				s.wantErr("PruneFeed beside a backup", err, nil)
			}
			return
		}
		restored, err := restore(s.ctx, s.store(), s.harness.Clock)
		if err != nil {
			s.Errorf("backup beside writes, and restore: %v", err)
			return
		}
		for _, w := range alike[:writers] {
			head, err := restored.Conversation(s.ctx, w, "conv_1")
			if got := head.GetConversation().GetMessageCount(); err != nil || got < before {
				s.Errorf("got %d messages, %v, want at least the %d from before the backup", got, err, before)
			}
		}
	})
}
