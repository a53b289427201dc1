package releasetrack

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/apply"
	"github.com/stele-dev/stele/internal/release"
)

// The planner is told when the namespace was closed, and of pods that a StatefulSet owns; not of those that are going, or are of others.
func TestGatherBreakGlass(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", UID: "db-uid"}}
	made := metav1.NewTime(present.Add(-time.Hour))
	pod := func(name, owner string, going bool) *corev1.Pod {
		p := newPod(name, map[string]string{v1alpha1.TrackLabel: "shop"}, true)
		p.CreationTimestamp = made
		p.OwnerReferences[0].UID = "uid-of-another"
		if owner == "db" {
			p.OwnerReferences[0].UID = set.UID
		}
		if going {
			p.DeletionTimestamp, p.Finalizers = &made, []string{"test.example/held"}
		}
		return p
	}
	pods := []*corev1.Pod{pod("db-0", "db", false), pod("db-1", "db", true), pod("db-2", "db-2", false), pod("web-0", "", false)}
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.BreakGlassName}}
	b.Status.Ended = []v1alpha1.EndedGrant{{Namespace: "bank", At: *at(-1)}, {Namespace: "shop", At: *at(-2)}}
	for name, tc := range map[string]struct {
		object []client.Object
		before time.Time
		want   map[release.ObjectKey][]release.InPlacePod
	}{
		"nobody has used it": {},
		"it has ended here": {
			object: []client.Object{b}, before: at(-2).Time,
			want: map[release.ObjectKey][]release.InPlacePod{{Group: "apps", Kind: "StatefulSet", Name: "db"}: {{Name: "db-0", Created: made.Time, Ready: true}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(tc.object...).Build()
			r := &Reconciler{Client: c}
			s := &scope{track: newTrack(), world: world{statefulSets: []*appsv1.StatefulSet{set}, pods: pods}}
			if err := r.gatherBreakGlass(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if !s.view.Track.ReplaceBefore.Equal(tc.before) {
				t.Errorf("replace before %s, want %s", s.view.Track.ReplaceBefore, tc.before)
			}
			if diff := cmp.Diff(tc.want, s.view.InPlacePods); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplacePods(t *testing.T) {
	first, second := newPod("db-0", nil, true), newPod("db-1", nil, true)
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(first, second).Build()
	r := &Reconciler{Client: c, Writer: &apply.Writer{Client: c}}
	s := &scope{world: world{pods: []*corev1.Pod{first, second}}}
	if err := r.replacePods(t.Context(), s, []string{"db-1"}); err != nil {
		t.Fatal(err)
	}
	var left corev1.PodList
	if err := c.List(t.Context(), &left); err != nil {
		t.Fatal(err)
	}
	if len(left.Items) != 1 || left.Items[0].Name != "db-0" {
		t.Errorf("left: %v", left.Items)
	}
}
