package bolt

import (
	"bytes"
	"fmt"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// onceSample is how many neighbours of a new request id are looked at, and dropped if they have been remembered long
// enough. The keys are hashes, so neighbours are a random sample: with two looked at for each that is added, there are
// never many more that may go than that must stay.
const onceSample = 2

// oncePlace returns where a request id is remembered, and the prefix of its neighbours.
func (t *tx) oncePlace(once store.Once) (in table, prefix, key []byte) {
	if once.Conversation == "" {
		return onceTable, workspacePrefix(t.workspace.number), onceOutsideKey(t.workspace.number, once.Key())
	}
	conversation := conversationPrefix(t.workspace.number, once.Conversation)
	return conversationTable, append(conversation, onceKind), onceKey(conversation, once.Key())
}

// remembered returns the receipt of a request id that was seen before, or nil.
func (t *tx) remembered(once store.Once) (receipt *storev1.Receipt, err error) {
	if once.RequestID == "" {
		return nil, nil
	}
	defer t.contain(&err)
	in, _, key := t.oncePlace(once)
	seen, err := load[storev1.OnceRecord](t, in, key)
	switch {
	case err != nil || seen == nil || t.expired(seen):
		return nil, err
	case !bytes.Equal(seen.GetBody(), once.Body[:]):
		return nil, fmt.Errorf("%w: %q", store.ErrRequestIDReused, once.RequestID)
	case seen.GetReceipt() == nil:
		return &storev1.Receipt{}, nil
	}
	return seen.GetReceipt(), nil
}

func (t *tx) expired(seen *storev1.OnceRecord) bool {
	return t.now.Sub(seen.GetTime().AsTime()) > store.OnceRetention
}

// remember keeps the receipt under the request id, if there are both.
func (t *tx) remember(once store.Once, receipt *storev1.Receipt) (err error) {
	if once.RequestID == "" || receipt == nil {
		return nil
	}
	defer t.contain(&err)
	in, prefix, key := t.oncePlace(once)
	t.forget(in, prefix, key)
	return t.put(in, key, &storev1.OnceRecord{Body: once.Body[:], Receipt: receipt, Time: timestamppb.New(t.now)})
}

// forget drops expired neighbours of a request id.
func (t *tx) forget(in table, prefix, key []byte) {
	cursor := t.batch.bucket(in).Cursor()
	k, value := cursor.Seek(key)
	for range onceSample {
		if !bytes.HasPrefix(k, prefix) {
			if k, value = cursor.Seek(prefix); !bytes.HasPrefix(k, prefix) { // on from the beginning
				return
			}
		}
		// A damaged one stays for Check to find; it is not this unit's business.
		if payload, err := t.batch.unseal(in, k, value); err == nil {
			if seen, err := decode[storev1.OnceRecord](t, in, k, payload); err == nil && t.expired(seen) {
				t.remove(in, k)
			}
		}
		k, value = cursor.Next()
	}
}
