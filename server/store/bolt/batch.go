package bolt

// batch is a group of units that share a commit.
type batch struct {
	file
	units []*unit
	// tails are the last positions in feeds that its units wrote to; known, those from before.
	tails, known map[uint32]int64
	bytes        int
	// moves are what its units did to conversations and its index does not have yet.
	moves []move
	// flight is what its units changed; nil if nothing.
	flight *flight
	// hints are what listeners are told of it.
	hints hints
	// err is why the batch cannot be committed.
	err error
}

// move is a conversation's way from what the index has of it to what it is.
type move struct{ from, to *entry }

// add writes what a unit did to the batch's transaction and memory.
func (b *batch) add(t *tx) error {
	if len(t.log) == 0 {
		return nil
	}
	if b.flight == nil {
		b.flight = &flight{conversations: make(map[string]struct{})}
	}
	for _, c := range t.log {
		b.flight.note(c.at)
		value := t.values[c.at]
		if err := b.write(c.at, value); err != nil {
			return err
		}
		b.bytes += len(c.at.key) + len(value)
	}
	if b.index.workspace(t.workspace.id) == nil {
		if err := b.addWorkspace(t.workspace); err != nil {
			return err
		}
	}
	for _, c := range t.conversations {
		if c.entry != c.before {
			b.moves = append(b.moves, move{c.before, c.entry})
		}
	}
	if t.tail > 0 {
		b.tails[t.workspace.number] = t.tail
	}
	return nil
}

// settle makes the index have what the batch's units did.
func (b *batch) settle() {
	for _, m := range b.moves {
		b.index.replace(m.from, m.to)
	}
	b.moves = nil
}

// addWorkspace writes down the number of a workspace that nobody wrote to before.
func (b *batch) addWorkspace(ws *workspace) error {
	b.index.addWorkspace(ws)
	key := []byte(ws.id)
	return b.bucket(workspaceTable).Put(key, seal(workspaceTable, key, workspacePrefix(ws.number)))
}

// write puts a value, or deletes the key if it is nil.
func (b *batch) write(at place, value []byte) error {
	if value == nil {
		return b.bucket(at.table).Delete([]byte(at.key))
	}
	return b.bucket(at.table).Put([]byte(at.key), value)
}

// tail returns the last position in a workspace's feed.
func (b *batch) tail(number uint32) (int64, error) {
	for _, tails := range []map[uint32]int64{b.tails, b.known} {
		if tail, ok := tails[number]; ok {
			return tail, nil
		}
	}
	return b.lastPosition(number)
}
