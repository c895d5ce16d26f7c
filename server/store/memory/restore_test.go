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

// restoredFrom restores a backup of workspace w with these entries.
func restoredFrom(t *testing.T, entries []*storev1.BackupEntry) *Store {
	t.Helper()
	var backup bytes.Buffer
	out, err := store.NewBackupWriter(&backup, "epoch", store.NewKey())
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
		s, ctx := restoredFrom(t, taken), t.Context()
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

// TestRestoreRefusesTheUnknown restores what a newer server removed.
func TestRestoreRefusesTheUnknown(t *testing.T) {
	err := newRestored().add(&storev1.BackupEntry{WorkspaceId: "w", Object: &storev1.BackupEntry_Gone{Gone: &storev1.Gone{}}})
	if !errors.Is(err, store.ErrDataLoss) {
		t.Errorf("got %v, want ErrDataLoss", err)
	}
}
