package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// realNS is the namespace of what real Git servers have.
const realNS = "hostile-real"

// realCase is a repository of a real server that turns hostile, or is so from the start.
type realCase struct {
	// start makes the repository, and may change the track. It returns the commit that has to go live, or "" when none will.
	start func(*gitserver.Repo, *v1alpha1.ReleaseTrack) (string, error)
	// turn makes it hostile.
	turn   func(repo *gitserver.Repo, first string) error
	reason string
	says   []string

	repo  *gitserver.Repo
	first string
}

type realCases map[string]*realCase

// one is a repository with a good commit.
func one(name string) func(*gitserver.Repo, *v1alpha1.ReleaseTrack) (string, error) {
	return func(repo *gitserver.Repo, _ *v1alpha1.ReleaseTrack) (string, error) {
		return repo.Commit(under(files(name)))
	}
}

func under(list map[string]string) map[string]string {
	out := map[string]string{}
	for name, content := range list {
		out["deploy/"+name] = content
	}
	return out
}

// object makes a ref that leads to what is returned.
func object(ref v1alpha1.GitRef, make func(*gitserver.Repo) (string, error)) func(*gitserver.Repo, *v1alpha1.ReleaseTrack) (string, error) {
	return func(repo *gitserver.Repo, track *v1alpha1.ReleaseTrack) (string, error) {
		track.Spec.Source.Ref = ref
		return make(repo)
	}
}

func theRealCases() realCases {
	rewritten := []string{"rewritten", "accept-history"}
	return realCases{
		"no-common-ancestor": {start: one("no-common-ancestor"), reason: v1alpha1.GitHistoryRewrittenReason, says: rewritten,
			turn: func(repo *gitserver.Repo, _ string) error {
				_, err := repo.Commit(under(files("rewritten")), gitserver.Orphan())
				return err
			}},
		"pushed-back-to-older-commit": {reason: v1alpha1.GitHistoryRewrittenReason, says: rewritten,
			start: func(repo *gitserver.Repo, track *v1alpha1.ReleaseTrack) (string, error) {
				if _, err := repo.Commit(under(files("older"))); err != nil {
					return "", err
				}
				return repo.Commit(under(files("newer")))
			},
			turn: func(repo *gitserver.Repo, first string) error { return repo.Branch("main", first+"^") }},
		"branch-deleted": {start: one("branch-deleted"), reason: v1alpha1.GitRefReason, says: []string{`branch "main"`},
			turn: func(repo *gitserver.Repo, first string) error {
				return errors.Join(repo.Branch("other", first), repo.DeleteRef("refs/heads/main"))
			}},
		"emptied": {start: one("emptied"), reason: v1alpha1.GitEmptyReason,
			turn: func(repo *gitserver.Repo, _ string) error { return repo.DeleteRef("refs/heads/main") }},
		"empty": {reason: v1alpha1.GitEmptyReason,
			start: func(*gitserver.Repo, *v1alpha1.ReleaseTrack) (string, error) { return "", nil }},
		"shallow": {reason: v1alpha1.GitServerReason, says: []string{"shallow"},
			start: func(repo *gitserver.Repo, _ *v1alpha1.ReleaseTrack) (string, error) {
				if _, err := repo.Commit(under(files("deep"))); err != nil {
					return "", err
				}
				if _, err := repo.Commit(under(files("shallow"))); err != nil {
					return "", err
				}
				return "", makeShallow(repo)
			}},
		"sha-256": {reason: v1alpha1.GitServerReason, says: []string{"sha256"},
			start: func(repo *gitserver.Repo, _ *v1alpha1.ReleaseTrack) (string, error) {
				return "", sha256Repository(repo.Dir())
			}},
		"tag-of-a-tag": {start: object(v1alpha1.GitRef{Tag: "outer"}, func(repo *gitserver.Repo) (string, error) {
			id, err := repo.Commit(under(files("tag-of-a-tag")))
			if err != nil {
				return "", err
			}
			inner, err := repo.AnnotatedTag("inner", id, "inner")
			if err != nil {
				return "", err
			}
			_, err = repo.AnnotatedTag("outer", inner, "outer")
			return id, err
		})},
		"tag-of-a-file": {reason: v1alpha1.GitTreeReason, says: []string{"is a blob where a commit is expected"},
			start: object(v1alpha1.GitRef{Tag: "file"}, func(repo *gitserver.Repo) (string, error) {
				blob, err := repo.Write("blob", []byte("x"))
				if err != nil {
					return "", err
				}
				_, err = repo.AnnotatedTag("file", blob, "of a file")
				return "", err
			})},
		"no-such-commit": {reason: v1alpha1.GitRefReason, says: []string{strings.Repeat("ab", 20)},
			start: object(v1alpha1.GitRef{Commit: strings.Repeat("ab", 20)}, func(repo *gitserver.Repo) (string, error) {
				_, err := repo.Commit(under(files("other")))
				return "", err
			})},
	}
}

// makeShallow cuts the history off after the tip of main, as git clone --depth=1 does.
func makeShallow(repo *gitserver.Repo) error {
	tip, err := repo.Head("main")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(repo.Dir(), "shallow"), []byte(tip+"\n"), 0o600)
}

// sha256Repository makes the repository anew, with other ids.
func sha256Repository(dir string) error {
	out, err := exec.Command("git", "init", "--quiet", "--bare", "--object-format=sha256", "--initial-branch=main", dir+".new").CombinedOutput()
	if err != nil {
		return fmt.Errorf("git init: %w: %s", err, out)
	}
	return errors.Join(os.RemoveAll(dir), os.Rename(dir+".new", dir))
}

// followReal makes the tracks of the real repositories, which are good as far as they can be.
func followReal(t *testing.T) realCases {
	t.Helper()
	makeNamespace(t, realNS)
	cases := theRealCases()
	for name, c := range cases {
		var err error
		c.repo, err = suite.git.CreateRepo("real-" + name)
		must(t, err)
		track := newTrack(realNS, "t-"+name, suite.git.HTTPURL("real-"+name), "basic")
		c.first, err = c.start(c.repo, track)
		must(t, err)
		create(t, track)
	}
	return cases
}

// turnHostile waits until what is good runs, lets the repositories turn, and checks how the tracks end: with the reason, and with what ran
// before.
func (cases realCases) turnHostile(t *testing.T) {
	t.Helper()
	for name, c := range cases {
		if c.first != "" {
			live(t, realNS, "t-"+name, c.first)
		}
		if c.turn != nil {
			must(t, c.turn(c.repo, c.first))
			poke(t, realNS, "t-"+name, "turned")
		}
	}
	for name, c := range cases {
		if c.reason == "" {
			continue
		}
		sourceFails(t, realNS, "t-"+name, c.reason, c.says...)
		if c.first != "" {
			live(t, realNS, "t-"+name, c.first)
			continue
		}
		if made := appliedOf(t, realNS, "t-"+name); made != "" {
			t.Errorf("%s: applied: %s", name, made)
		}
	}
}

// eventuallyHangs waits until a server has a request that it does not answer.
func eventuallyHangs(t *testing.T, name string) {
	t.Helper()
	eventually(t, name, func(context.Context) error {
		if suite.hostile.Open(name) == 0 {
			return errors.New("nobody waits for it")
		}
		return nil
	})
}
