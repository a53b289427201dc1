package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

var ledgerKey = tlog.NewKey(7, tlog.Origin)

// stele runs a command, with a kubeconfig that does not exist.
func stele(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var o, e bytes.Buffer
	code = run(t.Context(), args, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &o, ErrOut: &e})
	return code, o.String(), e.String()
}

// logDir is a log of 300 entries in a folder, with the key in a file.
func logDir(t *testing.T) (dir, key string) {
	t.Helper()
	dir = t.TempDir()
	if err := tlog.Make(ledgerKey, tlog.Entries(300), 100, 299).WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(t.TempDir(), "ledger.vkey")
	if err := os.WriteFile(key, []byte(ledgerKey.Public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, key
}

func want(t *testing.T, what string, code, wantCode int, text string, parts ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("%s: exit code %d, want %d: %s", what, code, wantCode, text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s: %q is not in\n%s", what, part, text)
		}
	}
}

func TestAuditExportAndVerify(t *testing.T) {
	dir, key := logDir(t)
	file := filepath.Join(t.TempDir(), "evidence.tar")
	code, out, errOut := stele(t, "audit", "export", "--file", file, "--ledger", dir, "--key", key, "--entry", "17", "--release", tlog.Release(3).Name)
	want(t, "export", code, exitDone, out+errOut, "300 entries of "+tlog.Origin, "2 earlier checkpoints", "7 proofs")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	code, _, errOut = stele(t, "audit", "export", "--file", file+"2", "--ledger", dir, "--key", key, "--entry", "5000")
	want(t, "export of an entry that is not there", code, exitDone, errOut, "no entry is what", "--entry")
	code, out, errOut = stele(t, "audit", "export", "--file", file, "--ledger", dir, "--key", key)
	want(t, "export over a file", code, exitUsage, out+errOut, "exists", "--force")
	code, out, errOut = stele(t, "audit", "export", "--file", file, "--ledger", dir, "--key", ledgerKey.Public, "--force", "--entry", "17", "--release", tlog.Release(3).Name)
	want(t, "export with --force", code, exitDone, out+errOut)
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(before, again) {
		t.Errorf("a second export of the same log differs (%v)", err)
	}

	code, out, errOut = stele(t, "audit", "verify", file, "--key", key)
	want(t, "verify", code, exitDone, out, "Verified: 300 entries", "\n  root ", "2 earlier checkpoints", "7 proofs", "signed by "+tlog.Origin, "no outcome yet: entry 299")
	if errOut != "" {
		t.Errorf("verify warns: %s", errOut)
	}
	code, out, errOut = stele(t, "audit", "verify", file)
	want(t, "verify without a key", code, exitDone, errOut, "the key came with the file")
	if !strings.HasPrefix(out, "NOT PROVED") || strings.Contains(out, "Verified") {
		t.Errorf("verify without a key looks like a pass: %s", out)
	}
	code, out, _ = stele(t, "audit", "verify", file, "--key", key, "-o", "json")
	var report struct {
		Size     int
		Verified bool
	}
	if err := json.Unmarshal([]byte(out), &report); code != exitDone || err != nil || report.Size != 300 || !report.Verified {
		t.Errorf("-o json: %d, %v, %s", code, err, out)
	}
	code, out, _ = stele(t, "audit", "verify", file, "-o", "json")
	want(t, "-o json without a key", code, exitDone, out, `"verified": false`, `"keyFromFile": true`)
	other := tlog.NewKey(9, tlog.Origin)
	code, _, errOut = stele(t, "audit", "verify", file, "--key", other.Public)
	want(t, "verify with another key", code, exitInvalid, errOut, "not among those that you trust")

	// What was signed before, and is not in the log.
	kept := filepath.Join(t.TempDir(), "kept")
	forged := tlog.Make(ledgerKey, append(tlog.Entries(200), tlog.Entries(100)...))
	if err := os.WriteFile(kept, forged["checkpoint"], 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut = stele(t, "audit", "verify", file, "--key", key, "--checkpoint", kept)
	want(t, "verify of a fork", code, exitInvalid, errOut, "entry 299", "--checkpoint", "forked")

	changed := bytes.Replace(before, []byte(tlog.Release(7).UID+"/1/ReleaseActivated"), []byte(tlog.Release(9).UID+"/1/ReleaseActivated"), 2)
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut = stele(t, "audit", "verify", file, "--key", key)
	want(t, "verify of a changed file", code, exitInvalid, errOut, "entry 46", "SHA-256")
}

func TestAuditProve(t *testing.T) {
	dir, key := logDir(t)
	file := filepath.Join(t.TempDir(), "proof")
	named := entry.Key(tlog.Release(2).UID, 1, "ReleaseActivated")
	code, out, errOut := stele(t, "audit", "prove", named, "--file", file, "--ledger", dir, "--key", key)
	want(t, "prove", code, exitDone, out+errOut, "entry 16", "ReleaseActivated")
	code, out, errOut = stele(t, "audit", "verify", file, "--key", key)
	want(t, "verify of a proof", code, exitDone, out+errOut, "Verified: entry 16 of 300", named)
	code, out, errOut = stele(t, "audit", "verify", file)
	want(t, "verify of a proof without a key", code, exitUsage, out+errOut, "--key")
	proof, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(proof, []byte("index 16"), []byte("index 18446744073709551615"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut = stele(t, "audit", "verify", file, "--key", key)
	want(t, "verify of a changed proof", code, exitInvalid, out+errOut, "the log has 300")
	code, out, errOut = stele(t, "audit", "prove", "5000", "--ledger", dir, "--key", key)
	want(t, "prove what is not there", code, exitUsage, out+errOut, "audit show")
}

func TestAuditShow(t *testing.T) {
	dir, key := logDir(t)
	code, out, errOut := stele(t, "audit", "show", "--ledger", dir, "--key", key, "--last", "9223372036854775807")
	want(t, "show --last of all", code, exitDone, out+errOut, "300 of 300 entries")
	code, out, errOut = stele(t, "audit", "show", "--ledger", dir, "--key", key, "--release", tlog.Release(2).Name, "--kind", "ReleaseActivated")
	want(t, "show", code, exitDone, out+errOut, "INDEX", "16", "ReleaseActivated", tlog.Release(2).Name, "1 of 300 entries; the log verifies")
	code, out, _ = stele(t, "audit", "show", "--ledger", dir, "--key", key, "--track", "shop", "-n", "shop", "--since", "2026-05-28T21:00:00Z", "--last", "3", "-o", "json")
	var got shownLog
	if err := json.Unmarshal([]byte(out), &got); code != exitDone || err != nil || len(got.Entries) != 3 || got.Entries[2].Index != 299 {
		t.Errorf("-o json: %d, %v, %s", code, err, out)
	}
	code, out, errOut = stele(t, "audit", "show", "--ledger", dir)
	want(t, "show without a key", code, exitUsage, out+errOut, "status.publicKey")
	file := filepath.Join(dir, "tile", "entries", "000")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(data, []byte("ReleaseActivated"), []byte("ReleaseAnctivate"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut = stele(t, "audit", "show", "--ledger", dir, "--key", key)
	want(t, "show of a changed log", code, exitInvalid, errOut, "nothing of it is shown", "entry 4")
	if out != "" {
		t.Errorf("something was shown: %s", out)
	}
}

func TestAsOf(t *testing.T) {
	dir, key := logDir(t)
	at := func(i int) string { return tlog.Entry(i).Time }
	// Entry 16 activates release 2, 22 release 3.
	code, out, errOut := stele(t, "as-of", "shop", at(18), "--ledger", dir, "--key", key)
	want(t, "as-of", code, exitDone, out+errOut, tlog.Release(2).Name+", run 1", "\n  commit     "+tlog.Release(2).Commit, "SHA256:test", "(entry 16)", "(entry 22, ReleaseActivated)", "300 entries of "+tlog.Origin)
	code, out, errOut = stele(t, "as-of", "shop", at(15), "--ledger", dir, "--key", key)
	want(t, "as-of within a switch", code, exitDone, out+errOut, "about to move to "+tlog.Release(2).Name)
	code, out, errOut = stele(t, "as-of", "shop", "2020-01-01", "--ledger", dir, "--key", key)
	want(t, "as-of before all", code, exitDone, out+errOut, "knows nothing of this track until then")
	code, out, errOut = stele(t, "as-of", "shopp", at(18), "--ledger", dir, "--key", key)
	want(t, "as-of a track that never was", code, exitDone, out+errOut, "no track of this name at any time")
	code, out, errOut = stele(t, "as-of", "shop", "today", "--ledger", dir, "--key", key)
	want(t, "as-of no time", code, exitUsage, out+errOut, "is no time")
	code, out, _ = stele(t, "as-of", "shop", at(18), "--ledger", dir, "--key", key, "-o", "yaml")
	want(t, "as-of -o yaml", code, exitDone, out, "running:", tlog.Release(2).Commit, "reliesOn:", "size: 300")
}

// A log behind a web server, which grows while it is read: partial files are gone, and whole ones there.
func TestLedgerOfAServerThatGrows(t *testing.T) {
	small, large := tlog.Make(ledgerKey, tlog.Entries(300), 100), tlog.Make(ledgerKey, tlog.Entries(600))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/log/")
		if path == "checkpoints/" {
			sizes, _ := small.Checkpoints(context.Background())
			for _, size := range slices.Backward(sizes) {
				_, _ = w.Write([]byte(strconv.FormatUint(size, 10) + "\n"))
			}
			return
		}
		data, there := small[path]
		if whole, _, partial := strings.Cut(path, ".p/"); partial && large[whole] != nil || !there {
			data, there = large[path]
		}
		if !there {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "evidence.tar")
	code, out, errOut := stele(t, "audit", "export", "--file", file, "--ledger", server.URL+"/log", "--key", ledgerKey.Public, "--entry", "299")
	want(t, "export", code, exitDone, out+errOut, "300 entries", "1 earlier checkpoints, 1 proofs")
}
