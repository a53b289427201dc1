package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

func TestChainName(t *testing.T) {
	other := release.Inputs(release.Shape{Path: "other", Renderer: "1"})
	twin := commitID("1")[:39] + "2" // shares 39 hex with the other one
	c := &chain{inputs: release.Inputs(release.Shape{Path: "deploy", Renderer: "1"}), releases: []*v1alpha1.ImmutableRelease{newRelease("1", 1)}}
	name, refusal := c.name("shop", commitID("3"))
	if name != "shop-3333333333" || refusal != nil {
		t.Errorf("a new commit is %s, %v", name, refusal)
	}
	c.inputs = other
	name, refusal = c.name("shop", commitID("1"))
	if want := release.NameWithInputs("shop", commitID("1"), other, nil); name != want || refusal != nil {
		t.Errorf("the same commit with other inputs is %s, %v, want %s", name, refusal, want)
	}
	name, refusal = c.name("shop", twin)
	if refusal == nil || refusal.Reason != v1alpha1.CommitIDCollisionReason || !strings.Contains(refusal.Message, twin) || !strings.Contains(refusal.Message, commitID("1")) {
		t.Fatalf("two commits that share 10 hex: %s, %v", name, refusal)
	}
	if name == "shop-1111111111" || !strings.HasPrefix(name, "shop-1111111111-") || len(name) != len("shop-1111111111-")+4 {
		t.Errorf("the later one is recorded as %s", name)
	}
}

func TestChainFind(t *testing.T) {
	c := &chain{inputs: release.Inputs(release.Shape{Path: "deploy", Renderer: "2"})}
	if c.find(commitID("1")) != nil || c.last() != nil {
		t.Error("an empty chain has a release")
	}
	passed, full, elsewhere := newRelease("1", 1, skipped), newRelease("1", 2), newRelease("1", 3)
	elsewhere.Spec.Inputs = release.Inputs(release.Shape{Path: "elsewhere", Renderer: "1"})
	for _, order := range [][]*v1alpha1.ImmutableRelease{{passed, full, elsewhere}, {elsewhere, full, passed}} {
		c.releases = order
		if got := c.find(commitID("1")); got != full {
			t.Errorf("found sequence %d, want the one with content", got.Spec.Sequence)
		}
		if got := c.last(); got != elsewhere {
			t.Errorf("the last has sequence %d", got.Spec.Sequence)
		}
	}
	c.releases = []*v1alpha1.ImmutableRelease{passed, elsewhere}
	if got := c.find(commitID("1")); got != passed {
		t.Error("the one that was passed over is not found")
	}
	bare := newRelease("1", 4, skipped)
	rejected := newRelease("1", 5, refusedFor("KindNotAllowed", "no"))
	for _, order := range [][]*v1alpha1.ImmutableRelease{{bare, rejected}, {rejected, bare}} {
		c.releases = order
		if got := c.find(commitID("1")); got != rejected {
			t.Errorf("found sequence %d, want the one that was rejected", got.Spec.Sequence)
		}
	}
	c.inputs = release.Inputs(release.Shape{Path: "third", Renderer: "1"})
	if c.find(commitID("1")) != nil {
		t.Error("a release with other inputs is found")
	}
}

func TestChainWorkloadsFrom(t *testing.T) {
	object := func(kind string, class v1alpha1.ObjectClass, digest string) v1alpha1.ReleaseObject {
		return v1alpha1.ReleaseObject{Kind: kind, Namespace: "shop", Name: "web", Class: class, Digest: digest}
	}
	with := func(objects ...v1alpha1.ReleaseObject) func(*v1alpha1.ImmutableRelease) {
		return func(r *v1alpha1.ImmutableRelease) { r.Spec.Objects = objects }
	}
	web, service := object("Deployment", v1alpha1.ClassVersioned, "a"), object("Service", v1alpha1.ClassStable, "a")
	next := newRelease("9", 9, with(web, object("Service", v1alpha1.ClassStable, "b")))
	cases := map[string]struct {
		there []*v1alpha1.ImmutableRelease
		want  string
	}{
		"nothing there":                     {nil, ""},
		"same workloads":                    {[]*v1alpha1.ImmutableRelease{newRelease("1", 1, with(web, service), active)}, "shop-1111111111"},
		"other workloads":                   {[]*v1alpha1.ImmutableRelease{newRelease("1", 1, with(object("Deployment", v1alpha1.ClassVersioned, "c"), service), active)}, ""},
		"the active one before a newer one": {[]*v1alpha1.ImmutableRelease{newRelease("1", 1, with(web), active), newRelease("2", 2, with(web), ended(v1alpha1.OutcomeRolledBack))}, "shop-1111111111"},
		"the newest of the ended": {[]*v1alpha1.ImmutableRelease{newRelease("2", 2, with(web), ended("Superseded")), newRelease("1", 1, with(web), ended("Superseded")),
			newRelease("3", 3, with(service), active)}, "shop-2222222222"},
		"never one that failed, was rejected or skipped": {[]*v1alpha1.ImmutableRelease{newRelease("1", 1, with(web), ended(v1alpha1.OutcomeProgressDeadlineExceeded)),
			newRelease("2", 2, with(web), refusedFor("A", "b")), newRelease("3", 3, with(web), skipped)}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := &chain{releases: tc.there}
			if got := c.workloadsFrom(next); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// lookWith is a finished look with commits, the last of which has content.
func lookWith(t *testing.T, track *v1alpha1.ReleaseTrack, commits ...string) *look {
	t.Helper()
	l := &look{request: lookRequest{track: client.ObjectKeyFromObject(track), path: "deploy", asked: asking(track, "token"), token: "token", from: observing(track)},
		found: &found{revision: gitsource.Revision{Ref: "main", Commit: commits[len(commits)-1]}}}
	for _, id := range commits {
		l.found.commits = append(l.found.commits, gitsource.Meta{Commit: id, TreeHash: commitID("a"), Time: present})
	}
	tree := manifests("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\n")
	content, err := renderCommit(tree, lookRequest{track: l.request.track, path: "deploy"})
	if err != nil || content.refusal != nil {
		t.Fatalf("%v, %v", err, content.refusal)
	}
	l.found.newest = content
	return l
}

func releasesIn(t *testing.T, c client.Client) map[int64]*v1alpha1.ImmutableRelease {
	t.Helper()
	list := &v1alpha1.ImmutableReleaseList{}
	if err := c.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	out := map[int64]*v1alpha1.ImmutableRelease{}
	for i := range list.Items {
		if out[list.Items[i].Spec.Sequence] != nil {
			t.Errorf("sequence %d is there twice", list.Items[i].Spec.Sequence)
		}
		out[list.Items[i].Spec.Sequence] = &list.Items[i]
	}
	return out
}

// Every commit gets its release, in order, each naming the one before; the last one is the head.
func TestIngest(t *testing.T) {
	track := newTrack()
	r := newReconciler(t, track)
	s := newScopeOf(track)
	if err := r.ingest(t.Context(), s, lookWith(t, track, commitID("1"), commitID("2"), commitID("3"))); err != nil {
		t.Fatal(err)
	}
	there := releasesIn(t, r.Client)
	if len(there) != 3 {
		t.Fatalf("%d releases", len(there))
	}
	if there[1].Spec.Previous != nil {
		t.Error("the first one has one before it")
	}
	for n := int64(2); n <= 3; n++ {
		want := &v1alpha1.PreviousRelease{Name: there[n-1].Name, Digest: release.SpecDigest(&there[n-1].Spec)}
		if diff := cmp.Diff(want, there[n].Spec.Previous); diff != "" {
			t.Errorf("link of the chain (-want +got):\n%s", diff)
		}
	}
	for n, want := range map[int64]v1alpha1.ReleaseOutcome{1: v1alpha1.OutcomeSupersededBeforeStart, 2: v1alpha1.OutcomeSupersededBeforeStart, 3: ""} {
		if got := s.releases[there[n].Name].Status.Outcome; got != want {
			t.Errorf("the outcome of %s is %q, want %q", there[n].Name, got, want)
		}
	}
	if there[3].Spec.Archive == nil || there[3].Spec.Digest == "" || there[1].Spec.Archive != nil {
		t.Error("only the newest commit has content")
	}
	status := s.track.Status
	if status.HeadRelease != "shop-3333333333" || status.ObservedRevision != "main@sha1:"+commitID("3") || status.LastHandledReconcileAt != "token" {
		t.Errorf("the track says %+v", status)
	}
	// The operator ended before it could write any status. The same look again makes nothing new and loses no outcome.
	s = newScopeOf(track)
	for _, rel := range there {
		s.addRelease(rel)
	}
	if err := r.ingest(t.Context(), s, lookWith(t, track, commitID("1"), commitID("2"), commitID("3"))); err != nil {
		t.Fatal(err)
	}
	if again := releasesIn(t, r.Client); len(again) != 3 {
		t.Errorf("%d releases after a second look", len(again))
	}
	if got := s.releases["shop-1111111111"].Status.Outcome; got != v1alpha1.OutcomeSupersededBeforeStart {
		t.Errorf("a commit that was passed over has outcome %q", got)
	}
	if got := s.releases["shop-3333333333"].Status.Outcome; got != "" {
		t.Errorf("the newest commit has outcome %q", got)
	}
}

// Two commits that share 10 hex: the later one is Rejected, and the track goes on with the next.
func TestIngestOfACollision(t *testing.T) {
	track := newTrack()
	r := newReconciler(t, track)
	s := newScopeOf(track)
	twin := commitID("1")[:39] + "2"
	for range 2 {
		for _, commits := range [][]string{{commitID("1")}, {twin}} {
			if err := r.ingest(t.Context(), s, lookWith(t, track, commits...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	there := releasesIn(t, r.Client)
	if len(there) != 2 {
		t.Fatalf("%d releases, want 2", len(there))
	}
	second := there[2]
	if second.Spec.Refusal == nil || second.Spec.Refusal.Reason != v1alpha1.CommitIDCollisionReason || second.Spec.Source.Commit != twin || second.Spec.Archive != nil {
		t.Errorf("the later one is %+v", second.Spec)
	}
	if there[1].Spec.Refusal != nil {
		t.Errorf("the earlier one was refused: %v", there[1].Spec.Refusal)
	}
	if err := r.ingest(t.Context(), s, lookWith(t, track, commitID("4"))); err != nil {
		t.Fatal(err)
	}
	if head := s.releases[s.track.Status.HeadRelease]; head == nil || head.Spec.Refusal != nil {
		t.Errorf("the head is %v", s.track.Status.HeadRelease)
	}
}

// Three commits that share 10 hex, two of which share the digits by which the later ones are told apart, do not hold up what comes after
// them; nor does a commit that is looked at again with other inputs.
func TestIngestOfASecondCollision(t *testing.T) {
	first := commitID("1")
	twins := map[string]string{}
	var second, third string
	for i := 0; third == ""; i++ {
		id := fmt.Sprintf("%s%030d", first[:10], i)
		name := release.NameOfCollision("shop", id, nil)
		if second = twins[name]; second != "" {
			third = id
		}
		twins[name] = id
	}
	track := newTrack()
	r := newReconciler(t, track)
	s := newScopeOf(track)
	for _, commits := range [][]string{{first}, {second}, {third, commitID("4")}} {
		if err := r.ingest(t.Context(), s, lookWith(t, track, commits...)); err != nil {
			t.Fatal(err)
		}
	}
	if there := releasesIn(t, r.Client); len(there) != 4 || s.track.Status.HeadRelease != "shop-4444444444" {
		t.Fatalf("%d releases of four commits, the head is %s, %v", len(there), s.track.Status.HeadRelease, r.Git.state(shopKey).problem)
	}
	if err := r.ingest(t.Context(), s, lookWith(t, track, second)); err != nil {
		t.Fatal(err)
	}
	l := lookWith(t, track, second)
	l.request.shape.Path = "another"
	if err := r.ingest(t.Context(), s, l); err != nil {
		t.Fatal(err)
	}
	for name, rel := range s.releases {
		if rel.Spec.Source.Commit[:10] == first[:10] && release.Commit("shop", name) != first[:10] {
			t.Errorf("the name %s holds no commit", name)
		}
	}
	if there := releasesIn(t, r.Client); len(there) != 5 {
		t.Errorf("%d releases; with other inputs: %v", len(there), r.Git.state(shopKey).problem)
	}
}

// What is found for an earlier spec, or for a track of the same name that was deleted, is of no use.
func TestIngestOfAnOldAnswer(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.ReleaseTrack){
		"spec changed":        func(t *v1alpha1.ReleaseTrack) { t.Generation++ },
		"deleted, made again": func(t *v1alpha1.ReleaseTrack) { t.UID = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			track := newTrack()
			l := lookWith(t, track, commitID("1"))
			change(track)
			r := newReconciler(t, track)
			s := newScopeOf(track)
			if err := r.ingest(t.Context(), s, l); err != nil {
				t.Fatal(err)
			}
			if got := releasesIn(t, r.Client); len(got) != 0 || s.track.Status.ObservedRevision != "" {
				t.Errorf("%d releases, observed %q", len(got), s.track.Status.ObservedRevision)
			}
		})
	}
}

// A path that does not exist is said on a new track, and Rejected on one that has releases.
func TestIngestOfAMissingPath(t *testing.T) {
	missing := rendered{refusal: &v1alpha1.ReleaseRefusal{Reason: render.ReasonPathNotFound, Message: "deploy: not there"}}
	track := newTrack()
	r := newReconciler(t, track)
	s := newScopeOf(track)
	l := lookWith(t, track, commitID("1"))
	l.found.newest = missing
	if err := r.ingest(t.Context(), s, l); err != nil {
		t.Fatal(err)
	}
	if got := releasesIn(t, r.Client); len(got) != 0 || sourceReason(r.Git.state(l.request.track).problem) != v1alpha1.GitPathReason {
		t.Errorf("%d releases, %v", len(got), r.Git.state(l.request.track).problem)
	}
	s.addRelease(newRelease("0", 1, active))
	if err := r.ingest(t.Context(), s, l); err != nil {
		t.Fatal(err)
	}
	if head := s.releases[s.track.Status.HeadRelease]; head == nil || !release.IsRefused(head) {
		t.Errorf("the head is %q", s.track.Status.HeadRelease)
	}
}

// A track that is pointed at a path that never was keeps what runs, and its head.
func TestIngestOfAPathThatNeverWas(t *testing.T) {
	old := newRelease("1", 1, active)
	track := newTrack(func(t *v1alpha1.ReleaseTrack) {
		t.Spec.Source.Path, t.Status.HeadRelease = "./deploi", old.Name
	})
	r := newReconciler(t, track, old.DeepCopy())
	s := newScopeOf(track, old)
	l := lookWith(t, track, commitID("1"))
	l.request.path = "deploi"
	l.found.newest = rendered{refusal: &v1alpha1.ReleaseRefusal{Reason: render.ReasonPathNotFound, Message: "deploi: not there"}}
	if err := r.ingest(t.Context(), s, l); err != nil {
		t.Fatal(err)
	}
	if got := releasesIn(t, r.Client); len(got) != 1 || s.track.Status.HeadRelease != old.Name || sourceReason(r.Git.state(l.request.track).problem) != v1alpha1.GitPathReason {
		t.Errorf("%d releases, head %q, %v", len(got), s.track.Status.HeadRelease, r.Git.state(l.request.track).problem)
	}
}

// An API server that refuses a write leaves observedRevision where it was, so that the commit is looked for again.
func TestIngestThatFails(t *testing.T) {
	track := newTrack()
	r := newReconciler(t, track)
	busy := apierrors.NewInternalError(errors.New("etcd"))
	r.Client = fake.NewClientBuilder().WithScheme(newScheme(t)).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return busy },
	}).Build()
	s := newScopeOf(track)
	if err := r.ingest(t.Context(), s, lookWith(t, track, commitID("1"))); !errors.Is(err, busy) {
		t.Fatalf("got %v", err)
	}
	if s.track.Status.ObservedRevision != "" || s.track.Status.HeadRelease != "" {
		t.Errorf("the track says %+v", s.track.Status)
	}
}

// The highest sequence leaves no room; the message says what to do.
func TestIngestBeyondTheHighestSequence(t *testing.T) {
	track := newTrack()
	r := newReconciler(t, track, newRelease("1", maxSequence))
	err := r.ingest(t.Context(), newScopeOf(track), lookWith(t, track, commitID("2")))
	problem := r.Git.state(client.ObjectKeyFromObject(track)).problem
	if err != nil || problem == nil || !strings.Contains(problem.Error(), "shop-1111111111") || !strings.Contains(problem.Error(), "delete it") {
		t.Errorf("got %v, and %v", err, problem)
	}
}

// A release that the API server will not have, whatever is tried, is a failure of the source: the look is not tried again and again.
func TestIngestOfWhatCannotBeWritten(t *testing.T) {
	kind := v1alpha1.GroupVersion.WithKind("ImmutableRelease").GroupKind()
	resource := schema.GroupResource{Group: kind.Group, Resource: "immutablereleases"}
	for name, tc := range map[string]struct {
		answer error
		reason string
	}{
		"somebody else's": {apierrors.NewAlreadyExists(resource, "shop-1111111111"), v1alpha1.ObjectOwnedReason},
		"invalid":         {apierrors.NewInvalid(kind, "shop-1111111111", nil), v1alpha1.RefusedByClusterReason},
		"unreadable":      {apierrors.NewBadRequest("cannot be decoded"), v1alpha1.RefusedByClusterReason},
		"too large":       {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), v1alpha1.RefusedByClusterReason},
		"a quota":         {apierrors.NewForbidden(resource, "shop-1111111111", errors.New("exceeded quota: releases")), v1alpha1.RefusedByClusterReason},
		"not onboarded": {apierrors.NewForbidden(resource, "", errors.New(`User "stele" cannot create resource "immutablereleases" in API group "stele.dev" in the namespace "shop"`)),
			v1alpha1.OperatorNotAllowedReason},
	} {
		t.Run(name, func(t *testing.T) {
			track := newTrack()
			r := newReconciler(t, track)
			r.Client = fake.NewClientBuilder().WithScheme(newScheme(t)).WithInterceptorFuncs(interceptor.Funcs{
				Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return tc.answer },
			}).Build()
			s := newScopeOf(track)
			if err := r.ingest(t.Context(), s, lookWith(t, track, commitID("1"))); err != nil {
				t.Fatalf("it is tried again: %v", err)
			}
			problem := r.Git.state(client.ObjectKeyFromObject(track)).problem
			if problem == nil || sourceReason(problem) != tc.reason || !strings.Contains(problem.Error(), commitID("1")) {
				t.Errorf("the problem is %v", problem)
			}
			if s.memory.mayMake {
				t.Error("it is held that releases may be made")
			}
			if s.track.Status.ObservedRevision != "" || s.track.Status.HeadRelease != "" {
				t.Errorf("the track says %+v", s.track.Status)
			}
		})
	}
}

// The time that a commit claims is left out where no timestamp of the API can say it.
func TestCommitTime(t *testing.T) {
	for _, far := range []time.Time{time.Unix(253402300800, 0), time.Unix(1<<40, 0), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := commitTime(far); !got.IsZero() {
			t.Errorf("%s became %s", far, got)
		}
	}
	if got := commitTime(present); !got.Time.Equal(present) {
		t.Errorf("%s became %s", present, got)
	}
	latest := time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("west", -5*3600))
	if got := commitTime(latest); !got.IsZero() {
		t.Errorf("%s is in the year 10000 of UTC, and became %s", latest, got)
	}
}

// Messages of refusals fit into the schema.
func TestCut(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		max  int
		want string
	}{
		"short":         {"abc", 5, "abc"},
		"just fits":     {"abcde", 5, "abcde"},
		"too long":      {"abcdef", 5, "ab..."},
		"half a letter": {"aäöü", 6, "aä..."},
	} {
		if got := cut(tc.in, tc.max); got != tc.want || len(got) > tc.max {
			t.Errorf("%s: %q", name, got)
		}
	}
}
