// Package tlog makes logs for tests, as files in memory: what the writer of the ledger would have left on its volume.
package tlog

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// Origin of the logs of tests.
const Origin = "stele.dev/ledger/00000000-0000-4000-8000-000000000001"

// Key signs. The same seed gives the same key.
type Key struct {
	Signer note.Signer
	// Public is the key in the form of signed notes, Private likewise.
	Public, Private string
}

// NewKey makes a key of a seed and the name of a log.
func NewKey(seed byte, origin string) Key {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	public, err := note.NewEd25519VerifierKey(origin, private.Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	hash := strings.Split(public, "+")[1]
	secret := "PRIVATE+KEY+" + origin + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...))
	signer, err := note.NewSigner(secret)
	if err != nil {
		panic(err)
	}
	return Key{signer, public, secret}
}

// Files are those of a log.
type Files map[string][]byte

// Read gives one.
func (f Files) Read(_ context.Context, path string) ([]byte, error) {
	data, there := f[path]
	if !there {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return data, nil
}

// Checkpoints lists the sizes under checkpoints/.
func (f Files) Checkpoints(context.Context) ([]uint64, error) {
	var sizes []uint64
	for path := range f {
		if text, is := strings.CutPrefix(path, "checkpoints/"); is {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return nil, err
			}
			sizes = append(sizes, n)
		}
	}
	slices.Sort(sizes)
	return sizes, nil
}

// Checkpoint signs a size and a root.
func Checkpoint(key Key, origin string, size uint64, root []byte) []byte {
	text := string(log.Checkpoint{Origin: origin, Size: size, Hash: root}.Marshal())
	signed, err := note.Sign(&note.Note{Text: text}, key.Signer)
	if err != nil {
		panic(err)
	}
	return signed
}

// Make makes a log of entries, with checkpoints of before at these sizes.
func Make(key Key, entries [][]byte, checkpoints ...uint64) Files {
	f, size := Files{}, uint64(len(entries))
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r := factory.NewEmptyRange(0)
	root := func() []byte {
		if r.End() == 0 {
			return rfc6962.DefaultHasher.EmptyRoot()
		}
		hash, err := r.GetRootHash(nil)
		if err != nil {
			panic(err)
		}
		return hash
	}
	visit := func(id compact.NodeID, hash []byte) {
		if id.Level%layout.TileHeight == 0 {
			level, index := uint64(id.Level)/layout.TileHeight, id.Index/layout.TileWidth
			path := layout.TilePath(level, index, layout.PartialTileSize(level, index, size))
			f[path] = append(f[path], hash...)
		}
	}
	for i, data := range entries {
		if slices.Contains(checkpoints, uint64(i)) {
			f["checkpoints/"+strconv.Itoa(i)] = Checkpoint(key, Origin, uint64(i), root())
		}
		if err := r.Append(rfc6962.DefaultHasher.HashLeaf(data), visit); err != nil {
			panic(err)
		}
		path := layout.EntriesPathForLogIndex(uint64(i), size)
		f[path] = append(binary.BigEndian.AppendUint16(f[path], uint16(len(data))), data...) //nolint:gosec // tests know
	}
	f[layout.CheckpointPath] = Checkpoint(key, Origin, size, root())
	return f
}

// Start is when the logs of tests begin.
var Start = time.Unix(1_780_000_000, 0).UTC()

// Entries makes the story of one track: releases that are created, staged, activated and retired by the next one, with intents and outcomes.
func Entries(n int) [][]byte {
	out := make([][]byte, 0, n)
	for i := range n {
		out = append(out, Encode(Entry(i)))
	}
	return out
}

// Encode an entry, which must be valid.
func Encode(e entry.Entry) []byte {
	data, err := entry.Encode(e)
	if err != nil {
		panic(err)
	}
	return data
}

var steps = []entry.Kind{
	entry.ReleaseCreated, entry.ReleaseStaged, entry.SwitchIntended, entry.ReleaseActivated, entry.TerminationIntended, entry.ReleaseRetired,
}

// Entry is one of the story: the i-th of it. Each release takes six; the first entry is that of the log.
func Entry(i int) entry.Entry {
	at := entry.Time(Start.Add(time.Duration(i) * time.Minute))
	if i == 0 {
		return entry.Entry{Key: "ledger/0/Started", Kind: entry.LedgerStarted, Time: at, Object: entry.Object{Kind: "AuditLedger", Name: "cluster"}}
	}
	n, kind := (i-1)/len(steps), steps[(i-1)%len(steps)]
	release := Release(n)
	if ends := kind == entry.TerminationIntended || kind == entry.ReleaseRetired; ends && n == 0 {
		// There is no release before the first one.
		kind = map[entry.Kind]entry.Kind{entry.TerminationIntended: entry.TrackPinned, entry.ReleaseRetired: entry.TrackUnpinned}[kind]
		return entry.Entry{
			Key: entry.Key("track", int64(i), string(kind)), Kind: kind, Time: at,
			Object: entry.Object{Kind: "ReleaseTrack", Namespace: "shop", Name: "shop", UID: "track"}, Track: "shop",
		}
	} else if ends {
		release = Release(n - 1)
	}
	e := entry.Entry{
		Key: entry.Key(release.UID, release.Run, string(kind)), Kind: kind, Time: at,
		Object: entry.Object{Kind: "ImmutableRelease", Namespace: "shop", Name: release.Name, UID: release.UID}, Track: "shop", Release: release,
	}
	if n > 0 && kind == entry.SwitchIntended {
		e.Previous = Release(n - 1)
	}
	return e
}

// Release is the n-th release of the story.
func Release(n int) *entry.Release {
	hash := fmt.Sprintf("%040x", 0x1000+n)
	return &entry.Release{
		Name: "shop-" + hash[30:], UID: fmt.Sprintf("00000000-0000-4000-8000-%012x", n), Sequence: int64(n + 1), Run: 1, Commit: hash,
		Digest: "sha256:" + fmt.Sprintf("%064x", n), KeyFingerprint: "SHA256:test", Verification: "Head",
	}
}
