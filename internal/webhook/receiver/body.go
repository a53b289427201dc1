package receiver

import (
	"errors"
	"io"
	"sync/atomic"
)

// maxBody is the largest body that is read. A push of thousands of commits stays below it: servers cut their lists.
const maxBody = 1 << 20

// maxBodies bounds what all bodies hold that are being read and looked at, beyond what each connection may hold anyway: strangers who send
// large bodies slowly must not keep out a usual push.
const maxBodies = 24 << 20

// freePiece is the largest piece that takes nothing of maxBodies. With those before it, it makes 60 KiB for each connection.
const freePiece = 32 << 10

// firstPiece is what a body gets to begin with; each further piece doubles it. Who sends slowly holds little.
const firstPiece = 4 << 10

var (
	errTooLarge = errors.New("larger than 1 MiB")
	errBusy     = errors.New("too many bodies at a time")
)

// bodies reads bodies within a budget that all share.
type bodies struct{ held atomic.Int64 }

// read returns a body and gives back its share of the budget when done is called.
func (b *bodies) read(from io.Reader) (body []byte, done func(), err error) {
	share := int64(0)
	done = func() { b.held.Add(-share) }
	for {
		if len(body) == cap(body) {
			if cap(body) > maxBody {
				return nil, done, errTooLarge
			}
			// The old piece is held until it is copied.
			size := min(max(firstPiece, 2*cap(body)), maxBody+1)
			if size > freePiece {
				if share += int64(size); b.held.Add(int64(size)) > maxBodies {
					return nil, done, errBusy
				}
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > maxBody:
			return nil, done, errTooLarge
		case errors.Is(err, io.EOF):
			return body, done, nil
		case err != nil:
			return nil, done, err
		}
	}
}
