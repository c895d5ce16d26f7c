package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// Restore returns a store with what a backup holds, whatever engine it was taken from. It begins a new epoch. A backup
// that is damaged, or does not fit together, is ErrDataLoss.
func Restore(in io.Reader, options Options) (*Store, error) {
	backup, err := store.NewBackupReader(in)
	if err != nil {
		return nil, err
	}
	all := make(map[string]*restored)
	for {
		e, err := backup.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if all[e.GetWorkspaceId()] == nil {
			all[e.GetWorkspaceId()] = newRestored()
		}
		if err := all[e.GetWorkspaceId()].add(e); err != nil {
			return nil, err
		}
	}
	s := newStore(options, backup.RequestKey())
	for id, r := range all {
		r.workspace.last = backup.Clock()
		if s.workspaces[id], err = r.whole(); err != nil {
			return nil, err
		}
	}
	report, err := s.Check(context.Background(), true)
	if err == nil && len(report.Problems) != 0 {
		err = fmt.Errorf("%w: the backup does not fit together: %s", store.ErrDataLoss, strings.Join(report.Problems, "; "))
	}
	return s, err
}

// restored is what was read of a workspace. Later entries of an object take the place of earlier ones.
type restored struct {
	workspace   *workspace
	records     map[feedKey]*storev1.LogRecord
	resolutions map[string]map[int32]*goodshipv1.Resolution
	ledgers     map[string]*restoredLedger
	feed        map[int64]feedEntry
}

// restoredLedger is what was read of a customer's ledger.
type restoredLedger struct {
	sums    *storev1.LedgerRecord
	entries map[int32]*goodshipv1.LedgerEntry
}

// feedKey is the record of a conversation that ends with a revision.
type feedKey struct {
	conversation string
	revision     int32
}

func newRestored() *restored {
	return &restored{
		workspace:   (*workspace)(nil).copy(),
		records:     make(map[feedKey]*storev1.LogRecord),
		resolutions: make(map[string]map[int32]*goodshipv1.Resolution),
		ledgers:     make(map[string]*restoredLedger),
		feed:        make(map[int64]feedEntry),
	}
}

// conversation returns one, to be changed.
func (r *restored) conversation(id string) *conversation {
	if r.workspace.conversations[id] == nil {
		r.workspace.conversations[id] = (&conversation{}).copy()
		r.resolutions[id] = make(map[int32]*goodshipv1.Resolution)
	}
	return r.workspace.conversations[id]
}

// add takes in an entry.
func (r *restored) add(e *storev1.BackupEntry) (err error) {
	w, id := r.workspace, e.GetConversationId()
	switch o := e.GetObject().(type) {
	case *storev1.BackupEntry_Workspace:
		w.record, err = encode(o.Workspace)
	case *storev1.BackupEntry_Agent:
		err = put(w.agents, o.Agent.GetAgent().GetId(), o.Agent)
	case *storev1.BackupEntry_Customer:
		err = put(w.customers, o.Customer.GetKey(), o.Customer)
	case *storev1.BackupEntry_ApiKey:
		err = put(w.apiKeys, o.ApiKey.GetApiKey().GetId(), o.ApiKey)
	case *storev1.BackupEntry_Head:
		r.conversation(id).head, err = encode(o.Head)
	case *storev1.BackupEntry_LogRecord:
		if events := o.LogRecord.GetRecord().GetEvents(); len(events) > 0 {
			r.conversation(id)
			r.records[feedKey{id, events[len(events)-1].GetRevision()}] = o.LogRecord
		}
	case *storev1.BackupEntry_Resolution:
		r.conversation(id)
		r.resolutions[id][o.Resolution.GetNumber()] = o.Resolution
	case *storev1.BackupEntry_ReadMark:
		err = put(r.conversation(id).marks, o.ReadMark.GetAgentId(), o.ReadMark)
	case *storev1.BackupEntry_Once:
		err = r.addOnce(id, o.Once)
	case *storev1.BackupEntry_Feed:
		r.addFeed(o.Feed)
	default:
		err = r.addOther(e)
	}
	return err
}

// addFeed takes in an entry of the feed, or, of one without a conversation, up to where the feed was pruned.
func (r *restored) addFeed(f *storev1.FeedRecord) {
	if f.GetConversationId() == "" {
		r.workspace.pruned = f.GetPosition()
		return
	}
	entry := feedEntry{conversation: f.GetConversationId(), revision: f.GetRevision(), cause: f.GetRemovalCause()}
	if f.GetRemoveTime() != nil {
		entry.removeTime = f.GetRemoveTime().AsTime()
	}
	r.feed[f.GetPosition()] = entry
}

func (r *restored) addOnce(conversation string, o *storev1.OnceRecord) error {
	if len(o.GetKey()) != 16 || len(o.GetBody()) != 32 {
		return fmt.Errorf("%w: the backup holds a request id with a key of %d bytes and a body of %d", store.ErrDataLoss, len(o.GetKey()), len(o.GetBody()))
	}
	receipt, err := encode(o.GetReceipt())
	if err != nil {
		return err
	}
	r.workspace.once[[16]byte(o.GetKey())] = remembered{
		conversation: conversation, body: [32]byte(o.GetBody()), receipt: receipt, time: o.GetTime().AsTime(), forever: o.GetForever(),
	}
	return nil
}

// whole returns the workspace with its logs, put together in the order of the feed, which is that of each log too.
func (r *restored) whole() (*workspace, error) {
	w := r.workspace
	for _, key := range slices.SortedFunc(maps.Keys(r.records), func(a, b feedKey) int {
		return cmp.Compare(r.records[a].GetFeedPosition(), r.records[b].GetFeedPosition())
	}) {
		if err := r.conversation(key.conversation).add(r.records[key].GetRecord(), r.records[key].GetFeedPosition()); err != nil {
			return nil, fmt.Errorf("%w: revision %d of conversation %q: %w", store.ErrDataLoss, key.revision, key.conversation, err)
		}
	}
	// What was pruned while the backup was taken may be in it.
	maps.DeleteFunc(r.feed, func(position int64, _ feedEntry) bool { return position <= w.pruned })
	for range len(r.feed) {
		entry, ok := r.feed[w.newest()+1]
		if !ok {
			return nil, fmt.Errorf("%w: the backup lacks feed position %d", store.ErrDataLoss, w.newest()+1)
		}
		w.feed = append(w.feed, entry)
	}
	for id, resolutions := range r.resolutions {
		c := w.conversations[id]
		for _, number := range slices.Sorted(maps.Keys(resolutions)) {
			var err error
			if c.resolutions, err = set(c.resolutions, number, resolutions[number]); err != nil {
				return nil, fmt.Errorf("%w: %w", store.ErrDataLoss, err)
			}
		}
	}
	for key, l := range r.ledgers {
		var err error
		if w.ledgers[key], err = l.whole(); err != nil {
			return nil, fmt.Errorf("%w: ledger of the customer with key %q: %w", store.ErrDataLoss, key, err)
		}
	}
	return w, nil
}
