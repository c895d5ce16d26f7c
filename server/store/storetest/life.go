package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// What is handed out is the caller's; what is closed is closed.

// whatIsHandedOutIsACopy spoils everything that reads, units and replays gave, and what was given to a unit that is over.
func whatIsHandedOutIsACopy(s *subject) {
	var given []proto.Message
	s.do("w", func(tx store.Tx) error {
		d := begin("conv_3", "key_1", tx.Now())
		d.say("message")
		d.note("note")
		d.propose("done")
		workspace, agent := workspaceRecord("w", 1), agentRecord("agent_9", 1)
		customer, key := customerRecord("customer-9", "key_9", 1), apiKeyRecord("w", "key_9", 1)
		mark := &storev1.ReadMarkRecord{MessageNumber: 1}
		given = append(others(), d.head, d.record, d.resolutions[0], workspace, agent, customer, key, mark)
		return errors.Join(putOthers(tx, given), tx.PutWorkspace(workspace), tx.PutAgent(agent), tx.PutCustomer(customer), tx.PutAPIKey(key),
			tx.Append(d.change()), tx.PutReadMark("conv_3", mark))
	})
	want := s.image()
	for _, m := range given {
		scribble(m.ProtoReflect())
	}
	s.unchanged("spoiling what was given to a unit", want)
	s.image().scribble()
	s.unchanged("spoiling what was read", want)

	s.do("w", func(tx store.Tx) error {
		for range 2 {
			read, err := readInside(tx)
			more, errMore := readOthers(tx)
			if err := errors.Join(err, errMore); err != nil {
				return err
			}
			read = append(read, more...)
			for _, m := range read {
				if proto.Size(m) == 0 {
					return fmt.Errorf("a unit that spoilt what it read, without writing it, reads %T empty", m)
				}
				scribble(m.ProtoReflect())
			}
		}
		return nil
	})
	s.unchanged("spoiling what a unit read", want)

	once := store.Once{RequestID: "request"}
	for range 3 {
		result, err := s.update("w", once, say("conv_4"))
		if err != nil || result.Receipt.GetMessageNumber() != 1 {
			s.Errorf("after a receipt was spoilt: got %+v, %v, want the first", result, err)
		}
		scribble(result.Receipt.ProtoReflect())
	}
}

// readInside returns what a unit reads of conv_3 and the people and keys put with it.
func readInside(tx store.Tx) ([]proto.Message, error) {
	head, err1 := tx.Conversation("conv_3")
	message, err2 := tx.Message("conv_3", 1)
	note, err3 := tx.Note("conv_3", 1)
	resolution, err4 := tx.Resolution("conv_3", 1)
	mark, err5 := tx.ReadMark("conv_3", "")
	workspace, err6 := tx.Workspace()
	agent, err7 := tx.Agent("agent_9")
	customer, err8 := tx.Customer("customer-9")
	byKey, err9 := tx.CustomerByKey("key_9")
	key, err10 := tx.APIKey("key_9")
	return []proto.Message{head, message, note, resolution, mark, workspace, agent, customer, byKey, key},
		errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10)
}

// closedIsClosed closes the store under writers: what was acknowledged is there afterwards, and nothing else is.
func closedIsClosed(s *subject) {
	s.wantErr("Ready", s.store().Ready(), nil)
	s.do("w", func(tx store.Tx) error { return furnish(tx, "w") })
	var mu sync.Mutex
	acknowledged := make(map[string]bool)
	attempts := make(map[string]bool)
	closing := make(chan struct{})
	together(6, func(i int) {
		if i == 0 {
			<-closing
			s.wantErr("Close", s.store().Close(), nil)
			return
		}
		for j := range 20 {
			text := fmt.Sprintf("%d-%d", i, j)
			_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
				return nil, appendTo(tx, "conv", func(d *draft) { d.say(text) })
			})
			mu.Lock()
			if attempts[text] = true; len(attempts) == 10 {
				close(closing)
			}
			acknowledged[text] = err == nil
			mu.Unlock()
			if err != nil {
				s.wantErr("Update beside Close", err, store.ErrUnavailable)
			}
		}
	})
	s.wantAllUnavailable()
	s.reopen()
	s.wantErr("Ready after Reopen", s.store().Ready(), nil)
	messages, err := s.store().Messages(s.ctx, "w", "conv", store.Range{From: 1, Limit: all})
	s.wantErr("Messages", err, nil)
	found := make(map[string]bool)
	for _, m := range messages {
		found[m.GetText()] = true
	}
	for text := range attempts {
		// Units under way are finished: so nobody was told ErrUnavailable of a unit that happened.
		if acknowledged[text] != found[text] {
			s.Errorf("message %s: acknowledged %v, there %v", text, acknowledged[text], found[text])
		}
	}
}

// closeWaitsForUnits closes the store inside a unit's fn, as it were: Close returns after the unit, which is kept.
func closeWaitsForUnits(s *subject) {
	var closed atomic.Bool
	var closing sync.WaitGroup
	began := make(chan struct{})
	closing.Go(func() {
		<-began
		s.wantErr("Close", s.store().Close(), nil)
		closed.Store(true)
	})
	var once sync.Once
	_, err := s.update("w", store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) {
		once.Do(func() { close(began) })
		for range 10_000 {
			runtime.Gosched() // so that a Close that does not wait gets to its end
		}
		if closed.Load() {
			s.Error("Close returned while a unit was under way")
		}
		return nil, appendTo(tx, "conv", func(d *draft) { d.say("message") })
	})
	closing.Wait()
	s.wantErr("the unit under way", err, nil)
	s.reopen()
	s.wantMessages("w", "conv", []string{"message"})
}

// wantAllUnavailable fails the test unless every method of a closed store says ErrUnavailable.
func (s *subject) wantAllUnavailable() {
	s.Helper()
	st, ctx := s.store(), s.ctx
	_, err0 := st.Update(ctx, "w", store.Once{}, func(store.Tx) (*storev1.Receipt, error) {
		s.Error("fn ran in a closed store")
		return nil, nil
	})
	_, err1 := st.Conversation(ctx, "w", "conv_1")
	_, err2 := st.Messages(ctx, "w", "conv_1", store.Range{From: 1, Limit: 1})
	_, err3 := st.Notes(ctx, "w", "conv_1", store.Range{From: 1, Limit: 1})
	_, err4 := st.Resolutions(ctx, "w", "conv_1", store.Range{From: 1, Limit: 1})
	_, err5 := st.ReadMarks(ctx, "w", "conv_1")
	_, err6 := eventsOf(ctx, st, "w", "conv_1", 0, 1)
	_, _, err7 := st.List(ctx, "w", store.Query{}, nil, 1)
	_, err8 := st.ByExternalID(ctx, "w", "external_1")
	_, err9 := st.Feed(ctx, "w", 0, 1)
	_, err10 := st.NextDue(ctx, nil, 1)
	_, err11 := st.Workspaces(ctx)
	_, err12 := st.Workspace(ctx, "w")
	_, err13 := st.Agent(ctx, "w", "agent_1")
	_, err14 := st.Agents(ctx, "w", "", 1)
	_, err15 := st.Customer(ctx, "w", "customer-1")
	_, err16 := st.CustomerByKey(ctx, "w", "key_1")
	_, err17 := st.Customers(ctx, "w", "", 1)
	_, err18 := st.APIKeyByHash(ctx, apiKeyRecord("w", "key_1", 1).GetSecretHash())
	_, err19 := st.APIKeys(ctx, "w", "", 1)
	_, err20 := st.APIKey(ctx, "w", "key_1")
	_, err21 := st.Check(ctx, false)
	_, err22 := st.Lines(ctx)
	_, _, err23 := st.FeedEnds(ctx, "w")
	_, err24 := st.FeedOf(ctx, "w", []string{"key_1"}, 0, 1)
	_, err25 := st.Place(ctx, "w", "conv_1")
	_, err26 := st.PruneFeed(ctx, afterAll, 1)
	for i, err := range append([]error{
		err0, err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, err14, err15, err16, err17, err18, err19, err20, err21,
		err22, err23, err24, err25, err26,
		st.Backup(ctx, &bytes.Buffer{}), st.Ready(),
	}, readOthersOutside(ctx, st, "w", "id")...) {
		s.wantErr("call "+strconv.Itoa(i)+" after Close", err, store.ErrUnavailable)
	}
}

// tokensOutliveTheStore opens after a restart what was sealed before it, and nowhere else.
func tokensOutliveTheStore(s *subject, other Harness) {
	token := s.store().Sealer().Seal("purpose", []byte("position"))
	epoch := s.store().Sealer().Epoch()
	for _, restart := range []func(){func() {}, s.reopen, s.crash} {
		restart()
		position, err := s.store().Sealer().Open("purpose", token)
		if err != nil || string(position) != "position" || s.store().Sealer().Epoch() != epoch || epoch == "" {
			s.Errorf("got %q, %v in epoch %q, want the position in epoch %q", position, err, s.store().Sealer().Epoch(), epoch)
		}
	}
	_, err := other.Store.Sealer().Open("purpose", token)
	s.wantErr("a token in another store", err, store.ErrPageToken)
}
