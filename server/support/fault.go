package support

import (
	"errors"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
)

// Fault makes of an error of the store's the fault that crosses the API; any other error it returns as it is. It is the one
// place where that happens, called once for each call by who serves it.
func Fault(err error) error {
	switch {
	case errors.Is(err, store.ErrRequestIDReused):
		return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_REQUEST_ID_REUSED,
			"This request_id was used before with another body. Use a new one for a new request.")
	case errors.Is(err, store.ErrPageToken):
		return fault.New(codes.InvalidArgument, goodshipv1.ErrorReason_ERROR_REASON_INVALID_PAGE_TOKEN,
			"page_token does not fit this list with these arguments. Start again without one.")
	case errors.Is(err, store.ErrExternalIDTaken):
		return externalIDTaken("")
	case errors.Is(err, store.ErrFull):
		return fault.New(codes.ResourceExhausted, goodshipv1.ErrorReason_ERROR_REASON_STORE_FULL,
			"The server's disk is full, so nothing was changed. Try again later; operators make room.").RetryAfter(time.Minute)
	case errors.Is(err, store.ErrDataLoss):
		return fault.New(codes.DataLoss, goodshipv1.ErrorReason_ERROR_REASON_DATA_LOSS,
			"A stored record is damaged. Operators find it in the log, check the store and restore a backup.")
	case errors.Is(err, store.ErrUnavailable):
		return fault.New(codes.Unavailable, goodshipv1.ErrorReason_ERROR_REASON_STORE_UNAVAILABLE,
			"The store could not take the change. Try again with the same request_id.").RetryAfter(time.Second)
	}
	return err
}

// externalIDTaken names the conversation that has the id, if the caller may know.
func externalIDTaken(conversationID string) error {
	return fault.New(codes.AlreadyExists, goodshipv1.ErrorReason_ERROR_REASON_EXTERNAL_ID_TAKEN,
		"Another conversation has this external_id. List conversations by it to find that one.").With("conversation_id", conversationID)
}

func noConversation() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CONVERSATION_NOT_FOUND,
		"There is no such conversation. List conversations to find the one you mean.")
}

func noMessage() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_MESSAGE_NOT_FOUND,
		"The conversation has no message with this number. List its messages.")
}

func noNote() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_NOTE_NOT_FOUND,
		"The conversation has no note with this number. List its notes.")
}

func noResolution() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_RESOLUTION_NOT_FOUND,
		"The conversation has no resolution with this number. List its resolutions.")
}

func noCredit() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CREDIT_NOT_FOUND,
		"There is no such credit. List credits to find the one you mean.")
}

func noAgent(id string) error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_AGENT_NOT_FOUND,
		"The directory has no such agent. A backend makes one with UpsertAgent.").With("agent_id", id)
}

func noCustomer(id string) error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_CUSTOMER_NOT_FOUND,
		"The directory has no such customer: they are not known here, or were erased. A backend makes one with UpsertCustomer.").With("customer_id", id)
}

func etagMismatch() error {
	return fault.New(codes.Aborted, goodshipv1.ErrorReason_ERROR_REASON_ETAG_MISMATCH,
		"The object has changed since its etag was read. Read it again and decide anew.")
}

// orMissing returns the fault of a missing object where the store says that there is none.
func orMissing(err error, missing error) error {
	if errors.Is(err, store.ErrNotFound) {
		return missing
	}
	return err
}
