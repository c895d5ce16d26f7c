package rpc

import (
	"github.com/fullstorydev/grpchan/inprocgrpc"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// frameCodec is gRPC's own codec, but for frames: what those hold is encoded once for all who get it, and never copied.
type frameCodec struct{ encoding.CodecV2 }

func newFrameCodec() frameCodec { return frameCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal returns the wire format of a message or a frame.
func (c frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*support.Frame)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	b, err := f.Proto()
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// frameCloner is how messages pass the in-process channel: as copies, but for frames, which pass as they are into a frameSlot.
type frameCloner struct{ inprocgrpc.ProtoCloner }

// frameSlot is what a frame is received into.
type frameSlot struct{ *support.Frame }

// Clone returns what the receiver may keep of a message.
func (c frameCloner) Clone(v any) (any, error) {
	if f, ok := v.(*support.Frame); ok {
		return f, nil
	}
	return c.ProtoCloner.Clone(v)
}

// Copy puts a message where the receiver wants it.
func (c frameCloner) Copy(to, from any) error {
	slot, ok := to.(*frameSlot)
	if f, isFrame := from.(*support.Frame); ok && isFrame {
		slot.Frame = f
		return nil
	}
	return c.ProtoCloner.Copy(to, from)
}
