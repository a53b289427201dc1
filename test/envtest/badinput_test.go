package envtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// scene is a namespace in which the track "shop" has its first commit live, before something bad comes in.
type scene struct {
	*testing.T
	ns   string
	repo *gitserver.Repo
	// first is the commit that is live.
	first string
	// running is what must stay as it is.
	running []string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, ns: newNamespace(t)}
	s.repo = newRepo(t, s.ns)
	s.first = commit(t, s.repo, shop("web", "1"))
	startOperator(t, operatorOptions{}, s.ns)
	create(t, newTrack(s.ns, "shop", s.ns))
	untilLive(t, s.ns, "shop", s.first)
	s.running = s.world()
	return s
}

// world lists what runs and takes traffic, by identity: whatever is replaced, restarted or moved looks different. What a new
// run has made beside it is left out.
func (s *scene) world() []string {
	s.Helper()
	out := []string{}
	var deployments appsv1.DeploymentList
	var pods corev1.PodList
	of := client.MatchingLabels{v1alpha1.ReleaseLabel: releaseOf("shop", s.first), v1alpha1.RunLabel: "1"}
	for _, list := range []client.ObjectList{&deployments, &pods} {
		if err := suite.api.List(s.Context(), list, client.InNamespace(s.ns), of); err != nil {
			s.Fatal(err)
		}
	}
	for _, d := range deployments.Items {
		out = append(out, fmt.Sprintf("Deployment %s %s generation %d", d.Name, d.UID, d.Generation))
	}
	for _, p := range pods.Items {
		out = append(out, fmt.Sprintf("Pod %s %s deleted %v", p.Name, p.UID, p.DeletionTimestamp != nil))
	}
	run, err := selected(s.Context(), s.ns, "web")
	if err != nil {
		s.Fatal(err)
	}
	return append(out, "Service web selects "+run)
}

// untouched fails when what runs has changed in any way.
func (s *scene) untouched() {
	s.Helper()
	if diff := cmp.Diff(s.running, s.world()); diff != "" {
		s.Errorf("what ran was touched (-before +now):\n%s", diff)
	}
	track, err := getTrack(s.Context(), s.ns, "shop")
	if err != nil || track.Status.ActiveRelease != releaseOf("shop", s.first) {
		s.Errorf("active release is %q (%v), want that of the first commit", track.Status.ActiveRelease, err)
	}
}

// othersGoOn makes another track in the same namespace go live.
func (s *scene) othersGoOn() {
	s.Helper()
	other := newRepo(s.T, s.ns+"-good")
	id := commit(s.T, other, shop("good", "1"))
	create(s.T, newTrack(s.ns, "good", s.ns+"-good"))
	untilLive(s.T, s.ns, "good", id)
}

// commit adds files to what is live and asks for a look.
func (s *scene) commit(files map[string]string, options ...gitserver.CommitOption) string {
	s.Helper()
	id := commit(s.T, s.repo, files, options...)
	poke(s.T, s.ns, "shop")
	return id
}

func (s *scene) update(change func(spec *v1alpha1.ReleaseTrackSpec)) {
	s.Helper()
	updateTrack(s.T, s.ns, "shop", func(track *v1alpha1.ReleaseTrack) { change(&track.Spec) })
}

func (s *scene) secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name}, Data: data}
}

// sourceFails waits for the reason on SourceFetched and on Ready.
func (s *scene) sourceFails(reason string, words ...string) {
	s.Helper()
	untilCondition(s.T, trackConditions(s.ns, "shop"), v1alpha1.SourceFetchedCondition, metav1.ConditionFalse, reason, words...)
	untilCondition(s.T, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, reason, words...)
}

// refused waits for the reason on Accepted of a release and on Ready of the track.
func (s *scene) refused(name, reason string, words ...string) {
	s.Helper()
	untilCondition(s.T, releaseConditions(s.ns, name), v1alpha1.AcceptedCondition, metav1.ConditionFalse, reason, words...)
	untilCondition(s.T, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, reason, words...)
}

// rejected waits until a commit is refused for good.
func (s *scene) rejected(id, reason string, words ...string) {
	s.Helper()
	name := releaseOf("shop", id)
	rel := untilPhase(s.T, s.ns, name, v1alpha1.PhaseRejected)
	if rel.Spec.Refusal == nil || rel.Spec.Refusal.Reason != reason {
		s.Errorf("the refusal is %v, want reason %s", rel.Spec.Refusal, reason)
	}
	for _, kind := range []string{v1alpha1.RenderedCondition, v1alpha1.AcceptedCondition, v1alpha1.ReadyCondition} {
		untilCondition(s.T, releaseConditions(s.ns, name), kind, metav1.ConditionFalse, reason, words...)
	}
	untilCondition(s.T, trackConditions(s.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReleaseRejectedReason, words...)
}

// live waits until a commit takes the traffic, and the first one is retired with nothing left.
func (s *scene) live(id string) {
	s.Helper()
	untilLive(s.T, s.ns, "shop", id)
	if id != s.first {
		untilPhase(s.T, s.ns, releaseOf("shop", s.first), v1alpha1.PhaseRetired)
	}
}

// settled waits a moment in which a mistake would show.
func settled() { time.Sleep(300 * time.Millisecond) }

func (s *scene) deadline(d time.Duration) {
	s.Helper()
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Rollout.ProgressDeadline.Duration = d })
}

// leftovers counts the objects of a release that are in the namespace.
func (s *scene) leftovers(ctx context.Context, release string) (int, error) {
	n := 0
	for _, list := range []client.ObjectList{&appsv1.DeploymentList{}, &corev1.PodList{}, &corev1.ConfigMapList{}, &corev1.SecretList{}} {
		if err := suite.api.List(ctx, list, client.InNamespace(s.ns), client.MatchingLabels{v1alpha1.ReleaseLabel: release}); err != nil {
			return 0, err
		}
		n += lengthOf(list)
	}
	return n, nil
}

func lengthOf(list client.ObjectList) int {
	switch l := list.(type) {
	case *appsv1.DeploymentList:
		return len(l.Items)
	case *corev1.PodList:
		return len(l.Items)
	case *corev1.ConfigMapList:
		return len(l.Items)
	case *corev1.SecretList:
		return len(l.Items)
	}
	return -1
}

// untilNothingLeft waits until no object of a release is there.
func (s *scene) untilNothingLeft(release string) {
	s.Helper()
	until(s.T, patience, func(ctx context.Context) error {
		n, err := s.leftovers(ctx, release)
		if err == nil && n > 0 {
			return fmt.Errorf("%d objects of release %s are left", n, release)
		}
		return err
	})
}
