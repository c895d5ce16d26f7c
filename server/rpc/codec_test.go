package rpc

import (
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// What a frame holds is on its way to thousands as the same bytes, and reads as the update.
func TestAFrameIsEncodedOnce(t *testing.T) {
	update := &goodshipv1.WatchUpdate{Cursor: "c1", ConversationId: "conv_1", Update: &goodshipv1.WatchUpdate_Progress{}}
	frame := support.NewFrame(update)
	var first *byte
	for range 2 {
		sent, err := newFrameCodec().Marshal(frame)
		if err != nil {
			t.Fatal(err)
		}
		var got goodshipv1.WatchUpdate
		if err := newFrameCodec().Unmarshal(sent, &got); err != nil || !proto.Equal(&got, update) {
			t.Fatalf("%v: %v", &got, err)
		}
		b := sent[0].ReadOnlyData()
		if first == nil {
			first = &b[0]
		}
		if len(sent) != 1 || &b[0] != first {
			t.Error("the second time it was encoded anew, or copied")
		}
		sent.Free() // as gRPC does with what it has written
	}
}

// Everything else is encoded as ever.
func TestOtherMessagesAreEncodedAsEver(t *testing.T) {
	codec := newFrameCodec()
	if codec.Name() != "proto" {
		t.Errorf("the codec is called %q", codec.Name())
	}
	for _, size := range []int{1, 100 << 10} {
		message := &goodshipv1.BackupStoreResponse{Data: make([]byte, size)}
		got, err := codec.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		want, err := proto.Marshal(message)
		if err != nil || string(got.Materialize()) != string(want) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, pooled := got[0].(mem.SliceBuffer); pooled == (size > 1) {
			t.Errorf("%d bytes: in a buffer of the pool: %v", size, !pooled)
		}
	}
	if _, err := codec.Marshal("text"); err == nil {
		t.Error("what is no message is encoded")
	}
}

// A frame passes to REST as it is, and every other message as a copy.
func TestAFramePassesTheChannelAsItIs(t *testing.T) {
	frame := support.NewFrame(&goodshipv1.WatchUpdate{Cursor: "c1"})
	sent, err := frameCloner{}.Clone(frame)
	if err != nil {
		t.Fatal(err)
	}
	var slot frameSlot
	if err := (frameCloner{}).Copy(&slot, sent); err != nil || slot.Frame != frame {
		t.Errorf("got %p for %p: %v", slot.Frame, frame, err)
	}
	message := &goodshipv1.Message{Text: "Ahoy"}
	copied, err := frameCloner{}.Clone(message)
	if err != nil || copied == any(message) || !proto.Equal(copied.(proto.Message), message) {
		t.Errorf("a message: %v %v", copied, err)
	}
	var into goodshipv1.Message
	if err := (frameCloner{}).Copy(&into, message); err != nil || !proto.Equal(&into, message) {
		t.Errorf("a message: %v %v", &into, err)
	}
}
