package store

import (
	"context"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// PrivacyTx is what a unit may do to have somebody forgotten. What it removes is in no later read and in no later backup; in an
// engine's files its bytes are free, and go with the next compaction.
type PrivacyTx interface {
	// Conversations returns at most limit ids of a customer's conversations, whatever their state, in no particular order.
	Conversations(customerKey string, limit int) ([]string, error)
	// RemoveConversation removes a conversation with all that belongs to it: its head and log, marks, resolutions, and the request
	// ids that named it but for those that are kept for ever, and for the unit's own. The feed's entries of it stay, without their
	// records, and one follows that says that it was removed. Its external id is free, and so is its id: what is appended under it
	// from then on, in the same unit too, begins another conversation, which those entries are not of. Credits, affected customers
	// and parked conversations that name it stay as they are. ErrNotFound if there is no such conversation.
	RemoveConversation(id string, cause goodshipv1.RemovalCause) error
	// RemoveCustomer removes a customer's record, by the internal key; ErrNotFound if there is none. It returns an error, and removes
	// nothing, while a conversation of theirs is there. The id is free. What refers to the key refers to nobody from then on; credits
	// and ledgers stay.
	RemoveCustomer(key string) error
	// Erasure returns one, or ErrNotFound.
	Erasure(id string) (*storev1.ErasureRecord, error)
	PutErasure(*storev1.ErasureRecord) error
	PutRemoval(*goodshipv1.Removal) error
}

// PrivacyReader reads what was removed, and what is to be.
type PrivacyReader interface {
	// Resolved returns at most limit heads of conversations that are RESOLVED and of which the activity_time is before a time, the
	// oldest first, by id where times are equal, after a position (nil: from the start), and the position to go on from, nil at the
	// end. A page may be short or empty and still have a next one.
	Resolved(ctx context.Context, workspace string, before time.Time, after *Position, limit int) ([]*storev1.Head, *Position, error)
	// Erasure returns one, or ErrNotFound.
	Erasure(ctx context.Context, workspace, id string) (*storev1.ErasureRecord, error)
	// Erasures returns at most limit erasures with an id before the given one (empty: from the newest), newest first.
	Erasures(ctx context.Context, workspace, before string, limit int) ([]*storev1.ErasureRecord, error)
	// Removals returns at most limit entries of the log of what retention removed with an id before the given one (empty: from the
	// newest), newest first.
	Removals(ctx context.Context, workspace, before string, limit int) ([]*goodshipv1.Removal, error)
}
