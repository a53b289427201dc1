package evidence_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

var update = flag.Bool("update", false, "write the fixtures anew")

// sizes are on both sides of where a tile is full. 70,000 would be the next, and is in the benchmark.
var sizes = []int{1, 2, 255, 256, 257, 600}

func fixture(size int) string {
	return filepath.Join("testdata", fmt.Sprintf("export-%d.tar.gz", size))
}

func readFixture(t testing.TB, size int) []byte {
	t.Helper()
	packed, err := os.ReadFile(fixture(size))
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The same log gives the same bytes, today and with a later version: an export of last year must still verify.
func TestFixtures(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			data := export(t, story(size))
			if *update {
				var b bytes.Buffer
				w := gzip.NewWriter(&b)
				_, err := w.Write(data)
				if err == nil {
					err = w.Close()
				}
				if err == nil {
					err = os.WriteFile(fixture(size), b.Bytes(), 0o644) //nolint:gosec // a fixture
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(readFixture(t, size), data) {
				t.Errorf("the export of this log is another one than it was; if that is meant: go test ./internal/ledger/evidence -update")
			}
			report := verify(t, readFixture(t, size), evidence.Options{Keys: trusted(t, testKey)})
			if !report.Verified() || report.Size != uint64(size) || report.KeyFromFile {
				t.Errorf("%+v", report)
			}
			if got := verify(t, data, evidence.Options{}); !got.Verified() || !got.KeyFromFile {
				t.Errorf("without a key: %+v", got)
			}
		})
	}
}

// What people read first is vouched for by nothing: a README that somebody else has written is told of, and a missing one refused.
func TestReadmeIsVouchedForByNothing(t *testing.T) {
	whole := export(t, story(20))
	if r := verify(t, whole, evidence.Options{Keys: trusted(t, testKey)}); !r.Verified() || len(r.Notes) > 0 {
		t.Fatalf("notes %q, findings %v", r.Notes, r.Findings)
	}
	members := unpack(whole)
	for i := range members {
		if members[i].name == "README.md" {
			members[i].data = append(members[i].data, "Nothing ran on 3 March.\n"...)
		}
	}
	if r := verify(t, pack(resum(members)), evidence.Options{Keys: trusted(t, testKey)}); !r.Verified() || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "README.md") {
		t.Errorf("notes %q, findings %v", r.Notes, r.Findings)
	}
	members = slices.DeleteFunc(members, func(m member) bool { return m.name == "README.md" })
	if r := verify(t, pack(resum(members)), evidence.Options{Keys: trusted(t, testKey)}); r.Verified() {
		t.Error("an export without README.md verifies")
	}
}

// The writer's first entry is made when it starts, and what waited for it is older.
func TestTimesOfALogThatBeganLate(t *testing.T) {
	entries := tlog.Entries(3)
	report := verify(t, export(t, tlog.Make(testKey, [][]byte{entries[2], entries[0], entries[1]})), evidence.Options{Keys: trusted(t, testKey)})
	if !report.Verified() || report.From != tlog.Entry(0).Time || report.To != tlog.Entry(2).Time {
		t.Errorf("from %s to %s: %v", report.From, report.To, report.Findings)
	}
}

// sparse is a file whose rest is zeros that nobody has stored.
type sparse struct {
	head []byte
	read *int64
}

func (h sparse) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at < int64(len(h.head)) {
		copy(p, h.head[at:])
	}
	*h.read += int64(len(p))
	return len(p), nil
}

// A file of terabytes costs its maker nothing, and is refused before it is read through.
func TestFilesWithHolesAreNotReadThrough(t *testing.T) {
	var long bytes.Buffer
	if err := tar.NewWriter(&long).WriteHeader(&tar.Header{Name: "README.md", Size: 1 << 40, Mode: 0o644, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	for name, head := range map[string][]byte{"within a file": long.Bytes(), "behind the end": export(t, story(20))} {
		read := int64(0)
		_, err := evidence.OpenArchive(sparse{head, &read}, 1<<41)
		if err == nil || read > 1<<20 {
			t.Errorf("%s: %v, after %d bytes", name, err, read)
		}
	}
}
