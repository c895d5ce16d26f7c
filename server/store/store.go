// Package store says where conversations are kept: a domain-level interface with one atomic unit of work inside one
// workspace. Engines implement it (store/bolt, store/memory), and the suite in store/storetest holds them to it.
//
// # What an engine promises
//
//   - A unit that Update acknowledged is durable, and whole: never a message without its event, head, index, request id
//     and feed entry, or the reverse. A unit that failed, panicked or was cancelled before it began left nothing.
//   - Units of one workspace happen one after the other, and each reads what the ones before it wrote. Real-time order
//     holds: a unit that begins after another was acknowledged comes after it.
//   - A unit's clock strictly increases within its workspace and never goes back, across restarts too.
//   - A request id has one effect, under any concurrency, retry and restart.
//   - Indexes equal a full scan. Pages under concurrent writes show each untouched item exactly once.
//   - Damage is an error (ErrDataLoss), never a crash and never wrong data.
//
// The stored form is the API's own messages and the small ones of goodship.store.v1; engines give out copies that the
// caller may change. Objects of one workspace are never found from another: they are ErrNotFound, like missing ones. Ids have 1
// to 255 bytes.
package store

import (
	"context"
	"errors"
	"io"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// Errors that engines return, wrapped with what they know. fn's own errors pass through Update as they are.
var (
	// ErrNotFound says that there is no such object in the workspace.
	ErrNotFound = errors.New("store: not found")
	// ErrRequestIDReused says that the request id was used with another body.
	ErrRequestIDReused = errors.New("store: request id was used with another body")
	// ErrExternalIDTaken says that another conversation has the external id.
	ErrExternalIDTaken = errors.New("store: external id is taken")
	// ErrUnavailable says that the unit did not happen, or that nobody can say: the request id tells. Try again.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrFull says that there is no room to write. Reads go on, and writes are taken again when there is.
	ErrFull = errors.New("store: no space left")
	// ErrDataLoss says that a stored record is damaged.
	ErrDataLoss = errors.New("store: damaged record")
	// ErrFeedPruned says that what followed a position of a feed is not kept any more, or, after a file was rolled back, that
	// the position is beyond its end.
	ErrFeedPruned = errors.New("store: the feed is not kept from there")
	// ErrPageToken says that a token was not sealed for this list by this store.
	ErrPageToken = errors.New("store: page token does not fit")
)

// Store keeps workspaces' conversations. Safe for concurrent use.
type Store interface {
	Updater
	ConversationReader
	Lister
	DirectoryReader
	CreditReader
	IncidentReader
	WebhookReader
	PrivacyReader
	Keeper
}

// Updater is the one way to change anything.
type Updater interface {
	// Update runs fn and makes all that it did durable in one step, or nothing of it. fn may run more than once, must
	// have no other effect, must not keep the Tx, and must not call the store. A request id that was seen before returns
	// the first receipt without running fn, or ErrRequestIDReused if it came with another body. When fn returns an error
	// or no receipt, nothing is remembered; with an error nothing is kept either. A panic of fn keeps nothing and reaches the
	// caller. A context that ends before the unit begins gives its error; once begun, a unit is waited for. Units may share a
	// commit, and its failure. An error of the engine's from a Tx ends the unit, whatever fn returns; ErrNotFound,
	// ErrExternalIDTaken and a refused Append do not.
	//
	// The workspace need not exist: the unit that puts its record makes it.
	Update(ctx context.Context, workspace string, once Once, fn func(Tx) (*storev1.Receipt, error)) (Result, error)
}

// Once makes a unit safe to repeat. The zero value asks for nothing.
type Once struct {
	// RequestID is the caller's; empty if the unit is not to be remembered.
	RequestID string
	// Scope is whom and what the id belongs to, the acting principal and the method: a hash of the Sealer's.
	Scope string
	// Conversation is the conversation that the request names, if it names one; it is part of the scope.
	Conversation string
	// Body is a hash of the Sealer's of the request without its id.
	Body [32]byte
	// Forever says that the request id is never forgotten, nor when the conversation is removed. It goes with the scope: all requests
	// of one scope say the same.
	Forever bool
}

// OnceRetention is how long a request id is remembered at least, unless it is kept for ever.
const OnceRetention = 24 * time.Hour

// Forgotten says whether a request id that was seen at a time may be forgotten by now.
func Forgotten(at, now time.Time, forever bool) bool { return !forever && now.Sub(at) > OnceRetention }

// Result is what Update did.
type Result struct {
	// Receipt is what fn returned, now or the first time; nil if fn returned none.
	Receipt *storev1.Receipt
	// Replayed says that fn did not run: the request id was seen before.
	Replayed bool
}

// Tx is one unit of work inside one workspace. It locks what it reads, and reads what the unit itself wrote. It is valid
// only inside the function that it was given to, on that goroutine.
type Tx interface {
	// Now returns the unit's time: the same for the whole unit, in UTC, in whole microseconds, after that of every
	// earlier unit of the workspace, and not before Keeper.Now at the call of Update. After a start with a clock that was
	// set back it may stay ahead of the wall clock.
	Now() time.Time
	ConversationTx
	DirectoryTx
	CreditTx
	IncidentTx
	WebhookTx
	PrivacyTx
}

// ConversationTx is what a unit may do with conversations.
type ConversationTx interface {
	// Conversation returns a head, or ErrNotFound.
	Conversation(id string) (*storev1.Head, error)
	// OldestWaiting returns the id of the WAITING conversation without an owner that has the smallest line_time, by id
	// where times are equal; empty if there is none.
	OldestWaiting() (string, error)
	// NewestUnresolved returns the id of a customer's newest conversation, by create_time, then id, that is not RESOLVED;
	// empty if there is none.
	NewestUnresolved(customerKey string) (string, error)
	// Unresolved returns the ids of a customer's conversations that are not RESOLVED, in the same order.
	Unresolved(customerKey string) ([]string, error)
	// Message, Note and Resolution return one by its number, or ErrNotFound.
	Message(conversation string, number int32) (*goodshipv1.Message, error)
	Note(conversation string, number int32) (*goodshipv1.Note, error)
	Resolution(conversation string, number int32) (*goodshipv1.Resolution, error)
	// ReadMark returns how far an agent (or, with an empty id, the customer) has read; zero if never.
	ReadMark(conversation, agentID string) (*storev1.ReadMarkRecord, error)
	// PutReadMark sets it; ErrNotFound if there is no such conversation.
	PutReadMark(conversation string, mark *storev1.ReadMarkRecord) error
	// PutDueTime sets when time next does something to a conversation by itself (zero: never) where nothing happened that
	// could be appended: somebody read, or the settings are others. ErrNotFound if there is no such conversation.
	PutDueTime(conversation string, due time.Time) error
	// Append adds to a conversation's log, or begins one, with one feed entry. A unit may append to a conversation more than once:
	// the next one follows the head of the one before. It returns ErrExternalIDTaken if a new
	// conversation's external id is another's, and an error if the numbers do not follow those that are there, or if the
	// customer, the external id or the create_time is not what it was. An Append that was refused leaves nothing, and the
	// unit may go on.
	Append(Change) error
}

// Change is what a unit did to one conversation.
type Change struct {
	// Head is the conversation after it.
	Head *storev1.Head
	// Record holds the events and what they added. Required.
	Record *storev1.Record
	// Messages, Notes are replaced as a whole: edited, redacted.
	Messages []*goodshipv1.Message
	Notes    []*goodshipv1.Note
	// Resolutions are added or replaced.
	Resolutions []*goodshipv1.Resolution
}

// DirectoryTx is what a unit may do with the workspace, its people and its keys.
type DirectoryTx interface {
	// Workspace returns the settings, or ErrNotFound.
	Workspace() (*storev1.WorkspaceRecord, error)
	PutWorkspace(*storev1.WorkspaceRecord) error
	// Agent returns a person who helps, or ErrNotFound.
	Agent(id string) (*storev1.AgentRecord, error)
	PutAgent(*storev1.AgentRecord) error
	// Customer returns a customer by the product's id, CustomerByKey by the internal key; or ErrNotFound.
	Customer(id string) (*storev1.CustomerRecord, error)
	CustomerByKey(key string) (*storev1.CustomerRecord, error)
	// PutCustomer sets it, under its key; the id must not be another's. A customer may get a new id.
	PutCustomer(*storev1.CustomerRecord) error
	// APIKey returns a key of the workspace by its id, or ErrNotFound.
	APIKey(id string) (*storev1.ApiKeyRecord, error)
	PutAPIKey(*storev1.ApiKeyRecord) error
}

// ConversationReader reads one conversation. Every method returns ErrNotFound for a conversation that the workspace does
// not have.
type ConversationReader interface {
	Conversation(ctx context.Context, workspace, id string) (*storev1.Head, error)
	// Messages, Notes and Resolutions return those with numbers from the range, in its order, as far as there are any.
	Messages(ctx context.Context, workspace, conversation string, r Range) ([]*goodshipv1.Message, error)
	Notes(ctx context.Context, workspace, conversation string, r Range) ([]*goodshipv1.Note, error)
	Resolutions(ctx context.Context, workspace, conversation string, r Range) ([]*goodshipv1.Resolution, error)
	// ReadMarks returns all marks, the customer's first, then by agent id.
	ReadMarks(ctx context.Context, workspace, conversation string) ([]*storev1.ReadMarkRecord, error)
	// Records returns at most limit records, in order, with what they added as it reads now: from the one that holds the
	// revision after a given one, whose first events may be at or before that.
	Records(ctx context.Context, workspace, conversation string, after int32, limit int) ([]*storev1.Record, error)
}

// Range is a run of numbers: at most Limit from From on, upwards, or downwards if Descending. Downwards from 0 means from
// the newest.
type Range struct {
	From       int32
	Limit      int
	Descending bool
}

// Lister finds conversations.
type Lister interface {
	// List returns at most limit heads that the query holds for, after a position (nil: from the start), and the position
	// to go on from, nil at the end. A page may be short or empty and still have a next one: an engine bounds how much it
	// reads for one page.
	List(ctx context.Context, workspace string, q Query, after *Position, limit int) ([]*storev1.Head, *Position, error)
	// ByExternalID returns the conversation that has an external id, or ErrNotFound.
	ByExternalID(ctx context.Context, workspace, externalID string) (*storev1.Head, error)
	// Feed returns at most limit entries after a position, in commit order: what happened in a workspace. 0 is before all.
	// Nothing ever appears at or before a position that was returned. ErrFeedPruned unless the position is one from oldest to
	// newest of FeedEnds.
	Feed(ctx context.Context, workspace string, after int64, limit int) ([]FeedEntry, error)
	// FeedEnds returns the positions between which a workspace's feed is kept: what follows oldest, up to newest. They are equal
	// if nothing of it is kept, and both 0 before anything happened. Neither ever goes back.
	FeedEnds(ctx context.Context, workspace string) (oldest, newest int64, err error)
	// FeedOf returns at most limit entries of what happened in the conversations of customers, after a position of the
	// workspace's feed, in its order. It reads their conversations and not the feed, so that no position is too old for it; one
	// beyond the feed's end has nothing after it. Each call looks at every conversation of the customers, also where nothing is
	// new: in memory at one that is RESOLVED, and into the log of each other. Of one that was removed it returns nothing, nor that it was.
	FeedOf(ctx context.Context, workspace string, customerKeys []string, after int64, limit int) ([]FeedEntry, error)
	// NextDue returns at most limit conversations, over all workspaces, by due time, then workspace and id, after one that was
	// returned before (nil: from the first).
	NextDue(ctx context.Context, after *Due, limit int) ([]Due, error)
	// Place returns a conversation's place in its workspace's line, from 1: 1 and how many WAITING ones come before it, whoever
	// owns them; 0 if it is not WAITING, ErrNotFound if there is no such conversation. It costs little in a line of any length.
	Place(ctx context.Context, workspace, conversation string) (int, error)
	// Lines returns the line of each workspace in which somebody waits, by workspace, as of one instant.
	Lines(ctx context.Context) ([]Line, error)
}

// Position is where a page ended: the sort key of its last item.
type Position struct {
	Time time.Time
	ID   string
}

// FeedEntry is what one Append did, or that a conversation was removed.
type FeedEntry struct {
	// Position is dense within the workspace, from 1.
	Position       int64
	ConversationID string
	// Record is that of the Append, with what it added as it reads now; nil if the conversation was removed, by this or since.
	Record *storev1.Record
	// RemoveTime is when the conversation was removed by this, and RemovalCause why; zero if it was not.
	RemoveTime   time.Time
	RemovalCause goodshipv1.RemovalCause
}

// Due is a conversation to which time does something.
type Due struct {
	Workspace, ConversationID string
	Time                      time.Time
}

// Hint says what may have changed: a conversation, a customer, an agent, or, with all of these empty, the workspace's settings
// or keys. Of credits, incidents, webhooks, erasures and what is counted there are no hints.
type Hint struct {
	Workspace string
	// ConversationID is set with CustomerKey, whose it is, and Due, when time next does something to it (zero: never). Read marks
	// give no hint.
	ConversationID, CustomerKey string
	Due                         time.Time
	// CustomerID and AgentID are of people whose records were put or removed, under the product's ids. Of a customer who got another
	// id there are two hints. A conversation that was removed has no Due.
	CustomerID, AgentID string
}

// Line is a workspace's line: its conversations that are WAITING, whoever owns them.
type Line struct {
	Workspace string
	Length    int
	// Oldest is the smallest line_time.
	Oldest time.Time
}

// DirectoryReader reads workspaces, people and keys.
type DirectoryReader interface {
	// Workspaces returns all workspaces, by id.
	Workspaces(ctx context.Context) ([]*storev1.WorkspaceRecord, error)
	Workspace(ctx context.Context, workspace string) (*storev1.WorkspaceRecord, error)
	Agent(ctx context.Context, workspace, id string) (*storev1.AgentRecord, error)
	// Agents returns at most limit agents with an id after the given one, by id. Here and below, fewer than asked for means
	// that these are the last, and a workspace that nobody wrote to has none.
	Agents(ctx context.Context, workspace, after string, limit int) ([]*storev1.AgentRecord, error)
	Customer(ctx context.Context, workspace, id string) (*storev1.CustomerRecord, error)
	CustomerByKey(ctx context.Context, workspace, key string) (*storev1.CustomerRecord, error)
	// Customers returns at most limit customers with an id after the given one, by id.
	Customers(ctx context.Context, workspace, after string, limit int) ([]*storev1.CustomerRecord, error)
	APIKey(ctx context.Context, workspace, id string) (*storev1.ApiKeyRecord, error)
	// APIKeyByHash returns the key with the hash, in whatever workspace.
	APIKeyByHash(ctx context.Context, hash []byte) (*storev1.ApiKeyRecord, error)
	// APIKeys returns at most limit keys with an id before the given one (empty: from the newest), newest first.
	APIKeys(ctx context.Context, workspace, before string, limit int) ([]*storev1.ApiKeyRecord, error)
}

// Keeper looks after the store as a whole.
type Keeper interface {
	// Now returns the clock that units' times come from, in UTC and whole microseconds. What is to be compared with them
	// must be read from it. It is safe to call inside of a unit.
	Now() time.Time
	// Ready returns nil while the store takes writes, or why it does not.
	Ready() error
	// Sealer seals page tokens and cursors under the store's key and epoch, and makes the hashes that request ids are remembered by.
	Sealer() *Sealer
	// Notify has fn called, after each commit and before the replies of its units, with a hint of each thing that it may have
	// changed, and of what a failed one may have; from the next commit on until stop is called, which waits for a call of fn that
	// is under way. A hint carries no data: who wants to know reads, and finds at least what the hint was of. fn is called from one
	// goroutine at a time and must be short, since all units wait for it: it must not wait for anything nor call the store or stop.
	Notify(fn func(Hint)) (stop func())
	// PruneFeed drops at most limit of the oldest entries of the workspaces' feeds, over all workspaces by their ids, whose newest
	// event is from before a time, and reports how many it dropped, also beside an error: 0 when there are none. Along a feed the
	// times of events are taken to grow as those of units do. A removal is from its time; an entry of a conversation that was removed
	// since is as old as the next entry that still tells when it was. The logs stay, and positions are never given again.
	PruneFeed(ctx context.Context, before time.Time, limit int) (int, error)
	// Backup writes a backup: each conversation and object as of one instant during the call. What is removed meanwhile and was written
	// already is taken back by an entry that says so, which is as good as not having it once the backup is restored. A request id that
	// may be forgotten is not in it.
	Backup(ctx context.Context, w io.Writer) error
	// Check compares what is stored with itself, by a full scan: checksums, numbers, indexes; deep, what each message says of
	// itself too. That a head is the fold of its log is the rules' business, and their tests'.
	Check(ctx context.Context, deep bool) (Report, error)
	// Close ends the store; units under way are finished first, later calls get ErrUnavailable.
	Close() error
}

// Report is what Check found.
type Report struct {
	Workspaces, Conversations, Messages, Events int64
	// Problems are sentences that name the record; empty if all is well.
	Problems []string
}
