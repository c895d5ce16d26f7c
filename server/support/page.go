package support

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// defaultPageSize is the size of a page when none is asked for.
const defaultPageSize = 20

// pageRequest asks for a page of a list.
type pageRequest interface {
	proto.Message
	GetPageSize() int32
	GetPageToken() string
}

// page is the place in a list that a request asks for.
type page struct {
	sealer  *store.Sealer
	purpose string
	// size is how many items it wants.
	size int
	// after is the position that the page before ended at; nil for the first page.
	after []byte
}

// openPage reads a request's page token, which must have been made for the same list, arguments and caller.
func (s *Service) openPage(c Caller, req pageRequest) (page, error) {
	p := page{sealer: s.store.Sealer(), size: int(req.GetPageSize())}
	if p.size == 0 {
		p.size = defaultPageSize
	}
	p.purpose = fmt.Sprintf("%s %s %s %x", c.Workspace, c.principal(), req.ProtoReflect().Descriptor().FullName(), hashWithout(req, "page_size", "page_token"))
	if req.GetPageToken() == "" {
		return p, nil
	}
	after, err := p.sealer.Open(p.purpose, req.GetPageToken())
	if err != nil {
		return page{}, err
	}
	p.after = after
	return p, nil
}

// next returns the token for the page after a position.
func (p page) next(position []byte) string { return p.sealer.Seal(p.purpose, position) }

// number returns the page's position in a list of numbers; 0 for the first page.
func (p page) number() int32 {
	if p.after == nil {
		return 0
	}
	return int32(binary.BigEndian.Uint32(p.after))
}

func (p page) nextNumber(n int32) string {
	return p.next(binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// position returns the page's position in a list of conversations; nil for the first page.
func (p page) position() *store.Position {
	if p.after == nil {
		return nil
	}
	return &store.Position{Time: time.UnixMicro(int64(binary.BigEndian.Uint64(p.after))).UTC(), ID: string(p.after[8:])}
}

func (p page) nextPosition(at *store.Position) string {
	if at == nil {
		return ""
	}
	return p.next(append(binary.BigEndian.AppendUint64(nil, uint64(at.Time.UnixMicro())), at.ID...))
}

// maxPageBytes is how large a page gets before it ends short of its size, whatever people wrote: a reply is whole in memory
// until its caller has read it. The item that goes beyond is still in it.
const maxPageBytes = 256 << 10

// fitting returns the items of a page that fit, the first in any case.
func fitting[M proto.Message](items []M) []M {
	bytes := 0
	for i, m := range items {
		if bytes += proto.Size(m); bytes > maxPageBytes {
			return items[:i+1]
		}
	}
	return items
}

// cut takes from a list that was read one item too far what belongs to the page, and returns the token for the next one,
// empty if this was the last.
func cut[T any](p page, items []T, id func(T) string) ([]T, string) {
	if len(items) <= p.size {
		return items, ""
	}
	items = items[:p.size]
	return items, p.next([]byte(id(items[p.size-1])))
}
