package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// The packets that have no payload.
const (
	flushPkt = "0000"
	delimPkt = "0001"
)

const maxPkt = 65520

type pktKind int

const (
	pktData pktKind = iota
	pktFlush
	pktDelim
	pktEnd
)

// remoteError is an ERR packet: the server's own words, not yet scrubbed.
type remoteError struct{ text string }

func (e *remoteError) Error() string { return e.text }

var errMalformedPkt = errors.New("malformed packet")

// readPkt reads one packet.
func readPkt(r *bufio.Reader) (pktKind, []byte, error) { return readPktInto(r, nil) }

// readPktInto reads one packet into the memory of scratch, if that is large enough.
func readPktInto(r *bufio.Reader, scratch []byte) (pktKind, []byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	if err != nil || n == 3 || n > maxPkt {
		return 0, nil, errMalformedPkt
	}
	if n < 4 {
		return []pktKind{pktFlush, pktDelim, pktEnd}[n], nil, nil
	}
	if int(n) > cap(scratch) {
		scratch = make([]byte, n)
	}
	payload := scratch[:n-4]
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if text, ok := bytes.CutPrefix(payload, []byte("ERR ")); ok {
		return 0, nil, &remoteError{strings.TrimSpace(string(text))}
	}
	return pktData, payload, nil
}

// request builds the packets of one command.
type request struct{ bytes.Buffer }

func (r *request) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(r, "%04x%s\n", len(text)+5, text)
}

// sideband reads the pack out of a multiplexed stream: band 1 is the pack, 2 is progress, 3 a fatal error.
type sideband struct {
	r     *bufio.Reader
	noise *noise
	// said keeps the beginning of band 2; nil: nothing of it is kept.
	said *headBuffer
	rest []byte
	done bool
	buf  []byte
}

// maxNoise bounds what a server says beside the pack: progress, which it is asked to leave out, acknowledgements and signs of life.
// The pack has limits of its own; without this one a server could keep us busy as fast as it sends.
const maxNoise = 4 << 20

// noise counts packets that bring nothing of the pack.
type noise struct{ heard int64 }

func (n *noise) add(payload []byte) error {
	if n.heard += int64(len(payload)) + 4; n.heard > maxNoise {
		return &fault.LimitError{What: "what the server says beside the pack", Limit: maxNoise, Unit: "bytes"}
	}
	return nil
}

func (s *sideband) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.done {
			return 0, io.EOF
		}
		if s.buf == nil {
			s.buf = make([]byte, maxPkt)
		}
		kind, payload, err := readPktInto(s.r, s.buf)
		switch {
		case errors.Is(err, io.EOF):
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case kind != pktData:
			s.done = true
		case len(payload) == 0:
			return 0, errMalformedPkt
		default:
			if err := s.take(payload); err != nil {
				return 0, err
			}
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *sideband) take(payload []byte) error {
	switch payload[0] {
	case 1:
		if s.rest = payload[1:]; len(s.rest) == 0 {
			return s.noise.add(payload)
		}
	case 2:
		if s.said != nil {
			_, _ = s.said.Write(payload[1:])
		}
		return s.noise.add(payload)
	case 3:
		return &remoteError{strings.TrimSpace(string(payload[1:]))}
	default:
		return errMalformedPkt
	}
	return nil
}
