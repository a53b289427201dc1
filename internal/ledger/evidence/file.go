package evidence

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/stele-dev/stele/internal/ledger/entry"
)

// What an export holds beside the files of the log.
const (
	readmeFile     = "README.md"
	sumsFile       = "SHA256SUMS"
	entriesFile    = "entries.jsonl"
	keysDir        = "keys/"
	keySuffix      = ".vkey"
	checkpointsDir = "checkpoints/"
	proofsDir      = "proofs/"
	proofSuffix    = ".tlog-proof"
)

// Bounds of what an export may hold of these.
const (
	maxKeys        = 16
	maxCheckpoints = 1000
	maxProofs      = 10_000
)

// VerifyArchive checks an export: all that Verify does, and that every file in it belongs there, is the one that was exported, and agrees with the log.
// Without keys in the options, those that came with the file are taken, and the report says so.
func VerifyArchive(ctx context.Context, a *Archive, o Options) (*Report, error) {
	f := &file{Archive: a, verifier: verifier{files: a, o: o, report: &Report{}}}
	if err := f.check(ctx); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		// What cannot be read does not verify.
		f.finding("", "%v", err)
	}
	f.report.conclude(f.findings)
	return f.report, nil
}

type file struct {
	*Archive
	verifier
}

func (f *file) check(ctx context.Context) error {
	if err := f.trust(ctx); err != nil {
		return err
	}
	if len(f.o.Keys) == 0 {
		f.finding(keysDir, "there is no key to check the checkpoint with: none was given, and none is in the file")
		return f.sums(ctx)
	}
	opened, err := f.openCheckpoint(ctx)
	if err != nil {
		return err
	}
	checks := []func(context.Context) error{f.belong, f.sums, f.gatherCheckpoints, f.checkProofs, f.log}
	if !opened {
		checks = checks[1:2]
	}
	for _, check := range checks {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) finding(path, format string, args ...any) { f.file(path, format, args...) }

// trust takes the keys of the file where no other is given; else those of the file must be among them.
func (f *file) trust(ctx context.Context) error {
	own, n := f.o.Keys, 0
	f.o.Keys = append([]Key{}, own...)
	for _, name := range f.names {
		if !strings.HasPrefix(name, keysDir) {
			continue
		}
		if n++; n > maxKeys {
			f.finding(name, "there are more than %d keys", maxKeys)
			return nil
		}
		raw, err := f.Read(ctx, name)
		if err != nil {
			return err
		}
		key, err := ParseKey(string(raw))
		switch {
		case err != nil:
			f.finding(name, "%v", err)
		case string(raw) != key.Text+"\n" || !strings.HasSuffix(name, keySuffix):
			f.finding(name, "it is not one key, in a line, in a file that ends in %s", keySuffix)
		case len(own) == 0:
			f.o.Keys, f.report.KeyFromFile = append(f.o.Keys, key), true
		case !contains(own, key):
			f.finding(name, "the file came with the key %s, which is not among those that you trust", printable(key.Text))
		}
	}
	return nil
}

func contains(keys []Key, key Key) bool {
	for _, k := range keys {
		if k.Text == key.Text {
			return true
		}
	}
	return false
}

// belong lets no file be there that nothing is said of: somebody may take it for evidence.
func (f *file) belong(ctx context.Context) error {
	fixed := map[string]bool{readmeFile: true, sumsFile: true, entriesFile: true, layout.CheckpointPath: true}
	for path := range logFiles(f.checkpoint.Size) {
		fixed[path] = true
	}
	checkpoints, proofs := 0, 0
	for _, name := range f.names {
		_, isCheckpoint := numbered(name, checkpointsDir, "")
		_, isProof := numbered(name, proofsDir, proofSuffix)
		if isCheckpoint {
			checkpoints++
		}
		if isProof {
			proofs++
		}
		if !fixed[name] && !isCheckpoint && !isProof && !strings.HasPrefix(name, keysDir) {
			f.finding(name, "it does not belong into an export of %d entries", f.checkpoint.Size)
		}
	}
	f.foreword(ctx)
	if checkpoints > maxCheckpoints || proofs > maxProofs {
		return fmt.Errorf("%d checkpoints and %d proofs, and at most %d and %d are allowed", checkpoints, proofs, maxCheckpoints, maxProofs)
	}
	return nil
}

// foreword: the README is the one file that nothing vouches for, and the first that people read. That of another version is no fault.
func (f *file) foreword(ctx context.Context) {
	if raw, err := f.Read(ctx, readmeFile); err != nil {
		f.finding(readmeFile, "it is missing, or too long")
	} else if string(raw) != readme {
		f.report.Notes = append(f.report.Notes, readmeFile+" is not the one that this version writes: whoever packed the file may have written it, and nothing that it says is proved")
	}
}

// sums compares every file with the list of their hashes. This finds what was damaged on the way; whoever means harm writes the list anew.
func (f *file) sums(ctx context.Context) error {
	raw, err := f.Read(ctx, sumsFile)
	if err != nil {
		f.finding(sumsFile, "it is missing, or too long")
		return nil //nolint:nilerr // told
	}
	want := f.listed(raw)
	for _, name := range f.names {
		if name == sumsFile {
			continue
		}
		r, _ := f.open(name)
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return err
		}
		if want[name] != hex.EncodeToString(h.Sum(nil)) {
			f.finding(name, "its SHA-256 is not the one of %s", sumsFile)
		}
		delete(want, name)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		f.finding(name, "it is in %s, and missing", sumsFile)
	}
	return nil
}

// listed reads the list of hashes.
func (f *file) listed(raw []byte) map[string]string {
	want := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if _, twice := want[name]; twice || line != sumLine(name, sum) || len(want) > maxMembers {
			f.finding(sumsFile, "it is not a list of one SHA-256 for each file")
			break
		}
		want[name] = sum
	}
	return want
}

func sumLine(name, sum string) string { return sum + "  " + name + "\n" }

// gatherCheckpoints reads the earlier checkpoints in the file.
func (f *file) gatherCheckpoints(ctx context.Context) error {
	for _, name := range f.names {
		size, is := numbered(name, checkpointsDir, "")
		if !is {
			continue
		}
		raw, err := f.Read(ctx, name)
		if err != nil {
			f.finding(name, "%v", err)
			continue
		}
		f.o.Earlier = append(f.o.Earlier, Earlier{Name: name, Data: raw, size: &size})
	}
	return nil
}

// checkProofs of selected entries. Each must speak of the checkpoint of the file.
func (f *file) checkProofs(ctx context.Context) error {
	for _, name := range f.names {
		index, is := numbered(name, proofsDir, proofSuffix)
		if !is {
			continue
		}
		raw, err := f.Read(ctx, name)
		if err != nil {
			f.finding(name, "%v", err)
			continue
		}
		p, err := OpenProof(raw, f.o.Keys)
		switch {
		case err != nil:
			f.finding(name, "%v", err)
		case p.Index != index:
			f.finding(name, "it is of entry %d", p.Index)
		case !bytes.Equal(p.Checkpoint.Raw, f.checkpoint.Raw):
			f.finding(name, "its checkpoint is another one than that of the file")
		default:
			f.proofs = append(f.proofs, p)
			f.report.Proofs = append(f.report.Proofs, index)
		}
	}
	return nil
}

// log checks the log itself, and that the readable copy says the same.
func (f *file) log(ctx context.Context) error {
	lines, there := f.open(entriesFile)
	if !there {
		f.finding(entriesFile, "it is missing")
	}
	in, same, read := bufio.NewReaderSize(lines, entry.MaxSize+2), there, uint64(0)
	raw := f.o.Raw
	f.o.Tiles = true
	f.o.Raw = func(index uint64, data []byte) {
		if raw != nil {
			raw(index, data)
		}
		if !same {
			return
		}
		if line := make([]byte, len(data)+1); !full(in, line) || !bytes.Equal(line[:len(data)], data) || line[len(data)] != '\n' {
			same = false
			f.findings.entry(index, "", entriesFile, "the readable copy differs from the log here")
		}
		read++
	}
	if err := f.checkLog(ctx); err != nil {
		return err
	}
	if _, err := in.ReadByte(); same && read == f.checkpoint.Size && !errors.Is(err, io.EOF) {
		f.finding(entriesFile, "something follows the %d entries", read)
	}
	return nil
}

func full(r io.Reader, line []byte) bool {
	_, err := io.ReadFull(r, line)
	return err == nil
}
