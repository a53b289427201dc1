package gitsource_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// sameAsGit reads a file of every commit of a branch and compares it with what git has.
func sameAsGit(t *testing.T, repo *gitserver.Repo, cached *gitsource.Repository, branch, file string) error {
	t.Helper()
	list, err := repo.Git("rev-list", branch, "--", file)
	ok(t, err)
	for _, commit := range strings.Fields(list) {
		tree, err := cached.Tree(commit)
		if err != nil {
			return err
		}
		got, err := tree.ReadFile(file)
		if err != nil {
			return err
		}
		want, err := repo.Git("cat-file", "blob", commit+":"+file)
		ok(t, err)
		if strings.TrimSpace(string(got)) != want {
			t.Fatalf("commit %s: %q, git has %q", commit, got, want)
		}
	}
	return nil
}

// files are those of a folder, with their content.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	ok(t, filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, folder+"/")] = string(content)
		return err
	}))
	return out
}

// lay makes a folder hold these files and nothing else.
func lay(t *testing.T, folder string, content map[string]string) {
	t.Helper()
	ok(t, os.RemoveAll(folder))
	ok(t, os.MkdirAll(filepath.Join(folder, "objects", "pack"), 0o700))
	for name, text := range content {
		ok(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
}

// What a kill at any point of a fetch, a join or a removal can leave, and a power loss besides: the next process works on, or begins anew,
// and never reads anything else than git has.
func TestWhateverAKillLeaves(t *testing.T) {
	w := newWorld(t)
	dir := onDisk(t, w)
	_, err := w.repo.Git("config", "uploadpack.allowFilter", "true")
	ok(t, err)
	w.commit(map[string]string{"large": noise(1, 3*mib)})
	push := func(n int) {
		w.commit(map[string]string{"app": fmt.Sprintf("version %d", n)})
		w.sync(mainRef)
	}
	push(0)
	repo := glob(t, dir, "*.git")[0]
	var states []map[string]string // after each fetch
	for n := 1; n <= 20; n++ {
		states = append(states, files(t, repo))
		push(n)
	}
	joined := files(t, repo)
	before := states[len(states)-1]
	newest := func(ext string) string { // the file of the last fetch before the join
		for name := range before {
			if _, old := states[len(states)-2][name]; !old && strings.HasSuffix(name, ext) {
				return name
			}
		}
		t.Fatal("no file ", ext)
		return ""
	}
	join := ""
	for name := range joined {
		if _, old := before[name]; !old && strings.HasSuffix(name, ".pack") {
			join = strings.TrimSuffix(name, ".pack")
		}
	}
	packs := func(state map[string]string) (n int) {
		for name := range state {
			if strings.HasSuffix(name, ".pack") {
				n++
			}
		}
		return n
	}
	if packs(before) != 20 || packs(joined) > 10 || join == "" {
		t.Fatalf("%d packs, then %d, joined %q: the test does not see a join", packs(before), packs(joined), join)
	}
	if _, marked := before["stele-partial"]; !marked {
		t.Fatal("nothing was left out: the test does not see the marker")
	}
	zeros := func(s string) string { return strings.Repeat("\x00", len(s)) }
	pack, idx := newest(".pack"), newest(".idx")
	tests := map[string]func(map[string]string){
		"killed before anything": func(map[string]string) {},
		"downloading":            func(s map[string]string) { s["objects/pack/tmp_pack_1"] = "PACK" },
		"index half written": func(s map[string]string) {
			s[idx[:len(idx)-4]+".tmp_idx"] = s[idx][:100]
			delete(s, idx)
			delete(s, pack)
		},
		"pack named, index not":                   func(s map[string]string) { s[idx[:len(idx)-4]+".tmp_idx"] = s[idx]; delete(s, idx) },
		"pack there, not in the list":             func(s map[string]string) { s["packed-refs"] = states[len(states)-2]["packed-refs"] },
		"list half written":                       func(s map[string]string) { s["packed-refs.new"] = s["packed-refs"][:60] },
		"first pack there, list empty":            func(s map[string]string) { s["packed-refs"] = "" },
		"joining":                                 func(s map[string]string) { s["objects/pack/tmp_pack_1"] = joined[join+".pack"][:1000] },
		"joined pack named, its index not":        func(s map[string]string) { s[join+".pack"] = joined[join+".pack"] },
		"joined, and nothing removed":             func(s map[string]string) { maps.Copy(s, joined) },
		"joined, and an index removed":            func(s map[string]string) { maps.Copy(s, joined); delete(s, idx) },
		"joined, and an index and a pack removed": func(s map[string]string) { maps.Copy(s, joined); delete(s, idx); delete(s, pack) },
		"removing, all packs gone": func(s map[string]string) {
			maps.DeleteFunc(s, func(name, _ string) bool { return strings.HasPrefix(name, "objects") })
		},
		"removing, list gone":              func(s map[string]string) { delete(s, "packed-refs") },
		"removing, all gone":               func(s map[string]string) { clear(s) },
		"power: pack is zeros":             func(s map[string]string) { s[pack] = zeros(s[pack]) },
		"power: index is zeros":            func(s map[string]string) { s[idx] = zeros(s[idx]) },
		"power: end of the index is zeros": func(s map[string]string) { s[idx] = s[idx][:1100] + zeros(s[idx][1100:]) },
		"power: middle of a pack is zeros": func(s map[string]string) {
			s[pack] = s[pack][:20] + zeros(s[pack][20:len(s[pack])-20]) + s[pack][len(s[pack])-20:]
		},
		"power: pack is empty":              func(s map[string]string) { s[pack] = "" },
		"power: index is empty":             func(s map[string]string) { s[idx] = "" },
		"power: index is cut":               func(s map[string]string) { s[idx] = s[idx][:len(s[idx])-30] },
		"power: pack is gone":               func(s map[string]string) { delete(s, pack) },
		"power: pack and index are gone":    func(s map[string]string) { delete(s, pack); delete(s, idx) },
		"power: list is zeros":              func(s map[string]string) { s["packed-refs"] = zeros(s["packed-refs"]) },
		"power: list is cut":                func(s map[string]string) { s["packed-refs"] = s["packed-refs"][:130] },
		"power: marker of left out is gone": func(s map[string]string) { delete(s, "stele-partial") },
		"power: time of use is gone":        func(s map[string]string) { delete(s, "stele-used") },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, server: w.server, repo: w.repo, store: w.store, remote: w.remote}
			state := maps.Clone(before)
			change(state)
			lay(t, repo, state)
			lay(t, filepath.Join(dir, "tmp-1", "gone"), before)
			reopen(t, w, dir)
			var err error
			for range 3 { // what is damaged may show at opening or only at reading; then the next fetch repairs it
				w.sync(mainRef)
				if err = sameAsGit(t, w.repo, w.open(), "main", "app"); err == nil {
					_, err = w.tree(w.head()).ReadFile("large")
					if errors.Is(err, gitsource.ErrLimit) {
						err = nil // it was left out
						break
					}
				}
				wantKind(t, err, gitsource.ErrCorrupt)
			}
			ok(t, err)
			if left := append(glob(t, repo, "objects/pack/tmp*"), glob(t, dir, "tmp-*")...); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			for _, path := range glob(t, repo, "objects/pack/*") {
				if ext := filepath.Ext(path); ext != ".pack" && ext != ".idx" {
					t.Errorf("left: %s", path)
				}
			}
			if n := len(glob(t, repo, "objects/pack/*.pack")); name == "first pack there, list empty" && n != 1 {
				t.Errorf("%d packs: it was not begun anew", n)
			}
			if out, err := gitFsckPartial(repo); err != nil {
				t.Errorf("git does not like the cache: %v: %s", err, out)
			}
			w.store.Close()
		})
	}
}

func (w *world) head() string {
	w.Helper()
	id, err := w.repo.Head("main")
	ok(w.T, err)
	return id
}

// gitFsckPartial checks what there is: that large files are missing is as it should be.
func gitFsckPartial(repo string) (string, error) {
	r := gitserver.RepoAt(repo)
	for _, path := range must1(filepath.Glob(filepath.Join(repo, "objects/pack/*.idx"))) {
		if out, err := r.Git("verify-pack", path); err != nil {
			return out, err
		}
	}
	return "", nil
}

func must1[T any](v T, _ error) T { return v }

// The tests below run this test's own program again, as another process.
const childEnv = "STELE_TEST_CHILD"

func TestMain(m *testing.M) {
	if what, dir, _ := strings.Cut(os.Getenv(childEnv), " "); what != "" {
		os.Exit(child(what, strings.Fields(dir)))
	}
	os.Exit(m.Run())
}

func startChild(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader, io.WriteCloser) {
	t.Helper()
	program, err := os.Executable()
	ok(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(args, " "))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	ok(t, err)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	return cmd, bufio.NewReader(out), in
}

// child fetches one repository after the other, and says so. With "full" no file may be larger than 300 KB.
func child(what string, args []string) int {
	dir, urls := args[0], args[1:]
	max := int64(4 * mib)
	if what == "full" {
		signal.Ignore(syscall.SIGXFSZ)
		limit := syscall.Rlimit{Cur: 300_000, Max: 300_000}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			fmt.Println(err)
			return 1
		}
		max = 0
	}
	store, err := gitsource.NewStore(dir, gitsource.WithDialer(onLoopback()), gitsource.WithMaxBytes(max))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	rounds := 1
	if what == "loop" {
		rounds = 1_000_000
	}
	for range rounds {
		for _, url := range urls {
			remote := gitsource.Remote{URL: url, Timeout: 20 * time.Second}
			rev, err := store.Resolve(context.Background(), remote, mainRef, 0)
			if err == nil {
				err = store.Fetch(context.Background(), remote, mainRef, rev)
			}
			fmt.Println(gitsource.Reason(err), err)
		}
	}
	return 0
}

// Killed at any moment, while it fetches, joins and makes room: the next process has what git has.
func TestKilled(t *testing.T) {
	server := startServer(t)
	dir := t.TempDir()
	args := []string{"loop", dir}
	var repos []*gitserver.Repo
	for i := range 6 { // more than there is room for
		repo, err := server.CreateRepo(fmt.Sprintf("r%d", i))
		ok(t, err)
		_, err = repo.Commit(map[string]string{"app": "0", "noise": noise(uint64(i), 800_000)})
		ok(t, err)
		repos = append(repos, repo)
		args = append(args, server.HTTPURL(repo.Name()))
	}
	for round := range 5 {
		cmd, out, _ := startChild(t, args...)
		for n := range 6 + 5*round { // each time a little later
			if n%3 == 0 {
				_, err := repos[n%len(repos)].Commit(map[string]string{"app": fmt.Sprintf("%d/%d", round, n)})
				ok(t, err)
			}
			if _, err := out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		ok(t, cmd.Process.Kill())
		_ = cmd.Wait()
		store, err := gitsource.NewStore(dir, gitsource.WithDialer(onLoopback()), gitsource.WithMaxBytes(16*mib))
		ok(t, err)
		for i, repo := range repos {
			remote := gitsource.Remote{URL: args[2+i], Timeout: 20 * time.Second}
			rev, err := store.Resolve(t.Context(), remote, mainRef, 0)
			ok(t, err)
			ok(t, store.Fetch(t.Context(), remote, mainRef, rev))
			cached, err := store.Open(remote)
			ok(t, err)
			ok(t, sameAsGit(t, repo, cached, "main", "app"))
		}
		store.Close()
	}
}

// The disk takes no more: that fetch fails and says so, others go on, and nothing torn is left.
func TestDiskIsFull(t *testing.T) {
	s := newShelf(t, 64*mib, 100_000, 2_000_000, 100_000)
	cmd, out, _ := startChild(t, "full", s.dir, s.remotes[0].URL, s.remotes[1].URL, s.remotes[2].URL)
	text, err := io.ReadAll(out)
	ok(t, errors.Join(err, cmd.Wait()))
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "CacheUnavailable ") || !strings.HasPrefix(lines[0], " ") || !strings.HasPrefix(lines[2], " ") {
		t.Fatalf("got %q", lines)
	}
	if strings.Contains(lines[1], s.dir) {
		t.Errorf("names a path of the machine: %s", lines[1])
	}
	if left := append(glob(t, s.dir, "tmp-*"), glob(t, s.dir, "*.git", "objects/pack/tmp*")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	s.restart()
	s.wantCounted()
	for i := range s.repos {
		ok(t, s.fetch(i))
	}
	if !slices.Equal(lines[:1], lines[2:]) {
		t.Errorf("the others: %q", lines)
	}
}
