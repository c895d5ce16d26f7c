package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const workspace = "w"

func tempFile(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "goodship.db")
}

// mustOpen opens a store that is closed when the test ends, if it is still open.
func mustOpen(t testing.TB, path string, o bolt.Options) *bolt.Store {
	t.Helper()
	if o.Log == nil {
		o.Log = discard
	}
	st, err := bolt.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, st) })
	return st
}

func mustClose(t testing.TB, st *bolt.Store) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// update runs a unit without a request id.
func update(ctx context.Context, st store.Store, fn func(store.Tx) error) error {
	_, err := st.Update(ctx, workspace, store.Once{}, func(tx store.Tx) (*storev1.Receipt, error) { return nil, fn(tx) })
	return err
}

func mustUpdate(t testing.TB, st store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := update(t.Context(), st, fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// say adds a message to a conversation, or begins one with it. edit may change the change, if it is not nil.
func say(tx store.Tx, id, text string, edit func(*store.Change)) error {
	head, err := tx.Conversation(id)
	if errors.Is(err, store.ErrNotFound) {
		head, err = &storev1.Head{CustomerKey: "key of " + id, Conversation: &goodshipv1.Conversation{
			Id: id, ExternalId: "external " + id, State: goodshipv1.State_STATE_WAITING,
			CreateTime: timestamppb.New(tx.Now()), LineTime: timestamppb.New(tx.Now()),
		}}, nil
	}
	if err != nil {
		return err
	}
	c := head.GetConversation()
	c.Revision++
	c.PublicRevision++
	c.MessageCount++
	c.ActivityTime = timestamppb.New(tx.Now())
	change := store.Change{Head: head, Record: &storev1.Record{
		Events: []*goodshipv1.Event{{
			Revision: c.GetRevision(), PublicRevision: c.GetPublicRevision(), CreateTime: timestamppb.New(tx.Now()),
			Kind: &goodshipv1.Event_MessageSent{MessageSent: &goodshipv1.MessageSent{Number: c.GetMessageCount()}},
		}},
		Message:      &goodshipv1.Message{ConversationId: id, Number: c.GetMessageCount(), Text: text, CreateTime: timestamppb.New(tx.Now())},
		MessageCount: c.GetMessageCount(),
		NoteCount:    c.GetNoteCount(),
	}}
	if edit != nil {
		edit(&change)
	}
	return tx.Append(change)
}

// resolve makes a conversation RESOLVED.
func resolve(c *store.Change) {
	c.Head.Conversation.State, c.Head.Conversation.Outcome = goodshipv1.State_STATE_RESOLVED, goodshipv1.Outcome_OUTCOME_CONFIRMED
}

// furnish writes some of everything: n conversations, every third RESOLVED, people and keys.
func furnish(t testing.TB, st store.Store, n int) {
	t.Helper()
	mustUpdate(t, st, func(tx store.Tx) error {
		return errors.Join(
			tx.PutWorkspace(&storev1.WorkspaceRecord{Workspace: &goodshipv1.Workspace{Id: workspace, DisplayName: "Cheers"}}),
			tx.PutAgent(&storev1.AgentRecord{Agent: &goodshipv1.Agent{Id: "agent_1", DisplayName: "Mike"}}),
			tx.PutCustomer(&storev1.CustomerRecord{Key: "key_1", Customer: &goodshipv1.Customer{Id: "customer-1"}}),
			tx.PutAPIKey(&storev1.ApiKeyRecord{WorkspaceId: workspace, SecretHash: bytes.Repeat([]byte{7}, 32), ApiKey: &goodshipv1.ApiKey{Id: "akey_1"}}),
		)
	})
	for i := range n {
		id := fmt.Sprintf("conv_%03d", i)
		once := store.Once{RequestID: "request " + id, Scope: "scope"}
		if i%2 == 0 {
			once.Conversation = id
		}
		_, err := st.Update(t.Context(), workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
			for j := range i%5 + 1 {
				if err := say(tx, id, fmt.Sprintf("message %d of %s %s", j+1, id, strings.Repeat("and so on ", i%40)), nil); err != nil {
					return nil, err
				}
			}
			return &storev1.Receipt{ConversationId: id}, say(tx, id, "the last", func(c *store.Change) { elaborate(c, i) })
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	furnishObjects(t, st)
	if _, err := st.PruneFeed(t.Context(), time.Now().Add(time.Hour), pruned); err != nil {
		t.Fatalf("PruneFeed: %v", err)
	}
}

// pruned is how many entries of the feed furnish prunes, if there are as many.
const pruned = 4

func recordsOf(feed []store.FeedEntry) []*storev1.Record {
	var records []*storev1.Record
	for _, e := range feed {
		records = append(records, e.Record)
	}
	return records
}

// elaborate adds a note, a resolution, an owner and states to a change.
func elaborate(c *store.Change, i int) {
	conversation := c.Head.GetConversation()
	conversation.NoteCount++
	conversation.ResolutionCount++
	c.Record.NoteCount = conversation.GetNoteCount()
	c.Record.Note = &goodshipv1.Note{ConversationId: conversation.GetId(), Number: conversation.GetNoteCount(), Text: "a note"}
	c.Resolutions = []*goodshipv1.Resolution{{ConversationId: conversation.GetId(), Number: conversation.GetResolutionCount(), Done: "done"}}
	switch i % 3 {
	case 0:
		resolve(c)
	case 1:
		conversation.OwnerId = "agent_1"
		c.Head.DueTime = conversation.GetActivityTime()
	}
}

// image is what each of many reads gave: an encoded message, or an error.
type image map[string]string

// imageOf reads all that furnish wrote, and what was said later.
func imageOf(ctx context.Context, st store.Store, n int) image {
	img := make(image)
	see(img, "workspaces", func() ([]*storev1.WorkspaceRecord, error) { return st.Workspaces(ctx) })
	see(img, "agents", func() ([]*storev1.AgentRecord, error) { return st.Agents(ctx, workspace, "", 100) })
	see(img, "customers", func() ([]*storev1.CustomerRecord, error) { return st.Customers(ctx, workspace, "", 100) })
	see(img, "customer", func() ([]*storev1.CustomerRecord, error) { return one(st.CustomerByKey(ctx, workspace, "key_1")) })
	see(img, "keys", func() ([]*storev1.ApiKeyRecord, error) { return st.APIKeys(ctx, workspace, "", 100) })
	see(img, "key", func() ([]*storev1.ApiKeyRecord, error) {
		return one(st.APIKeyByHash(ctx, bytes.Repeat([]byte{7}, 32)))
	})
	for i := range n {
		id := fmt.Sprintf("conv_%03d", i)
		see(img, "head "+id, func() ([]*storev1.Head, error) { return one(st.Conversation(ctx, workspace, id)) })
		see(img, "external "+id, func() ([]*storev1.Head, error) { return one(st.ByExternalID(ctx, workspace, "external "+id)) })
		see(img, "messages "+id, func() ([]*goodshipv1.Message, error) {
			return st.Messages(ctx, workspace, id, store.Range{From: 1, Limit: 1000})
		})
		see(img, "newest messages "+id, func() ([]*goodshipv1.Message, error) {
			return st.Messages(ctx, workspace, id, store.Range{Limit: 3, Descending: true})
		})
		see(img, "notes "+id, func() ([]*goodshipv1.Note, error) {
			return st.Notes(ctx, workspace, id, store.Range{From: 1, Limit: 1000})
		})
		see(img, "resolutions "+id, func() ([]*goodshipv1.Resolution, error) {
			return st.Resolutions(ctx, workspace, id, store.Range{From: 1, Limit: 1000})
		})
		see(img, "place "+id, func() ([]*storev1.FeedRecord, error) {
			place, err := st.Place(ctx, workspace, id)
			return []*storev1.FeedRecord{{Position: int64(place)}}, err
		})
		see(img, "feed of "+id, func() ([]*storev1.Record, error) {
			feed, err := st.FeedOf(ctx, workspace, []string{"key of " + id}, 1, 1000)
			return recordsOf(feed), err
		})
		see(img, "records "+id, func() ([]*storev1.Record, error) { return st.Records(ctx, workspace, id, 0, 1000) })
	}
	for name, q := range map[string]store.Query{
		"all": {}, "line": {Order: store.ByLine}, "resolved": {State: goodshipv1.State_STATE_RESOLVED},
		"owned": {OwnerID: "agent_1"}, "customer": {CustomerKeys: []string{"key of conv_000"}},
	} {
		see(img, "list "+name, func() ([]*storev1.Head, error) {
			heads, _, err := st.List(ctx, workspace, q, nil, 1000)
			return heads, err
		})
	}
	oldest, newest, err := st.FeedEnds(ctx, workspace)
	see(img, "feed ends", func() ([]*storev1.FeedRecord, error) {
		return []*storev1.FeedRecord{{Position: oldest}, {Position: newest}}, err
	})
	feed, err := st.Feed(ctx, workspace, pruned, 10_000)
	img["feed"] = fmt.Sprint(len(feed), err)
	for _, e := range feed {
		see(img, fmt.Sprintf("feed %d of %s", e.Position, e.ConversationID), func() ([]*storev1.Record, error) { return []*storev1.Record{e.Record}, nil })
	}
	due, err := st.NextDue(ctx, nil, 1000)
	img["due"] = fmt.Sprint(due, err)
	imageOfObjects(ctx, st, img)
	return img
}

func one[M any](m M, err error) ([]M, error) { return []M{m}, err }

func see[M proto.Message](img image, what string, read func() ([]M, error)) {
	all, err := read()
	if err != nil {
		img[what] = damagedPrefix + err.Error()
		if !errors.Is(err, store.ErrDataLoss) {
			img[what] = "error: " + err.Error()
		}
		return
	}
	var b []byte
	for _, m := range all {
		b = append(b, "\n"...)
		if b, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend(b, m); err != nil {
			panic(err) // it was decoded from this form
		}
	}
	img[what] = string(b)
}

// damagedPrefix begins what an image has of a read that gave ErrDataLoss.
const damagedPrefix = "damaged: "

// diff returns the reads that gave something else in another image.
func (i image) diff(other image) []string {
	var diff []string
	reads := slices.AppendSeq(slices.Collect(maps.Keys(i)), maps.Keys(other))
	slices.Sort(reads)
	for _, what := range slices.Compact(reads) {
		if i[what] != other[what] {
			diff = append(diff, fmt.Sprintf("%s: %q and %q", what, i[what], other[what]))
		}
	}
	return diff
}

// mustBeSound fails the test if Check finds a problem.
func mustBeSound(t testing.TB, st store.Store) store.Report {
	t.Helper()
	report, err := st.Check(context.Background(), true)
	if err != nil {
		t.Errorf("Check: %v", err)
	}
	for _, problem := range report.Problems {
		t.Errorf("Check: %s", problem)
	}
	return report
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

var discard = slog.New(slog.DiscardHandler)

// process names this process as an owner file does.
func process() string { return fmt.Sprintf("process %d", os.Getpid()) }

// blocks returns how much of the disk a file takes.
func blocks(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
