package packs

import (
	"encoding/binary"
	"errors"
)

// errDelta: what is no delta of its base.
var errDelta = errors.New("malformed delta")

// patch applies a delta to its base (gitformat-pack, "Deltified representation"). It gives what PatchDelta of go-git gives, whose result
// however grows by doubling and is copied each time: large folders, which are deltas in every history, took half of their time for
// that. Nothing is allocated before the pieces are known to make up the size that the delta declares.
func patch(base, delta []byte) ([]byte, error) {
	from, n := binary.Uvarint(delta)
	if n <= 0 || from != uint64(len(base)) || len(base) == 0 {
		return nil, errDelta
	}
	delta = delta[n:]
	size, n := binary.Uvarint(delta)
	if n <= 0 || size > maxResolved {
		return nil, errDelta
	}
	delta = delta[n:]
	var total uint64
	for rest := delta; len(rest) > 0; {
		var piece []byte
		if piece, rest = nextPiece(base, rest); piece == nil {
			return nil, errDelta
		}
		if total += uint64(len(piece)); total > size {
			return nil, errDelta
		}
	}
	if total != size {
		return nil, errDelta
	}
	out := make([]byte, 0, size)
	for len(delta) > 0 {
		var piece []byte
		piece, delta = nextPiece(base, delta)
		out = append(out, piece...)
	}
	return out, nil
}

// nextPiece is what the first instruction of a delta adds to the result, and the instructions after it; nil when it is malformed.
func nextPiece(base, delta []byte) (piece, rest []byte) {
	op, delta := delta[0], delta[1:]
	if op < 0x80 { // the next bytes of the delta
		if op == 0 || int(op) > len(delta) {
			return nil, nil
		}
		return delta[:op], delta[op:]
	}
	var fields [7]byte // a copy from the base: four bytes of offset and three of size, of which those that are zero are left out
	for i := range fields {
		if op&(1<<i) == 0 {
			continue
		}
		if len(delta) == 0 {
			return nil, nil
		}
		fields[i], delta = delta[0], delta[1:]
	}
	offset := uint64(binary.LittleEndian.Uint32(fields[:4]))
	size := uint64(fields[4]) | uint64(fields[5])<<8 | uint64(fields[6])<<16
	if size == 0 {
		size = 0x10000
	}
	if offset+size > uint64(len(base)) {
		return nil, nil
	}
	return base[offset : offset+size], delta
}
