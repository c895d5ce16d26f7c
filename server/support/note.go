package support

import (
	"context"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// CreateNote writes a note.
func (s *Service) CreateNote(ctx context.Context, req *goodshipv1.CreateNoteRequest) (*goodshipv1.Note, error) {
	r, err := s.work(ctx, req, func(u *unit) error {
		u.AddNote(req.Text)
		return nil
	})
	return s.noted(ctx, r, err)
}

// noted returns the note of a receipt.
func (s *Service) noted(ctx context.Context, r *storev1.Receipt, err error) (*goodshipv1.Note, error) {
	if err != nil {
		return nil, err
	}
	notes, err := s.store.Notes(ctx, callerFrom(ctx).Workspace, r.ConversationId, store.Range{From: r.NoteNumber, Limit: 1})
	if err != nil {
		return nil, orMissing(err, noConversation())
	}
	if len(notes) == 0 {
		return nil, noNote()
	}
	return notes[0], nil
}

// ListNotes lists notes by number.
func (s *Service) ListNotes(ctx context.Context, req *goodshipv1.ListNotesRequest) (*goodshipv1.ListNotesResponse, error) {
	c := callerFrom(ctx)
	p, err := s.openPage(c, req)
	if err != nil {
		return nil, err
	}
	head, err := s.visible(ctx, req.ConversationId)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListNotesResponse{}
	from, count := numbers(p, head.Conversation.NoteCount, false)
	if count == 0 {
		return reply, nil
	}
	reply.Notes, err = s.store.Notes(ctx, c.Workspace, req.ConversationId, store.Range{From: from, Limit: count})
	reply.Notes = fitting(reply.Notes)
	if n := len(reply.Notes); n > 0 && reply.Notes[n-1].Number < head.Conversation.NoteCount {
		reply.NextPageToken = p.nextNumber(reply.Notes[n-1].Number)
	}
	return reply, orMissing(err, noConversation())
}

// EditNote changes the text of the caller's own note.
func (s *Service) EditNote(ctx context.Context, req *goodshipv1.EditNoteRequest) (*goodshipv1.Note, error) {
	r, err := s.workOnNote(ctx, req, func(u *unit, n *goodshipv1.Note) error { return u.EditNote(n, req.Text) })
	return s.noted(ctx, r, err)
}

// RedactNote removes the content of a note.
func (s *Service) RedactNote(ctx context.Context, req *goodshipv1.RedactNoteRequest) (*goodshipv1.Note, error) {
	r, err := s.workOnNote(ctx, req, func(u *unit, n *goodshipv1.Note) error { return u.RedactNote(n) })
	return s.noted(ctx, r, err)
}

// workOnNote runs a command on a note that is there.
func (s *Service) workOnNote(ctx context.Context, req numberedRequest, command func(*unit, *goodshipv1.Note) error) (*storev1.Receipt, error) {
	return s.work(ctx, req, func(u *unit) error {
		n, err := u.tx.Note(req.GetConversationId(), req.GetNumber())
		if err != nil {
			return orMissing(err, noNote())
		}
		u.receipt.NoteNumber = n.Number
		u.change.Notes = []*goodshipv1.Note{n}
		return command(u, n)
	})
}
