// Package log keeps the tamper-evident log: an RFC 6962 tree in the files of C2SP tlog-tiles, with checkpoints as signed notes. Tessera's POSIX
// driver does the work; nothing outside of this package knows of it. Another driver of Tessera (docs/spec/auditledger.md) is another Log.
//
// What is on the volume, and who writes it:
//
//	checkpoint              the newest checkpoint                                Tessera
//	tile/<level>/<index>    hashes                                               Tessera
//	tile/entries/<index>    entries, 256 to a file                               Tessera
//	.state                  the tree that is not published yet, locks            Tessera
//	checkpoints/<size>      a copy of each checkpoint, made before it is signed  this package
//	writer.lock             held by the one process that writes                  this package
package log

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the state of a log: how many entries it has, and the root hash over them.
type Tree struct {
	Size uint64
	Root tlog.Hash
}

// Checkpoint is a tree that the log has signed and published.
type Checkpoint struct {
	Tree
	// Note is the signed note.
	Note []byte
}

// Log is an append-only list of entries. It is used by one goroutine at a time, but for Root, which anybody may call.
type Log interface {
	// Append adds entries, in this order, and waits until a published checkpoint covers them. After an error it is open which of them are in the log: close
	// it, and open it again.
	Append(ctx context.Context, entries [][]byte) (Checkpoint, error)
	// Checkpoint is the newest one that is published.
	Checkpoint() Checkpoint
	// Entries shows those from an index on, until the newest checkpoint.
	Entries(ctx context.Context, from uint64, visit func(index uint64, entry []byte) error) error
	// Root is the root hash that the log had at an earlier size, computed from its tiles.
	Root(ctx context.Context, size uint64) (tlog.Hash, error)
	// Check says what is wrong with the volume, without writing to it.
	Check() error
	// Close ends the work on the log and lets another process have it.
	Close() error
}

// Keys sign checkpoints. Their names are the origin of the log.
type Keys struct {
	// Signers: the first is that of the log; others sign beside it, while keys are changed.
	Signers []note.Signer
	// Verifiers of these.
	Verifiers []note.Verifier
}

// Origin is the name of the log: the first line of its checkpoints.
func (k Keys) Origin() string { return k.Signers[0].Name() }

// ShorterError: the log is shorter than one that was seen before, or is another one, or contradicts itself. Nothing may be appended.
type ShorterError struct{ What string }

// Error says what does not fit.
func (e *ShorterError) Error() string { return e.What }

func shorter(format string, args ...any) error {
	return &ShorterError{What: fmt.Sprintf(format, args...)}
}

// ErrLocked: another process writes to this folder.
var ErrLocked = errors.New("another process writes to this log")

// ErrStuck: an append neither ended nor failed. Whether it still will cannot be known, so the process has to end.
var ErrStuck = errors.New("the volume of the log does not answer")
