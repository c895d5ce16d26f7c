package support

import (
	"errors"
	"slices"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// begin is the first turn.
func (w *watch) begin(cursor string) error {
	if err := w.look(); err != nil {
		return err
	}
	if w.caller.isAgent() {
		w.service.presence.hold(w.scope.workspace, w.caller.ID)
		w.held = true
	}
	if err := w.open(cursor); err != nil {
		return err
	}
	return w.turn()
}

// open sets the position: that of the cursor, or, without one, behind all that happened until now.
func (w *watch) open(cursor string) error {
	oldest, newest, err := w.ends()
	if err != nil || cursor == "" {
		w.at = newest
		return err
	}
	if w.at, err = w.scope.open(w.service.store.Sealer(), cursor); err != nil {
		return err
	}
	if w.at.compare(oldest) < 0 || w.at.compare(newest) > 0 {
		return cursorTooOld(w.scope.seal(w.service.store.Sealer(), oldest))
	}
	return nil
}

// ends returns between which positions the stream can begin. Of one conversation it reads the marks too.
func (w *watch) ends() (oldest, newest position, err error) {
	s, ctx := w.service, WithCaller(w.ctx, w.caller)
	if w.scope.conversation == "" {
		oldest.at, newest.at, err = s.store.FeedEnds(ctx, w.scope.workspace)
		if w.scope.customer != "" { // what happened in conversations is read from their logs
			oldest.at = 0
		}
		return oldest, newest, err
	}
	head, err := s.visible(ctx, w.scope.conversation)
	if err != nil {
		return oldest, newest, err
	}
	newest.at = int64(head.Conversation.Revision)
	w.begun, err = s.readMarks(ctx, head)
	w.marks = w.begun
	return oldest, newest, err
}

// turn does what there is to do. It ends the stream with an error, except errHalted. The first update tells where the stream
// begins. A turn that told what just happened stays until it is halted, since more may follow.
func (w *watch) turn() error {
	if err := w.look(); err != nil {
		return w.ended(err)
	}
	if err := w.over(); err != nil {
		return err
	}
	if err := w.beat(); err != nil {
		return err
	}
	if err := w.tellMarks(); err != nil {
		return err
	}
	for {
		w.busy = false
		if isClosed(w.wake) {
			if err := w.catchUp(); err != nil {
				return err
			}
		}
		if err := w.notices(); err != nil || !w.busy {
			return err
		}
		select {
		case <-w.wake:
		case <-w.stop:
			return nil
		}
	}
}

// over returns why the stream is to end now, if it is.
func (w *watch) over() error {
	now := w.service.now()
	switch expires := w.caller.expires; {
	case w.service.hub.draining.Load():
		return w.ended(serverStopping())
	case !expires.IsZero() && !now.Before(expires):
		return w.ended(expiredCredential(expires, "Get a new one, and watch on from the cursor."))
	case !now.Before(w.end):
		if err := w.progress(); err != nil {
			return err
		}
		return errSegmentOver
	}
	return nil
}

// look looks at the caller again, if there is reason, and goes on under the keys of who they are by now.
func (w *watch) look() error {
	hub, workspace := w.service.hub, w.scope.workspace
	for w.looks && !hub.draining.Load() {
		c, principal, err := w.service.again(w.ctx, w.caller)
		if err != nil {
			return err
		}
		w.caller.CustomerKeys = c.CustomerKeys
		if w.looks = principal != w.principal; w.looks {
			hub.hush(workspace, w.principal)
			w.principal, w.bell = principal, hub.listen(workspace, principal)
			w.rung = hub.next(w.bell)
		}
	}
	if w.scope.customer == "" {
		return nil
	}
	if now := ofCustomer(w.caller); now != w.scope {
		hub.part(w.topic, w.given)
		w.scope, w.topic, w.wake, w.given, w.posts = now, hub.join(now), ready, nil, 0
	}
	return nil
}

// catchUp tells all that there is to tell, except the notices.
func (w *watch) catchUp() error {
	for {
		if w.isHalted() {
			return errHalted
		}
		p, err := w.topic.after(w.ctx, w.at, w.posts, w.given)
		if err != nil {
			return w.lost(err)
		}
		if p.wake != nil {
			w.given, w.news, w.posts = p.wake, append(w.news, p.notices...), p.posts
		}
		whole, err := w.tell(p)
		if err != nil {
			return err
		}
		if whole && p.wake != nil {
			w.wake, w.live = p.wake, true
			return nil
		}
		if err := w.beat(); err != nil {
			return err
		}
	}
}

// tell tells of a portion, and reports whether it did to its end: what is not fresh any more is to be read again.
func (w *watch) tell(p portion) (whole bool, err error) {
	for _, i := range p.items {
		if w.wants != nil && !i.removes && !w.wants(i.desk) {
			continue
		}
		if !w.topic.fresh(i.conversation(), p.version) {
			return false, nil
		}
		if err := w.send(i.frame, i.at); err != nil {
			return false, err
		}
		if w.live {
			w.busy = true
			w.service.streams.delivered(w.ctx, w.scope.workspace, w.service.store, i.frame.update.GetEvent())
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = p.end
	if w.halted {
		return false, errHalted
	}
	return true, nil
}

// tellMarks tells the read marks that are to be told yet.
func (w *watch) tellMarks() error {
	for ; len(w.marks) > 0; w.marks = w.marks[1:] {
		u := &goodshipv1.WatchUpdate{ConversationId: w.scope.conversation, Update: &goodshipv1.WatchUpdate_ReadMark{ReadMark: w.marks[0]}}
		if err := w.send(NewFrame(u), w.at); err != nil {
			return err
		}
	}
	w.marks = nil
	return nil
}

// notices tells the notices that are to be told yet.
func (w *watch) notices() error {
	for ; len(w.news) > 0; w.news = w.news[1:] {
		if w.passes(w.news[0]) {
			continue
		}
		if err := w.send(w.news[0].frame, w.at); err != nil {
			return err
		}
	}
	w.news = nil
	return nil
}

// passes reports whether a notice is not to be told: it is of another's desk, is over, or is a mark that the stream began with.
func (w *watch) passes(n *posted) bool {
	if w.wants != nil && !w.wants(&desk{after: n.standing}) {
		return true
	}
	if n.kind != noticeMark {
		return n.over(w.service.store.Now())
	}
	mark := n.frame.update.GetReadMark()
	return slices.ContainsFunc(w.begun, func(m *goodshipv1.ReadMark) bool {
		return m.ParticipantNumber == mark.ParticipantNumber && m.AgentId == mark.AgentId && m.MessageNumber >= mark.MessageNumber
	})
}

// beat tells progress if nothing was told for long.
func (w *watch) beat() error {
	if w.service.now().Before(w.told.Add(progressAfter)) {
		return nil
	}
	return w.progress()
}

// progress tells that the stream is alive, and its position.
func (w *watch) progress() error {
	return w.send(NewFrame(&goodshipv1.WatchUpdate{Cursor: w.cursor(), Update: &goodshipv1.WatchUpdate_Progress{
		Progress: &goodshipv1.Progress{ServerTime: timestamppb.New(w.service.store.Now())},
	}}), w.at)
}

// send sends a frame, after which the stream's position is another, unless the turn is to end.
func (w *watch) send(f *Frame, at position) error {
	w.mu.Lock()
	if w.halted {
		w.mu.Unlock()
		return errHalted
	}
	now := w.service.now()
	w.sendBy = now.Add(longestSend)
	w.mu.Unlock()
	err := w.out.SendMsg(f)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sendBy = time.Time{}
	if err == nil {
		w.at, w.told = at, now
	}
	return err
}

// cursor is that of the stream's position.
func (w *watch) cursor() string { return w.scope.seal(w.service.store.Sealer(), w.at) }

// ended returns the fault that ends the stream, with its cursor: for a visitor who signed in, one of the customer's.
func (w *watch) ended(err error) error {
	of := w.scope
	if w.caller.Kind == goodshipv1.Caller_CALLER_VISITOR && of.customer != "" {
		customer, failed := w.service.customerByID(w.ctx, of.workspace, of.customer)
		if failed == nil {
			of.customer = customer.Customer.Id
		}
	}
	return withCursor(err, of.seal(w.service.store.Sealer(), w.at))
}

// lost returns the fault of a stream that cannot read on.
func (w *watch) lost(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound): // the conversation was removed, and there is nowhere to go on
		return noConversation()
	case !errors.Is(err, store.ErrFeedPruned):
		return w.ended(err)
	}
	oldest, _, err := w.service.store.FeedEnds(w.ctx, w.scope.workspace)
	if err != nil {
		return w.ended(err)
	}
	return cursorTooOld(w.scope.seal(w.service.store.Sealer(), position{at: oldest}))
}
