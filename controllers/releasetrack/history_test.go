package releasetrack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// past is a repository with a past, and a follower that looks at it.
type past struct {
	*testing.T
	repo *gitserver.Repo
	f    *Follower
	req  lookRequest
}

func newPast(t *testing.T) *past {
	t.Helper()
	url, repo := newGit(t)
	f, _ := newFollower(t, 1)
	req := lookRequest{track: shopKey, path: "deploy", interval: time.Minute, ref: gitsource.Ref{Branch: "main"}, fresh: true,
		remote: gitsource.Remote{URL: url}, shape: release.Shape{Path: "deploy"}}
	return &past{t, repo, f, req}
}

func (p *past) commit(value string, options ...gitserver.CommitOption) string {
	p.Helper()
	id, err := p.repo.Commit(map[string]string{"deploy/a.yaml": fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: %q}\n", value)}, options...)
	if err != nil {
		p.Fatal(err)
	}
	return id
}

// look looks, and takes what is found for observed.
func (p *past) look(change ...func(*lookRequest)) (*found, error) {
	p.Helper()
	req := p.req
	for _, c := range change {
		c(&req)
	}
	out, err := p.f.look(p.Context(), req)
	if err == nil {
		p.req.observed, p.req.complete = out.revision, true
	}
	return out, err
}

func (p *past) finds(out *found, err error, want ...string) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
	var got []string
	for _, c := range out.commits {
		got = append(got, c.Commit)
	}
	if !slices.Equal(got, want) {
		p.Errorf("found %v, want %v", got, want)
	}
	if len(want) > 0 && out.newest.bundle == nil {
		p.Errorf("the newest is not rendered: %+v", out.newest.refusal)
	}
}

func accepting(commit string) func(*lookRequest) {
	return func(r *lookRequest) { r.accepted = commit }
}

func followAnyway(r *lookRequest) { r.history = v1alpha1.RewrittenHistoryFollow }

// A rewritten history runs when a person has accepted it, from where it forks, and not before.
func TestRewrittenHistoryIsAccepted(t *testing.T) {
	p := newPast(t)
	base := p.commit("base")
	old := p.commit("old")
	out, err := p.look()
	p.finds(out, err, old)
	p.commit("one", gitserver.Parents(base))
	tip := p.commit("two")
	one, _ := p.repo.Git("rev-parse", tip+"^")
	one = strings.TrimSpace(one)

	for name, accepted := range map[string]string{"nobody has accepted it": "", "another commit is accepted": strings.Repeat("ab", 20), "the old tip is accepted": old, "a commit that both have is accepted": base,
		"a branch is accepted": "main"} {
		_, err := p.look(accepting(accepted))
		if !errors.Is(err, gitsource.ErrNotAncestor) || sourceReason(err) != v1alpha1.GitHistoryRewrittenReason {
			t.Fatalf("%s: %v", name, err)
		}
		for _, want := range []string{old, "main@sha1:" + tip, "kubectl -n shop annotate rtrack shop --overwrite stele.dev/accept-history=" + tip, "stele.dev/actor="} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the message does not say %q: %v", name, want, err)
			}
		}
		if accepted != "" && !strings.Contains(err.Error(), fmt.Sprintf("names %q", accepted)) {
			t.Errorf("%s: the message does not say so: %v", name, err)
		}
	}
	_, err = p.look(func(r *lookRequest) { r.used = tip }) // the command alone would change nothing
	if err == nil || !strings.Contains(err.Error(), "(kubectl -n shop annotate rtrack shop --overwrite stele.dev/accept-history- stele.dev/actor=") {
		t.Errorf("the message does not say that the annotation was used: %v", err)
	}
	out, err = p.look(accepting(one)) // what was pushed on top of it is accepted with it
	p.finds(out, err, one, tip)
	if out.accepted != one || !strings.Contains(out.rewritten, "annotation") || !strings.Contains(out.rewritten, old) || len(historyFindings(out)) != 1 {
		t.Errorf("what is said of it: %+v", out)
	}
	// An annotation that names what is followed already is used up, and does not wait for the next rewriting.
	out, err = p.look(accepting(base))
	p.finds(out, err)
	if out.accepted != base || !out.unchanged || out.rewritten != "" || historyFindings(out) != nil {
		t.Errorf("an annotation that changes nothing: %+v", out)
	}
	out, err = p.look(accepting(strings.Repeat("ab", 20)))
	p.finds(out, err)
	if out.accepted != "" {
		t.Error("a commit that is not there yet may be accepted in advance")
	}
	next := p.commit("three")
	out, err = p.look(accepting(tip))
	p.finds(out, err, next)
	if out.accepted != tip {
		t.Error("an annotation that changes nothing is not used up")
	}
}

// With Follow, a person has accepted it beforehand. The new history may be an earlier state, or have nothing to do with the old one.
func TestRewrittenHistoryIsFollowed(t *testing.T) {
	p := newPast(t)
	a := p.commit("a")
	b := p.commit("b")
	out, err := p.look()
	p.finds(out, err, b)
	if err := p.repo.Branch("main", a); err != nil {
		t.Fatal(err)
	}
	if _, err := p.look(); !errors.Is(err, gitsource.ErrNotAncestor) {
		t.Fatalf("back to an older commit: %v", err)
	}
	out, err = p.look(followAnyway)
	p.finds(out, err, a)
	if out.accepted != "" || !strings.Contains(out.rewritten, "Follow") {
		t.Errorf("what is said of it: %+v", out)
	}
	if err := p.repo.Branch("main", b); err != nil { // and forward again: no rewriting
		t.Fatal(err)
	}
	out, err = p.look()
	p.finds(out, err, b)
	if out.rewritten != "" {
		t.Error("going forward is taken for rewriting")
	}
	alone := p.commit("alone", gitserver.Orphan())
	out, err = p.look(followAnyway)
	p.finds(out, err, alone)
}

// A tag may go anywhere; the commits in between have an outcome where there are any.
func TestTagsMove(t *testing.T) {
	p := newPast(t)
	tag := func(name, commit string) {
		t.Helper()
		if err := p.repo.Tag(name, commit); err != nil {
			t.Fatal(err)
		}
	}
	p.req.ref = gitsource.Ref{SemVer: "1.x"}
	a := p.commit("a")
	tag("v1.0.0", a)
	out, err := p.look()
	p.finds(out, err, a)
	b, c := p.commit("b"), p.commit("c")
	tag("v1.1.0", c)
	out, err = p.look()
	p.finds(out, err, b, c)
	fix := p.commit("fix", gitserver.OnBranch("fixes"), gitserver.Parents(a))
	tag("v1.2.0", fix)
	out, err = p.look()
	p.finds(out, err, fix)
	if out.rewritten != "" {
		t.Error("a tag of another branch is taken for rewritten history")
	}
	if err := p.repo.DeleteRef("refs/tags/v1.2.0"); err != nil {
		t.Fatal(err)
	}
	out, err = p.look()
	p.finds(out, err, c)
	p.req.ref = gitsource.Ref{Commit: b}
	out, err = p.look()
	p.finds(out, err, b)
}

// At most a hundred commits of one push have a release of their own; the others are counted and named.
func TestLargePush(t *testing.T) {
	p := newPast(t)
	first := p.commit("first")
	out, err := p.look()
	p.finds(out, err, first)
	var stream strings.Builder
	for i := range 130 {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter T <t@example.invalid> %d +0000\ndata 0\n", 1_800_000_000+i)
		if i == 0 {
			fmt.Fprintf(&stream, "from %s\n", first)
		}
		fmt.Fprintf(&stream, "M 100644 inline deploy/b.txt\ndata 4\n%04d\n\n", i)
	}
	if err := p.repo.FastImport(stream.String()); err != nil {
		t.Fatal(err)
	}
	out, err = p.look()
	if err != nil || len(out.commits) != maxChanges || out.leftOut == nil || out.leftOut.Commits != 30 {
		t.Fatalf("%v, %+v", err, out)
	}
	line, err := p.repo.Git("rev-list", "--reverse", first+"..main")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Fields(line)
	if out.leftOut.Oldest != all[0] || out.leftOut.Newest != all[29] || out.commits[0].Commit != all[30] {
		t.Errorf("left out %+v", out.leftOut)
	}
	want := fmt.Sprintf("30 older commits of the last push, %s to %s,", release.Short(all[0]), release.Short(all[29]))
	if note := leftOutNote(out.leftOut); !strings.Contains(note, want) || leftOutNote(nil) != "" {
		t.Errorf("the note says %q", note)
	}
}

// That a server is down has not mended a rewritten history; a change of the source may have.
func TestHistoryRewrittenStands(t *testing.T) {
	describe := func(s *scope) (rewritten, fetched *metav1.Condition) {
		describeTrack(s, nil)
		of := s.track.Status.Conditions
		return apimeta.FindStatusCondition(of, v1alpha1.HistoryRewrittenCondition), apimeta.FindStatusCondition(of, v1alpha1.SourceFetchedCondition)
	}
	s := newScopeOf(newTrack())
	s.source = sourceState{looked: true, problem: &rewrittenError{"commit 1 is not there", fault.New(fault.NotAncestor, "", nil)}}
	if c, _ := describe(s); c == nil || c.Status != metav1.ConditionTrue || c.Message != "commit 1 is not there" {
		t.Errorf("rewritten: %+v", c)
	}
	s.source.problem = &sourceError{v1alpha1.GitUnreachableReason, "no connection"}
	if c, f := describe(s); c == nil || c.Message != "commit 1 is not there" || f.Reason != v1alpha1.GitUnreachableReason {
		t.Errorf("Git is away: %+v, %+v", c, f)
	}
	s.track.Generation++
	if c, _ := describe(s); c != nil {
		t.Errorf("the spec was changed: %+v", c)
	}
	s.source.problem = nil
	s.track.Status.LeftOut = &v1alpha1.LeftOutCommits{Commits: 30, Oldest: commitID("1"), Newest: commitID("2")}
	s.track.Status.LastAcceptedHistory = commitID("3")
	if _, f := describe(s); !strings.Contains(f.Message, "30 older commits of the last push, 1111111111 to 2222222222") {
		t.Errorf("fetched: %s", f.Message)
	}
	if s.track.Status.LastAcceptedHistory != "" {
		t.Error("an annotation that was removed is remembered")
	}
}

// The address of a repository changes, and what was observed is there too: nothing is found, and from then on it is followed as before.
func TestAnotherAddressOfTheSame(t *testing.T) {
	p := newPast(t)
	first := p.commit("first")
	out, err := p.look()
	p.finds(out, err, first)
	moved := func(r *lookRequest) { r.moved, r.complete = true, false }
	out, err = p.look(moved)
	p.finds(out, err)
	if out.unchanged {
		t.Error("that it is observed there is not noted")
	}
	second, third := p.commit("second"), p.commit("third")
	out, err = p.look(moved)
	p.finds(out, err, second, third)
	other := p.commit("other", gitserver.Orphan())
	out, err = p.look(moved) // somebody else's repository
	p.finds(out, err, other)
	p.commit("evil", gitserver.Orphan())
	if _, err := p.look(); !errors.Is(err, gitsource.ErrNotAncestor) {
		t.Errorf("a force-push after it: %v", err)
	}
}
