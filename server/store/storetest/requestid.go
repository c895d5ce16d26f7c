package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// A request id has one effect (invariant 5).

// say is a unit that adds a message to a conversation and returns its number.
func say(conversation string) func(store.Tx) (*storev1.Receipt, error) {
	return func(tx store.Tx) (*storev1.Receipt, error) {
		receipt := &storev1.Receipt{ConversationId: conversation}
		return receipt, appendTo(tx, conversation, func(d *draft) {
			d.say("message")
			receipt.MessageNumber = d.conversation().GetMessageCount()
		})
	}
}

// wantReplay fails the test unless a unit is answered with a receipt from before, and changes nothing.
func (s *subject) wantReplay(what, workspace string, once store.Once, want *storev1.Receipt) {
	s.Helper()
	before := s.image()
	result, err := s.update(workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		return nil, fmt.Errorf("%s: fn ran again", what)
	})
	if err != nil || !result.Replayed || result.Receipt == nil || !proto.Equal(result.Receipt, want) {
		s.Errorf("%s: got %+v, %v, want the receipt %v again", what, result, err, want)
	}
	s.unchanged(what, before)
}

func requestIDHasOneEffect(s *subject) {
	once := store.Once{RequestID: "request", Scope: "scope", Conversation: "conv", Body: [32]byte{1}}
	want := &storev1.Receipt{ConversationId: "conv", MessageNumber: 1}
	var first atomic.Int32
	together(16, func(int) {
		result, err := s.update("w", once, say("conv"))
		if err != nil || !proto.Equal(result.Receipt, want) {
			s.Errorf("got %+v, %v, want the receipt %v", result, err, want)
		}
		if !result.Replayed {
			first.Add(1)
		}
	})
	if got := first.Load(); got != 1 {
		s.Errorf("%d units say that they were the first", got)
	}
	s.wantMessages("w", "conv", []string{"message"})

	s.wantReplay("again", "w", once, want)
	s.write("w", "conv", func(d *draft) { d.say("another") })
	s.wantReplay("after another change", "w", once, want)
	s.reopen()
	s.wantReplay("after Reopen", "w", once, want)
	s.crash()
	s.wantReplay("after Crash", "w", once, want)
}

func requestIDBelongsToItsScope(s *subject) {
	once := store.Once{RequestID: "request", Scope: "scope", Conversation: "conv", Body: [32]byte{1}}
	variants := map[string]store.Once{"w": once}
	for name, change := range map[string]func(*store.Once){
		"another request":         func(o *store.Once) { o.RequestID = "request2" },
		"another scope":           func(o *store.Once) { o.Scope = "scop" },
		"another conversation":    func(o *store.Once) { o.Conversation = "con" },
		"no conversation":         func(o *store.Once) { o.Conversation = "" },
		"a part moved to another": func(o *store.Once) { o.Scope, o.Conversation = "scopec", "onv" },
		"parts moved to one":      func(o *store.Once) { o.Scope, o.Conversation = "scopeconv", "" },
	} {
		other := once
		change(&other)
		variants[name] = other
	}
	for range 2 {
		for name, variant := range variants {
			workspace := "w"
			result, err := s.update(workspace, variant, say(name))
			if err != nil || result.Receipt.GetConversationId() != name || result.Receipt.GetMessageNumber() != 1 {
				s.Errorf("%s: got %+v, %v, want an effect of its own, once", name, result, err)
			}
		}
		result, err := s.update("w2", once, say("in w2"))
		if err != nil || result.Receipt.GetConversationId() != "in w2" || result.Receipt.GetMessageNumber() != 1 {
			s.Errorf("another workspace: got %+v, %v, want an effect of its own, once", result, err)
		}
		s.reopen()
	}
}

func requestIDRefusesAnotherBody(s *subject) {
	once := store.Once{RequestID: "request", Body: [32]byte{31: 1}}
	_, err := s.update("w", once, say("conv"))
	s.wantErr("first", err, nil)
	before := s.image()
	other := store.Once{RequestID: "request", Body: [32]byte{31: 2}}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		_, err := s.update("w", other, say("conv"))
		s.wantErr("another body", err, store.ErrRequestIDReused)
		s.unchanged("another body", before)
		s.wantReplay("the same body", "w", once, &storev1.Receipt{ConversationId: "conv", MessageNumber: 1})
	}
}

// onlyReceiptsAreRemembered runs units that succeed without one, with an empty one, and without a request id.
func onlyReceiptsAreRemembered(s *subject) {
	once := store.Once{RequestID: "request", Scope: "scope"}
	for range 2 {
		result, err := s.update("w", once, func(tx store.Tx) (*storev1.Receipt, error) {
			_, err := say("conv")(tx)
			return nil, err
		})
		if err != nil || result.Replayed || result.Receipt != nil {
			s.Errorf("without a receipt: got %+v, %v, want a first success without one", result, err)
		}
	}
	for range 2 {
		result, err := s.update("w", store.Once{Scope: "scope"}, say("conv"))
		if err != nil || result.Replayed || result.Receipt == nil {
			s.Errorf("without a request id: got %+v, %v, want a first success", result, err)
		}
	}
	if got := s.head("w", "conv").GetConversation().GetMessageCount(); got != 4 {
		s.Errorf("got %d messages, want the 4 of units that were not remembered", got)
	}
	empty := func(store.Tx) (*storev1.Receipt, error) { return &storev1.Receipt{}, nil }
	result, err := s.update("w", once, empty)
	if err != nil || result.Replayed {
		s.Errorf("with an empty receipt: got %+v, %v, want a first success", result, err)
	}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		s.wantReplay("with an empty receipt, again", "w", once, &storev1.Receipt{})
	}
}

// requestIDIsRememberedLongEnough lets almost OnceRetention pass, with changes that give an engine reason to tidy up.
func requestIDIsRememberedLongEnough(s *subject) {
	const short = time.Minute
	once := store.Once{RequestID: "request", Scope: "scope", Conversation: "conv"}
	_, err := s.update("w", once, say("conv"))
	s.wantErr("first", err, nil)
	for i := range 12 {
		s.harness.Clock.Jump((store.OnceRetention - short) / 12)
		_, err := s.update("w", store.Once{RequestID: fmt.Sprint(i), Scope: "scope", Conversation: "conv"}, say("conv"))
		s.wantErr("another", err, nil)
	}
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		s.write("w", "conv", func(d *draft) { d.say("more") })
		s.wantReplay("almost a day later", "w", once, &storev1.Receipt{ConversationId: "conv", MessageNumber: 1})
	}
}

// backupForgetsRequestIDs lets OnceRetention pass: a backup has the request ids since then, and those that are kept for ever.
func backupForgetsRequestIDs(s *subject) {
	remember := func(id string) {
		for _, conversation := range []string{"conv", ""} {
			for _, forever := range []bool{false, true} {
				once := store.Once{RequestID: fmt.Sprint(id, forever), Conversation: conversation, Forever: forever}
				_, err := s.update("w", once, func(store.Tx) (*storev1.Receipt, error) { return &storev1.Receipt{ObjectId: once.RequestID}, nil })
				s.wantErr("Update", err, nil)
			}
		}
	}
	s.do("w", func(tx store.Tx) error { return appendTo(tx, "conv", func(d *draft) { d.say("message") }) })
	remember("old ")
	s.harness.Clock.Jump(store.OnceRetention - time.Minute)
	remember("new ")
	wants := func(want ...string) {
		s.Helper()
		var backup bytes.Buffer
		s.wantErr("Backup", s.store().Backup(s.ctx, &backup), nil)
		in, err := store.NewBackupReader(&backup)
		s.wantErr("NewBackupReader", err, nil)
		var got []string
		for {
			e, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				s.Fatalf("Next: %v", err)
			}
			if o := e.GetOnce(); o != nil {
				got = append(got, o.GetReceipt().GetObjectId())
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			s.Errorf("got request ids %q, want %q", got, want)
		}
	}
	wants("new false", "new false", "new true", "new true", "old false", "old false", "old true", "old true")
	s.harness.Clock.Jump(2 * time.Minute)
	s.reopen()
	wants("new false", "new false", "new true", "new true", "old true", "old true")
}
