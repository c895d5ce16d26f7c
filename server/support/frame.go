package support

import (
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
)

// Frame is an update on its way to everybody who sees it alike: what a watch sends in the place of the update, so that it is
// encoded once, in each form that somebody reads.
type Frame struct {
	update      *goodshipv1.WatchUpdate
	proto, text form
}

// form is an encoding that is made when it is first asked for.
type form struct {
	once  sync.Once
	bytes []byte
	err   error
}

func (f *form) get(encode func() ([]byte, error)) ([]byte, error) {
	f.once.Do(func() { f.bytes, f.err = encode() })
	return f.bytes, f.err
}

// NewFrame returns the frame of an update, which nobody may change any more.
func NewFrame(u *goodshipv1.WatchUpdate) *Frame { return &Frame{update: u} }

// Update returns what the frame says. Nobody may change it.
func (f *Frame) Update() *goodshipv1.WatchUpdate { return f.update }

// Proto returns the update's wire format. Nobody may change it.
func (f *Frame) Proto() ([]byte, error) {
	return f.proto.get(func() ([]byte, error) { return proto.Marshal(f.update) })
}

// Text returns the update as encode, which must always be the same, makes it. Nobody may change it.
func (f *Frame) Text(encode func(*goodshipv1.WatchUpdate) ([]byte, error)) ([]byte, error) {
	return f.text.get(func() ([]byte, error) { return encode(f.update) })
}
