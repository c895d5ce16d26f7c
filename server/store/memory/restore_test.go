package memory

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// restoredFrom restores a backup of workspace w with these entries, and with a key of request ids or none.
func restoredFrom(t *testing.T, requestKey []byte, entries []*storev1.BackupEntry) *Store {
	t.Helper()
	var backup bytes.Buffer
	out, err := store.NewBackupWriter(&backup, "epoch", requestKey)
	for _, e := range entries {
		if err == nil {
			err = out.Write(e)
		}
	}
	if err := errors.Join(err, out.Close(time.Unix(1, 0))); err != nil {
		t.Fatalf("write the backup: %v", err)
	}
	s, err := Restore(&backup, Options{})
	if err != nil {
		t.Fatalf("Restore: %v", err)
	}
	return s
}

// TestRestoreTakesBack restores a backup during which each thing that can be removed was, after it had been written.
func TestRestoreTakesBack(t *testing.T) {
	entries, err := furnished(t).workspaces["w"].backup("w", time.Now())
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	removal := &storev1.FeedRecord{Position: 5, ConversationId: "c", RemoveTime: timestamppb.New(time.Unix(1, 0)), RemovalCause: goodshipv1.RemovalCause_REMOVAL_CAUSE_EXPIRED}
	for _, gone := range []*storev1.Gone{
		{Object: &storev1.Gone_ConversationId{ConversationId: "c"}}, {Object: &storev1.Gone_CustomerKey{CustomerKey: "k"}},
		{Object: &storev1.Gone_Parked{Parked: &storev1.ParkedRecord{EndpointId: "x", ConversationId: "x"}}},
		{Object: &storev1.Gone_Delivery{Delivery: &storev1.DeliveryRecord{EndpointId: "x", Delivery: &goodshipv1.WebhookDelivery{Id: "x"}}}},
		{Object: &storev1.Gone_WebhookEndpointId{WebhookEndpointId: "x"}},
	} {
		taken := append(slices.Clone(entries), &storev1.BackupEntry{WorkspaceId: "w", Object: &storev1.BackupEntry_Gone{Gone: gone}})
		if gone.GetConversationId() != "" {
			taken = append(taken, &storev1.BackupEntry{WorkspaceId: "w", Object: &storev1.BackupEntry_Feed{Feed: removal}})
		}
		s, ctx := restoredFrom(t, store.NewKey(), taken), t.Context()
		_, err1 := s.Conversation(ctx, "w", "c")
		_, err2 := s.CustomerByKey(ctx, "w", "k")
		parked, err3 := s.Parked(ctx, "w", "x", "", 9)
		sent, err4 := s.Deliveries(ctx, "w", "x", "", 9)
		_, err5 := s.WebhookEndpoint(ctx, "w", "x")
		_, err6 := s.WebhookProgress(ctx, "w", "x")
		endpoint := gone.GetWebhookEndpointId() != ""
		for _, is := range []struct {
			what        string
			gone, wants bool
		}{
			{"conversation", errors.Is(err1, store.ErrNotFound), gone.GetConversationId() != ""},
			{"customer", errors.Is(err2, store.ErrNotFound), gone.GetCustomerKey() != ""},
			{"parked", err3 == nil && len(parked) == 0, gone.GetParked() != nil || endpoint},
			{"delivery", err4 == nil && len(sent) == 0, gone.GetDelivery() != nil || endpoint},
			{"endpoint", errors.Is(err5, store.ErrNotFound), endpoint}, {"progress", errors.Is(err6, store.ErrNotFound), endpoint},
		} {
			if is.gone != is.wants {
				t.Errorf("%v: %s gone: got %v", gone, is.what, is.gone)
			}
		}
	}
}

// TestRestoreWithoutRequestKey restores a backup from before request ids had a key: everything is there but those, which nothing
// would match.
func TestRestoreWithoutRequestKey(t *testing.T) {
	before := furnished(t)
	for _, once := range []store.Once{{RequestID: "request", Conversation: "c"}, {RequestID: "credit", Forever: true}} {
		if _, err := before.Update(t.Context(), "w", once, func(store.Tx) (*storev1.Receipt, error) { return &storev1.Receipt{}, nil }); err != nil {
			t.Fatalf("Update: %v", err)
		}
	}
	entries, err := before.workspaces["w"].backup("w", time.Now())
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	for _, is := range []struct {
		requestKey []byte
		remembered int
	}{{nil, 0}, {store.NewKey(), len(before.workspaces["w"].once)}} {
		s := restoredFrom(t, is.requestKey, entries)
		if got := len(s.workspaces["w"].once); got != is.remembered {
			t.Errorf("with a key of %d bytes: got %d request ids, want %d", len(is.requestKey), got, is.remembered)
		}
		if _, err := s.Conversation(t.Context(), "w", "c"); err != nil {
			t.Errorf("Conversation: %v", err)
		}
	}
}

// TestRestoreRefusesTheUnknown restores what a newer server removed.
func TestRestoreRefusesTheUnknown(t *testing.T) {
	err := newRestored().add(&storev1.BackupEntry{WorkspaceId: "w", Object: &storev1.BackupEntry_Gone{Gone: &storev1.Gone{}}})
	if !errors.Is(err, store.ErrDataLoss) {
		t.Errorf("got %v, want ErrDataLoss", err)
	}
}
