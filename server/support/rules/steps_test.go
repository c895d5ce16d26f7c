package rules_test

import (
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	words   = rules.Content{Text: "It skips."}
	nothing = rules.Content{}
	matter  = goodshipv1.Matter_MATTER_FAULT
)

// after lets time pass, with a clock that fires.
func after(d time.Duration) step {
	return func(k *talk) error {
		k.now = k.now.Add(d)
		return k.tick()
	}
}

// unfired lets time pass while no clock fires: what is due is done by the next command.
func unfired(d time.Duration) step {
	return func(k *talk) error {
		k.now = k.now.Add(d)
		return nil
	}
}

// seen returns what somebody had seen: the revision at which they looked, which they then forget, or the newest.
func (k *talk) seen(p person) int32 {
	if r, ok := k.looked[p.id]; ok {
		delete(k.looked, p.id)
		return r
	}
	return k.head.Conversation.Revision
}

// looks makes the person's next answer one to what is there now, whatever comes between.
func (p person) looks(k *talk) error {
	k.looked[p.id] = k.head.Conversation.Revision
	return nil
}

// saw makes the person's next answer one to a revision.
func (p person) saw(revision int32) step {
	return func(k *talk) error {
		k.looked[p.id] = revision
		return nil
	}
}

func (p person) opens(k *talk) error {
	reason := goodshipv1.OutreachReason_OUTREACH_REASON_FAULT_FOUND
	if p == customer {
		reason = goodshipv1.OutreachReason_OUTREACH_REASON_UNSPECIFIED
	}
	return k.do(p, func(c *rules.Conversation) error { return c.Open(words, reason) })
}

// saysSorry says an incident's apology in a conversation that is there.
func (p person) saysSorry(k *talk) error {
	return k.do(p, func(c *rules.Conversation) error { return c.Apologize(words.Text) })
}

func (p person) informs(k *talk) error {
	return k.do(p, informing)
}

func (p person) sends(k *talk) error {
	seen := k.seen(p)
	return k.do(p, func(c *rules.Conversation) error { return c.Send(words, seen) })
}

func (p person) edits(number int32) step {
	return func(k *talk) error {
		m := proto.CloneOf(k.messages[number])
		err := k.do(p, func(c *rules.Conversation) error { return c.Edit(m, "It skips a lot.") })
		if err == nil {
			k.messages[number] = m
		}
		return err
	}
}

func (p person) redacts(number int32) step {
	return func(k *talk) error {
		m := proto.CloneOf(k.messages[number])
		err := k.do(p, func(c *rules.Conversation) error { return c.Redact(m) })
		if err == nil {
			k.messages[number] = m
		}
		return err
	}
}

func (p person) reports(number int32) step {
	return func(k *talk) error {
		m := proto.CloneOf(k.messages[number])
		err := k.do(p, func(c *rules.Conversation) error {
			return c.ReportDelivery(m, goodshipv1.DeliveryState_DELIVERY_STATE_FAILED, "mailbox full")
		})
		if err == nil {
			k.messages[number] = m
		}
		return err
	}
}

func (p person) notes(k *talk) error {
	return k.do(p, func(c *rules.Conversation) error { c.AddNote("a fan of ships"); return nil })
}

func (p person) editsNote(number int32) step {
	return func(k *talk) error {
		n := proto.CloneOf(k.notes[number])
		err := k.do(p, func(c *rules.Conversation) error { return c.EditNote(n, "a fan of good ships") })
		if err == nil {
			k.notes[number] = n
		}
		return err
	}
}

func (p person) redactsNote(number int32) step {
	return func(k *talk) error {
		n := proto.CloneOf(k.notes[number])
		err := k.do(p, func(c *rules.Conversation) error { return c.RedactNote(n) })
		if err == nil {
			k.notes[number] = n
		}
		return err
	}
}

func (p person) appearsAs(name string) step {
	return func(k *talk) error {
		var persona *goodshipv1.Persona
		if name != "" {
			persona = &goodshipv1.Persona{DisplayName: name}
		}
		return k.do(p, func(c *rules.Conversation) error { return c.SetPersona(persona) })
	}
}

func (p person) describes(fields ...string) step {
	return func(k *talk) error {
		u := &goodshipv1.ConversationUpdate{Subject: "Playback", Labels: []string{"video"}}
		return k.do(p, func(c *rules.Conversation) error { c.Describe(u, fields); return nil })
	}
}

func (p person) claims(k *talk) error   { return k.do(p, (*rules.Conversation).Claim) }
func (p person) releases(k *talk) error { return k.do(p, (*rules.Conversation).Release) }
func (p person) accepts(k *talk) error  { return k.do(p, (*rules.Conversation).AcceptHandOver) }
func (p person) declines(k *talk) error { return k.do(p, (*rules.Conversation).DeclineHandOver) }

func (p person) invites(other person) step {
	return func(k *talk) error {
		return k.do(p, func(c *rules.Conversation) error { return c.Invite(other.id) })
	}
}

func (p person) removes(other person) step {
	return func(k *talk) error {
		return k.do(p, func(c *rules.Conversation) error { return c.RemoveHelper(other.id) })
	}
}

func (p person) offers(other person) step {
	return func(k *talk) error {
		return k.do(p, func(c *rules.Conversation) error { return c.HandOver(other.id, "the cable is the matter") })
	}
}

// proposes says something with the proposal; states proposes without a word.
func (p person) proposes(k *talk) error { return p.proposing(words)(k) }
func (p person) states(k *talk) error   { return p.proposing(nothing)(k) }

func (p person) proposing(content rules.Content) step {
	return func(k *talk) error {
		proposal := rules.Proposal{Matter: matter, Done: "sent a cable", Content: content, Seen: k.seen(p)}
		return k.do(p, func(c *rules.Conversation) error { return c.Propose(proposal) })
	}
}

// withdraws, confirms and rejects name a resolution, or with 0 none.
func (p person) withdraws(number int32) step {
	return func(k *talk) error {
		return k.do(p, func(c *rules.Conversation) error { return c.Withdraw(number) })
	}
}

func (p person) confirms(number int32) step { return p.confirming(number, nothing) }

func (p person) confirming(number int32, content rules.Content) step {
	return func(k *talk) error {
		return k.do(p, func(c *rules.Conversation) error { return c.Confirm(number, content) })
	}
}

func (p person) rejects(number int32) step { return p.rejecting(number, nothing) }

func (p person) rejecting(number int32, content rules.Content) step {
	return func(k *talk) error {
		return k.do(p, func(c *rules.Conversation) error { return c.Reject(number, content) })
	}
}

// rates says nothing with the rating; comments does.
func (p person) rates(solved bool) step    { return p.rating(solved, "") }
func (p person) comments(solved bool) step { return p.rating(solved, "quick") }

func (p person) rating(solved bool, comment string) step {
	return func(k *talk) error {
		rating := &goodshipv1.Rating{Solved: &solved, Personal: 5, Easy: 4, Comment: comment}
		return k.do(p, func(c *rules.Conversation) error { return c.Rate(0, rating) })
	}
}

func (p person) dismisses(k *talk) error {
	seen := k.seen(p)
	return k.do(p, func(c *rules.Conversation) error {
		return c.Dismiss(goodshipv1.DismissReason_DISMISS_REASON_SPAM, seen)
	})
}

// goesAway and isDisabled end a presence; whoever keeps presences tells the conversation.
func (p person) goesAway(k *talk) error {
	k.presence[p.id] = rules.Presence{Left: k.now}
	return k.tick()
}

func (p person) isDisabled(k *talk) error {
	k.presence[p.id] = rules.Presence{Left: k.now, Disabled: true}
	return k.tick()
}

// vanishes ends a presence while nobody tells the conversation; comesBack begins one anew, by a call that is none here.
func (p person) vanishes(k *talk) error {
	k.presence[p.id] = rules.Presence{Left: k.now}
	return nil
}

func (p person) comesBack(k *talk) error {
	k.comesBack(p)
	return nil
}

// comesBack makes somebody present who was away.
func (k *talk) comesBack(p person) {
	if gone := k.presence[p.id]; !gone.Left.IsZero() && gone.Back.IsZero() && !gone.Disabled {
		k.presence[p.id] = rules.Presence{Left: gone.Left, Back: k.now}
	}
}

// isBlocked blocks the customer for a while; 0 is for ever.
func isBlocked(d time.Duration) step {
	return func(k *talk) error {
		k.block = &goodshipv1.Block{Reason: "abuse", BlockTime: timestamppb.New(k.now)}
		if d != 0 {
			k.block.UntilTime = timestamppb.New(k.now.Add(d))
		}
		return nil
	}
}

// looksAway makes the customer read nothing from now on; hasRead makes them read up to a message.
func looksAway(k *talk) error {
	k.looking, k.read = false, k.head.Conversation.MessageCount
	return nil
}

func hasRead(number int32) step {
	return func(k *talk) error {
		k.looking = false
		err := k.do(customer, func(c *rules.Conversation) error { c.Read(number); return nil })
		k.read = max(k.read, number)
		return err
	}
}

// othersWait puts another conversation, unowned, into the line, since a while after the epoch.
func othersWait(d time.Duration) step {
	return func(k *talk) error {
		k.oldest = rules.LinePlace{ID: "conv_0", Time: epoch.Add(d)}
		return nil
	}
}

// outreachOpen says that an outreach to the customer is unanswered.
func outreachOpen(k *talk) error {
	k.outreach = "conv_0"
	return nil
}
