package store

import (
	"context"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// CreditTx is what a unit may do with credits, and with what is counted of ratings.
type CreditTx interface {
	// Credit returns one, or ErrNotFound.
	Credit(id string) (*storev1.CreditRecord, error)
	// PutCredit sets it. It returns an error, and sets nothing, if it has no customer's key, or if the customer of one that is there is
	// not what it was.
	PutCredit(*storev1.CreditRecord) error
	// Ledger returns the sums of a customer's ledger; those of an empty one if there is none: a record with the key alone. Below, what
	// was not put is a record with the agent and the day, or the day, alone.
	Ledger(customerKey string) (*storev1.LedgerRecord, error)
	// AppendLedger adds an entry to a customer's ledger and sets its sums. It returns an error, and adds nothing, unless the entry's
	// number, and the count in the sums, are the ones that follow. Nothing changes an entry or removes it.
	AppendLedger(*storev1.LedgerRecord, *goodshipv1.LedgerEntry) error
	// Spent returns what an agent granted on a day; nothing granted if nothing was put.
	Spent(agentID, day string) (*storev1.SpentRecord, error)
	PutSpent(*storev1.SpentRecord) error
	// Statistics returns the counts of a day; none counted if nothing was put.
	Statistics(day string) (*storev1.StatisticsRecord, error)
	PutStatistics(*storev1.StatisticsRecord) error
}

// CreditReader reads credits, ledgers, and what is counted of ratings.
type CreditReader interface {
	// Credit returns one, or ErrNotFound.
	Credit(ctx context.Context, workspace, id string) (*storev1.CreditRecord, error)
	// Credits returns at most limit credits that the query holds for, with ids before the given one (empty: from the newest), newest
	// first, and the id to go on before, empty at the end. A page may be short or empty and still have a next one.
	Credits(ctx context.Context, workspace string, q CreditQuery, before string, limit int) ([]*storev1.CreditRecord, string, error)
	// CreditsDue returns at most limit credits that are PENDING and not overdue, over all workspaces, by settle_by_time, then
	// workspace and id, after one that was returned before (nil: from the first).
	CreditsDue(ctx context.Context, after *CreditDue, limit int) ([]CreditDue, error)
	// Ledger returns the sums of a customer's ledger; those of an empty one if there is none.
	Ledger(ctx context.Context, workspace, customerKey string) (*storev1.LedgerRecord, error)
	// LedgerEntries returns at most limit entries of it with numbers after the given one, by number.
	LedgerEntries(ctx context.Context, workspace, customerKey string, after int32, limit int) ([]*goodshipv1.LedgerEntry, error)
	// Spent returns what an agent granted on a day; nothing granted if nothing was put.
	Spent(ctx context.Context, workspace, agentID, day string) (*storev1.SpentRecord, error)
	// Statistics returns the counts of the days from one to another, both included, by day; days of which nothing was counted are
	// not among them.
	Statistics(ctx context.Context, workspace, from, to string) ([]*storev1.StatisticsRecord, error)
}

// CreditQuery says which credits: those for which all that is set holds.
type CreditQuery struct {
	ConversationID string
	// CustomerKeys are of customers, any of whom will do; nil for all. An empty one that is not nil is of nobody.
	CustomerKeys []string
	// State is any if unspecified. The PENDING ones are found without reading others.
	State goodshipv1.CreditState
}

// CreditDue is a credit that billing settles by a time.
type CreditDue struct {
	Workspace, CreditID string
	Time                time.Time
}
