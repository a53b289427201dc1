package gitserver_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stele-dev/stele/test/testkit/gitserver"
)

func git(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.invalid", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.invalid"}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What a person does: clone, commit, push, from each of the URLs, before and after the server was off.
func TestPeopleCanCloneAndPush(t *testing.T) {
	server, err := gitserver.New(t.TempDir(), gitserver.BasicAuth("ann", "secret"))
	check(t, err)
	defer server.Close()
	repo, err := server.CreateRepo("team/shop")
	check(t, err)
	_, err = repo.Commit(map[string]string{"a": "1"})
	check(t, err)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	check(t, os.WriteFile(ca, server.CA(), 0o600))
	withUser := func(url string) string { return strings.Replace(url, "://", "://ann:secret@", 1) }
	urls := map[string]string{"http": withUser(server.HTTPURL("team/shop")), "https": withUser(server.HTTPSURL("team/shop"))}
	env := []string{"GIT_SSL_CAINFO=" + ca}
	if ssh, err := exec.LookPath("ssh"); err == nil {
		key, hosts := filepath.Join(dir, "id"), filepath.Join(dir, "hosts")
		check(t, os.WriteFile(key, server.SSHSecret()["identity"], 0o600))
		check(t, os.WriteFile(hosts, server.KnownHosts(), 0o600))
		env = append(env, "GIT_SSH_COMMAND="+ssh+" -F none -i "+key+" -o UserKnownHostsFile="+hosts)
		urls["ssh"] = server.SSHURL("team/shop")
	}
	for round := range 2 {
		for name, url := range urls {
			clone := filepath.Join(t.TempDir(), "clone")
			git(t, dir, env, "clone", "--quiet", url, clone)
			check(t, os.WriteFile(filepath.Join(clone, name), []byte{byte('0' + round)}, 0o600))
			git(t, clone, env, "add", ".")
			git(t, clone, env, "commit", "--quiet", "-m", "by hand")
			git(t, clone, env, "push", "--quiet", "origin", "main")
			head, err := repo.Head("main")
			check(t, err)
			if pushed := git(t, clone, env, "rev-parse", "HEAD"); pushed != head {
				t.Errorf("%s: pushed %s, server has %s", name, pushed, head)
			}
		}
		server.Stop()
		check(t, server.Start())
	}
	if len(server.Requests()) == 0 {
		t.Error("no request was counted")
	}
}

func TestCommit(t *testing.T) {
	server, err := gitserver.New(t.TempDir())
	check(t, err)
	defer server.Close()
	repo, err := server.CreateRepo("r")
	check(t, err)
	c1, err := repo.Commit(map[string]string{"a": "1", "b": "2", "dir/file with space": "3"})
	check(t, err)
	side, err := repo.Commit(map[string]string{"s": "1"}, gitserver.OnBranch("side"), gitserver.Parents(c1), gitserver.Author("Ann", "ann@example.invalid"),
		gitserver.Message("two\nlines"))
	check(t, err)
	c2, err := repo.Commit(map[string]string{"l": "a", "x": "#!"}, gitserver.Delete("b"), gitserver.Symlink("l"), gitserver.Executable("x"))
	check(t, err)
	merge, err := repo.Commit(map[string]string{"m": "1"}, gitserver.Parents(c2, side))
	check(t, err)
	orphan, err := repo.Commit(map[string]string{"o": "1"}, gitserver.Orphan(), gitserver.OnBranch("orphan"))
	check(t, err)
	for args, want := range map[string]string{
		"log -1 --format=%P " + merge:             c2 + " " + side,
		"log -1 --format=%an%ae%cn%s " + side:     "Annann@example.invalidAnntwo lines",
		"log -1 --format=%P " + orphan:            "",
		"ls-tree --name-only " + orphan:           "o",
		"ls-tree -r --format=%(objectmode) " + c2: "100644\n100644\n120000\n100755",
		"ls-tree -r --name-only " + merge:         "a\ndir/file with space\nl\nm\nx",
		"rev-parse main":                          merge,
		"rev-list --count main":                   "4",
	} {
		got, err := repo.Git(strings.Split(args, " ")...)
		if got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", args, got, err, want)
		}
	}
	if _, err := server.CreateRepo("../outside"); err == nil {
		t.Error("a repository outside of the folder was made")
	}
}

// A repository that has grown has the history and the files that were asked for, and goes on from there.
func TestGrow(t *testing.T) {
	server, err := gitserver.New(t.TempDir())
	check(t, err)
	defer server.Close()
	repo, err := server.CreateRepo("r")
	check(t, err)
	g := gitserver.Growth{Files: 30, FileSize: 200, Commits: 44}
	check(t, repo.Grow(g))
	_, err = repo.Commit(map[string]string{"a": "1"})
	check(t, err)
	for args, want := range map[string]string{
		"rev-list --count main":                "45",
		"rev-list --count --merges main":       "4",
		"rev-list --count --first-parent main": "37",
		"for-each-ref --format=%(refname)":     "refs/heads/main",
		"cat-file -s main:" + g.Path(29):       "200",
	} {
		got, err := repo.Git(strings.Split(args, " ")...)
		if got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", args, got, err, want)
		}
	}
	files, err := repo.Git("ls-tree", "-r", "--name-only", "main")
	check(t, err)
	if n := len(strings.Split(files, "\n")); n != 31 {
		t.Errorf("%d files, want 31", n)
	}
	if _, err := repo.Git("fsck", "--strict"); err != nil {
		t.Error(err)
	}
}
