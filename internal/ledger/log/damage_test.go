package log

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func mustTree(t *testing.T, entries [][]byte) tlog.Hash {
	t.Helper()
	return tlog.Hash(mustRoot(t, entries))
}

// mustRoot is the root hash by the reference implementation.
func mustRoot(t *testing.T, entries [][]byte) []byte {
	t.Helper()
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i, e := range entries {
		hashes, err := tlog.StoredHashes(int64(i), e, read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(int64(len(entries)), read)
	if err != nil {
		t.Fatal(err)
	}
	return root[:]
}

// snapshot names each file with its size and time of change.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			b.WriteString(path + " " + strconv.FormatInt(info.Size(), 10) + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func replace(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if !exists(path) {
		t.Fatalf("%s is not there", path)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// Whatever was done to a log, nothing is signed or appended: it is refused, and stays as it was found.
func TestDamagedLogsAreRefused(t *testing.T) {
	dir, keys, others := t.TempDir(), newTestKeys(t), newTestKeys(t)
	l := open(t, dir, keys)
	all := entriesOf(0, 300)
	add(t, l, all[:10])
	early := copied(t, dir)
	last := add(t, l, all[10:])
	closed(t, l)
	half := func(data []byte) []byte { return data[:len(data)/2] }
	flip := func(data []byte) []byte {
		out := bytes.Clone(data)
		out[len(out)/2] ^= 1
		return out
	}
	for name, tc := range map[string]struct {
		do   func(t *testing.T, dir string)
		seen []Tree
		keys *Keys
		says string
	}{
		"a tree that was seen is larger":            {seen: []Tree{{Size: 301, Root: last.Root}}, says: "301"},
		"a tree that was seen has another root":     {seen: []Tree{{Size: 10, Root: last.Root}}, says: "seen before"},
		"an older copy of the volume":               {do: func(t *testing.T, dir string) { restore(t, early, dir) }, seen: []Tree{last.Tree}, says: "has 10 entries"},
		"an empty volume":                           {do: func(t *testing.T, dir string) { restore(t, t.TempDir(), dir) }, seen: []Tree{last.Tree}, says: "has 0 entries"},
		"the key of another log":                    {keys: &others, says: "not signed"},
		"a truncated file of entries":               {do: func(t *testing.T, dir string) { replace(t, dir+"/tile/entries/000", half) }, says: "tile/entries/000"},
		"a truncated partial file of entries":       {do: func(t *testing.T, dir string) { replace(t, dir+"/tile/entries/001.p/44", half) }, says: "tile/entries/001.p/44"},
		"a changed entry":                           {do: func(t *testing.T, dir string) { replace(t, dir+"/tile/entries/000", flip) }, says: "000"},
		"a missing file of entries":                 {do: func(t *testing.T, dir string) { remove(t, dir+"/tile/entries/000") }, says: "missing"},
		"a truncated tile":                          {do: func(t *testing.T, dir string) { replace(t, dir+"/tile/0/000", half) }, says: "tile/0/000"},
		"a changed tile":                            {do: func(t *testing.T, dir string) { replace(t, dir+"/tile/0/001.p/44", flip) }, says: "tile/0/001.p/44"},
		"a changed tile of the next level":          {do: func(t *testing.T, dir string) { replace(t, dir+"/tile/1/000.p/1", flip) }, says: "tile/1/000.p/1"},
		"no tile":                                   {do: func(t *testing.T, dir string) { remove(t, dir+"/tile/0/001.p/44") }, says: "missing"},
		"a state that was lost":                     {do: func(t *testing.T, dir string) { remove(t, dir+"/.state") }, says: "treeState is missing"},
		"a state and a checkpoint that were lost":   {do: func(t *testing.T, dir string) { remove(t, dir+"/.state"); remove(t, dir+"/checkpoint") }, says: "treeState is missing"},
		"a state that is damaged":                   {do: func(t *testing.T, dir string) { replace(t, dir+"/.state/treeState", half) }, says: "treeState"},
		"a state that is older than the checkpoint": {do: func(t *testing.T, dir string) { restore(t, early+"/.state", dir+"/.state") }, says: "has 10 entries"},
		"a checkpoint that was changed":             {do: func(t *testing.T, dir string) { replace(t, dir+"/checkpoint", flip) }, says: "not signed"},
		"a checkpoint that was truncated":           {do: func(t *testing.T, dir string) { replace(t, dir+"/checkpoint", half) }, says: "not signed"},
		"an earlier checkpoint with another root": {do: func(t *testing.T, dir string) {
			replace(t, dir+"/checkpoints/10", func(d []byte) []byte {
				return bytes.Replace(d, []byte(mustTree(t, all[:10]).String()), []byte(last.Root.String()), 1)
			})
		}, says: "checkpoints/10"},
		"an earlier checkpoint of a larger log": {do: func(t *testing.T, dir string) {
			_ = os.WriteFile(dir+"/checkpoints/400", mustRead(t, dir+"/checkpoints/300"), 0o644)
		}, says: "checkpoints/400"},
		"an earlier checkpoint that was emptied": {do: func(t *testing.T, dir string) { _ = os.WriteFile(dir+"/checkpoints/10", nil, 0o644) }, says: "checkpoints/10"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copied(t, dir)
			if tc.do != nil {
				tc.do(t, dir)
			}
			k := keys
			if tc.keys != nil {
				k = *tc.keys
			}
			_ = os.WriteFile(filepath.Join(dir, lockFile), nil, 0o644)
			before := snapshot(t, dir)
			if short := refused(t, dir, k, tc.seen...); !strings.Contains(short.What, tc.says) {
				t.Errorf("it says: %s", short.What)
			}
			if after := snapshot(t, dir); after != before {
				t.Errorf("files have changed:\n%s\nthen\n%s", before, after)
			}
		})
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// restore puts a copy of a folder in its place.
func restore(t *testing.T, from, to string) {
	t.Helper()
	remove(t, to)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// What a process that was killed, or a power failure, leaves behind is no damage.
func TestLeftoversAreNoDamage(t *testing.T) {
	dir, keys := t.TempDir(), newTestKeys(t)
	l := open(t, dir, keys)
	add(t, l, entriesOf(0, 3))
	closed(t, l)
	for _, file := range []string{"tile/entries/000.p/4", "tile/entries/000.p/31234567", "tile/0/000.p/4", "checkpoint7654321", ".state/treeState999", "checkpoints/new-1"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("half of someth"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, dir, keys)
	add(t, l, entriesOf(3, 5))
	want(t, l, entriesOf(0, 5))
	closed(t, l)
	l = open(t, dir, keys)
	add(t, l, entriesOf(5, 9))
	want(t, l, entriesOf(0, 9))
	if err := fscked(t.Context(), dir, keys); err != nil {
		t.Error(err)
	}
}
