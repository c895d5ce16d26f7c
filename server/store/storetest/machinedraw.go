package storetest

import (
	"errors"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// draw returns any unit. Its times are drawn too, since the engines' clocks need not agree to the microsecond.
func (m *twins) draw() unit {
	u := unit{workspace: one(m.pick, twinWorkspaces)}
	for range m.pick(3) + 1 {
		u.do = append(u.do, m.drawAction(u.workspace))
	}
	if m.pick(6) == 0 {
		u.fail = errOwn
	}
	if m.pick(3) == 0 {
		u.once = store.Once{
			RequestID: fmt.Sprint("request ", m.pick(4)), Scope: one(m.pick, []string{"a", "ab"}),
			Conversation: one(m.pick, []string{"", "b", "conv_01"}), Body: [32]byte{byte(m.pick(2))},
		}
		u.once.Forever = u.once.Scope == "ab"
	}
	if m.pick(3) != 0 {
		u.receipt = &storev1.Receipt{MessageNumber: int32(m.pick(100))}
	}
	return u
}

func (m *twins) drawAction(workspace string) action {
	version := int32(m.pick(100))
	switch m.pick(16) {
	case 0:
		record := workspaceRecord(workspace, version)
		return action{fmt.Sprint("put workspace ", record), store.Hint{Workspace: workspace}, func(tx store.Tx) error { return tx.PutWorkspace(record) }}
	case 1:
		record := agentRecord(one(m.pick, agents), version)
		return action{fmt.Sprint("put agent ", record), store.Hint{Workspace: workspace, AgentID: record.GetAgent().GetId()}, func(tx store.Tx) error { return tx.PutAgent(record) }}
	case 2:
		key := one(m.pick, customers)
		record := customerRecord("id of "+key, key, version)
		return action{fmt.Sprint("put customer ", record), store.Hint{Workspace: workspace, CustomerID: "id of " + key}, func(tx store.Tx) error { return tx.PutCustomer(record) }}
	case 3:
		record := apiKeyRecord(workspace, one(m.pick, []string{"key_1", "key_2"}), version)
		return action{fmt.Sprint("put key ", record), store.Hint{Workspace: workspace}, func(tx store.Tx) error { return tx.PutAPIKey(record) }}
	case 4:
		id, mark := m.drawID(), &storev1.ReadMarkRecord{AgentId: one(m.pick, append([]string{""}, agents...)), MessageNumber: version}
		return action{fmt.Sprintf("mark %s read: %v", id, mark), store.Hint{}, func(tx store.Tx) error { return tx.PutReadMark(id, mark) }}
	case 5, 6, 7, 8, 9:
		return m.drawOther(workspace)
	}
	return m.drawAppend(workspace)
}

// drawID returns the id of a conversation that was begun, or of one that was not.
func (m *twins) drawID() string { return fmt.Sprintf("conv_%02d", m.pick(m.begun+1)) }

// drawAppend appends anything to any conversation.
func (m *twins) drawAppend(workspace string) action {
	id, now := m.drawID(), moment(m.pick)
	if m.pick(3) == 0 {
		m.begun++
		id = fmt.Sprintf("conv_%02d", m.begun)
	}
	customer, external := one(m.pick, customers), one(m.pick, []string{"", "", "external_1", "external_2"})
	what, edit := m.drawEdit()
	said := fmt.Sprintf("append to %s, if new of %s under %q: %s", id, customer, external, what)
	return action{said, store.Hint{Workspace: workspace, ConversationID: id}, func(tx store.Tx) error {
		head, err := tx.Conversation(id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		d := goOn(head, now)
		if head == nil {
			d = begin(id, customer, now)
			d.conversation().ExternalId = external
		}
		edit(d)
		return tx.Append(d.change())
	}}
}

// drawEdit draws first and returns what edits then, since an edit runs on two engines, and may run more than once.
func (m *twins) drawEdit() (string, func(*draft)) {
	what, which, text := m.pick(10), int32(m.pick(6)), fmt.Sprint("text ", m.pick(100))
	looks := begin("", "", moment(m.pick))
	looks.shuffle(m.pick)
	return fmt.Sprintf("%d, %d, %s, to resemble %v", what, which, text, looks.head), func(d *draft) {
		before := proto.CloneOf(d.conversation())
		if what < 5 {
			d.say(text)
		}
		if what == 3 || what == 6 {
			d.note(text)
		}
		if what == 4 || what == 7 {
			d.propose(text)
		}
		// At most two of each are replaced, from the newer to the older.
		for n := which % (before.GetMessageCount() + 1); n > max(0, which-2); n-- {
			d.edit(n, text)
		}
		for n := which % (before.GetNoteCount() + 1); n > max(0, which-2); n-- {
			d.editNote(n, text)
		}
		for n := which % (before.GetResolutionCount() + 1); n > max(0, which-2); n-- {
			d.withdraw(n, text)
		}
		if what%2 == 0 {
			d.resemble(looks)
		}
	}
}

// resemble takes over what shuffle sets.
func (d *draft) resemble(other *draft) {
	head := proto.CloneOf(other.head)
	from, to := head.GetConversation(), d.conversation()
	to.State, to.Outcome, to.ResolveTime = from.GetState(), from.GetOutcome(), from.GetResolveTime()
	to.OwnerId, to.HelperIds, to.Labels = from.GetOwnerId(), from.GetHelperIds(), from.GetLabels()
	to.LineTime, to.ActivityTime, d.head.DueTime = from.GetLineTime(), from.GetActivityTime(), head.GetDueTime()
}
