package memory

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Backup implements store.Keeper: all as of one instant.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	all, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	out, err := store.NewBackupWriter(w, s.sealer.Epoch(), s.sealer.RequestKey())
	if err != nil {
		return err
	}
	var clock time.Time
	for _, id := range sortedKeys(all) {
		entries, err := all[id].backup(id, s.Now())
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := out.Write(e); err != nil {
				return err
			}
		}
		if all[id].last.After(clock) {
			clock = all[id].last
		}
	}
	return out.Close(clock)
}

// entries is what a backup holds of one workspace.
type entries struct {
	workspace string
	all       []*storev1.BackupEntry
	err       error
}

// backup returns what a backup at a time holds of a workspace.
func (w *workspace) backup(id string, now time.Time) ([]*storev1.BackupEntry, error) {
	e := &entries{workspace: id}
	if w.record != nil {
		addTo(e, "", [][]byte{w.record}, func(m *storev1.WorkspaceRecord, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_Workspace{Workspace: m}
		})
	}
	addTo(e, "", sortedValues(w.agents), func(m *storev1.AgentRecord, b *storev1.BackupEntry) { b.Object = &storev1.BackupEntry_Agent{Agent: m} })
	addTo(e, "", sortedValues(w.customers), func(m *storev1.CustomerRecord, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_Customer{Customer: m}
	})
	addTo(e, "", sortedValues(w.apiKeys), func(m *storev1.ApiKeyRecord, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_ApiKey{ApiKey: m}
	})
	for _, id := range sortedKeys(w.conversations) {
		c := w.conversations[id]
		addTo(e, id, [][]byte{c.head}, func(m *storev1.Head, b *storev1.BackupEntry) { b.Object = &storev1.BackupEntry_Head{Head: m} })
		e.addLog(id, c)
		addTo(e, id, c.resolutions, func(m *goodshipv1.Resolution, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_Resolution{Resolution: m}
		})
		addTo(e, id, sortedValues(c.marks), func(m *storev1.ReadMarkRecord, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_ReadMark{ReadMark: m}
		})
	}
	e.addCredits(w)
	e.addIncidents(w)
	e.addWebhooks(w)
	e.addPrivacy(w)
	e.addFeed(w)
	e.addOnce(w, now)
	return e.all, e.err
}

func (e *entries) addCredits(w *workspace) {
	addTo(e, "", sortedValues(w.credits), func(m *storev1.CreditRecord, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_Credit{Credit: m}
	})
	for _, key := range sortedKeys(w.ledgers) {
		l := w.ledgers[key]
		addTo(e, "", [][]byte{l.sums}, func(m *storev1.LedgerRecord, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_Ledger{Ledger: m}
		})
		addTo(e, "", l.entries, func(m *goodshipv1.LedgerEntry, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_LedgerLine{LedgerLine: &storev1.LedgerLine{CustomerKey: key, Entry: m}}
		})
	}
	for _, days := range sortedValues(w.spent) {
		addTo(e, "", sortedValues(days), func(m *storev1.SpentRecord, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_Spent{Spent: m}
		})
	}
	addTo(e, "", sortedValues(w.statistics), func(m *storev1.StatisticsRecord, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_Statistics{Statistics: m}
	})
}

func (e *entries) addIncidents(w *workspace) {
	addTo(e, "", sortedValues(w.incidents), func(m *storev1.IncidentRecord, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_Incident{Incident: m}
	})
	for _, affected := range sortedValues(w.affected) {
		addTo(e, "", sortedValues(affected), func(m *storev1.AffectedRecord, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_Affected{Affected: m}
		})
	}
}

func (e *entries) addWebhooks(w *workspace) {
	addTo(e, "", sortedValues(w.endpoints), func(m *storev1.WebhookEndpointRecord, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_WebhookEndpoint{WebhookEndpoint: m}
	})
	addTo(e, "", sortedValues(w.progress), func(m *storev1.WebhookProgressRecord, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_WebhookProgress{WebhookProgress: m}
	})
	for _, parked := range sortedValues(w.parked) {
		addTo(e, "", sortedValues(parked), func(m *storev1.ParkedRecord, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_Parked{Parked: m}
		})
	}
	for _, endpoint := range sortedKeys(w.deliveries) {
		addTo(e, "", sortedValues(w.deliveries[endpoint]), func(m *goodshipv1.WebhookDelivery, b *storev1.BackupEntry) {
			b.Object = &storev1.BackupEntry_Delivery{Delivery: &storev1.DeliveryRecord{EndpointId: endpoint, Delivery: m}}
		})
	}
}

func (e *entries) addPrivacy(w *workspace) {
	addTo(e, "", sortedValues(w.erasures), func(m *storev1.ErasureRecord, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_Erasure{Erasure: m}
	})
	addTo(e, "", sortedValues(w.removals), func(m *goodshipv1.Removal, b *storev1.BackupEntry) {
		b.Object = &storev1.BackupEntry_Removal{Removal: m}
	})
}

// addTo decodes what is stored and adds an entry for each.
func addTo[T any, M message[T]](e *entries, conversation string, stored [][]byte, set func(M, *storev1.BackupEntry)) {
	ms, err := decodeAll[T, M](stored)
	e.err = errors.Join(e.err, err)
	for _, m := range ms {
		entry := &storev1.BackupEntry{WorkspaceId: e.workspace, ConversationId: conversation}
		set(m, entry)
		e.all = append(e.all, entry)
	}
}

// addLog adds the log of a conversation.
func (e *entries) addLog(id string, c *conversation) {
	for _, r := range c.records {
		m, err := c.read(r)
		e.err = errors.Join(e.err, err)
		e.all = append(e.all, &storev1.BackupEntry{WorkspaceId: e.workspace, ConversationId: id, Object: &storev1.BackupEntry_LogRecord{
			LogRecord: &storev1.LogRecord{Record: m, FeedPosition: r.position},
		}})
	}
}

// addFeed adds the feed, after up to where it was pruned, if it ever was.
func (e *entries) addFeed(w *workspace) {
	add := func(m *storev1.FeedRecord) {
		e.all = append(e.all, &storev1.BackupEntry{WorkspaceId: e.workspace, Object: &storev1.BackupEntry_Feed{Feed: m}})
	}
	if w.pruned > 0 {
		add(&storev1.FeedRecord{Position: w.pruned})
	}
	for i, f := range w.feed {
		m := &storev1.FeedRecord{Position: w.pruned + int64(i+1), ConversationId: f.conversation, Revision: f.revision, RemovalCause: f.cause}
		if !f.removeTime.IsZero() {
			m.RemoveTime = timestamppb.New(f.removeTime)
		}
		add(m)
	}
}

func (e *entries) addOnce(w *workspace, now time.Time) {
	for _, key := range slices.SortedFunc(maps.Keys(w.once), func(a, b [16]byte) int { return slices.Compare(a[:], b[:]) }) {
		r := w.once[key]
		if store.Forgotten(r.time, now, r.forever) {
			continue
		}
		receipt, err := decode[storev1.Receipt](r.receipt)
		e.err = errors.Join(e.err, err)
		e.all = append(e.all, &storev1.BackupEntry{WorkspaceId: e.workspace, ConversationId: r.conversation, Object: &storev1.BackupEntry_Once{
			Once: &storev1.OnceRecord{Key: key[:], Body: r.body[:], Receipt: receipt, Time: timestamppb.New(r.time), Forever: r.forever},
		}})
	}
}
