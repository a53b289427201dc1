package releasetrack

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// present is the time of every test that looks at one.
var present = time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)

// setClock is a clock that a test sets.
type setClock struct{ now time.Time }

func (c *setClock) Now() time.Time { return c.now }

func newTrack(changes ...func(*v1alpha1.ReleaseTrack)) *v1alpha1.ReleaseTrack {
	t := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", Generation: 3, UID: "track-uid"},
		Spec: v1alpha1.ReleaseTrackSpec{Source: v1alpha1.TrackSource{URL: "https://git.example/shop.git", Path: "./deploy", Ref: v1alpha1.GitRef{Branch: "main"}},
			ServiceAccountName: "deployer"}}
	for _, c := range changes {
		c(t)
	}
	return t
}

func commitID(digit string) string { return strings.Repeat(digit, 40) }

// newRelease is the release of a commit of one digit, with content of another; changes make it something else.
func newRelease(digit string, sequence int64, changes ...func(*v1alpha1.ImmutableRelease)) *v1alpha1.ImmutableRelease {
	commit := commitID(digit)
	r := &v1alpha1.ImmutableRelease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: release.Name("shop", commit), UID: types.UID("uid-" + digit), Labels: map[string]string{v1alpha1.TrackLabel: "shop"}},
		Spec: v1alpha1.ImmutableReleaseSpec{Track: "shop", Sequence: sequence, Digest: "sha256:" + strings.Repeat(digit, 64), Inputs: release.Inputs(release.Shape{Path: "deploy", Renderer: "1"}),
			Source:  v1alpha1.ReleaseSource{URL: "https://git.example/shop.git", Commit: commit, Path: "deploy"},
			Archive: &v1alpha1.ReleaseArchive{Chunks: 1, Size: 1}},
	}
	for _, c := range changes {
		c(r)
	}
	return r
}

func at(minutes int) *metav1.MicroTime {
	t := metav1.NewMicroTime(present.Add(time.Duration(minutes) * time.Minute))
	return &t
}

func active(r *v1alpha1.ImmutableRelease) {
	r.Status.Run, r.Status.ActiveRun = max(r.Status.Run, 1), max(r.Status.Run, 1)
	r.Status.Times.Staged, r.Status.Times.Activated = at(-10), at(-9)
}

func staging(r *v1alpha1.ImmutableRelease) {
	r.Status.Run, r.Status.Times.Staged = r.Status.Run+1, at(-5)
}

func ended(outcome v1alpha1.ReleaseOutcome) func(*v1alpha1.ImmutableRelease) {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Status.Run, r.Status.Outcome = 1, outcome
		r.Status.Times.Staged, r.Status.Times.Superseded = at(-20), at(-10)
	}
}

func skipped(r *v1alpha1.ImmutableRelease) {
	r.Spec.Digest, r.Spec.Archive, r.Status.Outcome = "", nil, v1alpha1.OutcomeSupersededBeforeStart
}

func refusedFor(reason, message string) func(*v1alpha1.ImmutableRelease) {
	return func(r *v1alpha1.ImmutableRelease) {
		r.Spec.Digest, r.Spec.Archive = "", nil
		r.Spec.Refusal = &v1alpha1.ReleaseRefusal{Reason: reason, Message: message}
	}
}

// newScopeOf is the scope of a track with releases; the plan is empty and made.
func newScopeOf(track *v1alpha1.ReleaseTrack, releases ...*v1alpha1.ImmutableRelease) *scope {
	m := &memory{}
	s := &scope{track: track, stored: *track.Status.DeepCopy(), releases: map[string]*v1alpha1.ImmutableRelease{},
		written: map[string]v1alpha1.ImmutableReleaseStatus{}, done: map[attempt]bool{}, memory: m.of(client.ObjectKeyFromObject(track), track.UID), planned: true}
	s.view.Now = present
	s.plan.Waiting, s.plan.Stalled = map[string]release.Problem{}, map[string]release.Problem{}
	for _, r := range releases {
		s.addRelease(r)
	}
	return s
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// newReconciler works on a fake API server that holds some objects.
func newReconciler(t *testing.T, objects ...client.Object) *Reconciler {
	t.Helper()
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.ReleaseTrack{}, &v1alpha1.ImmutableRelease{}).
		WithIndex(&v1alpha1.ImmutableRelease{}, trackIndex, indexBySpec).Build()
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()))
	if err != nil {
		t.Fatal(err)
	}
	clock := &setClock{present}
	return &Reconciler{Client: c, Live: c, Writer: &apply.Writer{Client: c}, Archives: &archive.Store{Client: c, Namespace: "stele-system"},
		Git: NewFollower(store, clock, 2), Recorder: events.NewFakeRecorder(100), Clock: clock, Since: present}
}

// onLoopback connects to servers of the test.
func onLoopback() *outbound.Dialer { return outbound.New(outbound.Options{AllowLoopback: true}) }

// newGit is a Git server with an empty repository "shop".
func newGit(t *testing.T) (url string, repo *gitserver.Repo) {
	t.Helper()
	server, err := gitserver.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if repo, err = server.CreateRepo("shop"); err != nil {
		t.Fatal(err)
	}
	return server.HTTPURL("shop"), repo
}
