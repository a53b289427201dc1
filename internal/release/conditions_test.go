package release

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// described plans for the world and describes its release of this name.
func described(t *testing.T, w *world, name string, blocked *Problem) *v1alpha1.ImmutableRelease {
	t.Helper()
	for _, r := range w.Releases {
		if r.Name == name {
			Describe(r, w.View, Decide(w.View), blocked)
			return r
		}
	}
	t.Fatalf("no release %s", name)
	return nil
}

// conditionsOf is "Status Reason" by type.
func conditionsOf(r *v1alpha1.ImmutableRelease) map[string]string {
	out := map[string]string{}
	for _, c := range r.Status.Conditions {
		out[c.Type] = string(c.Status) + " " + c.Reason
	}
	return out
}

func kstatusOf(t *testing.T, r *v1alpha1.ImmutableRelease) status.Status {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(r)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetAPIVersion("stele.dev/v1alpha1")
	u.SetKind(v1alpha1.ImmutableReleaseKind)
	result, err := status.Compute(u)
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func TestDescribe(t *testing.T) {
	const exceeded = v1alpha1.OutcomeProgressDeadlineExceeded
	stuckBehind := func(r *v1alpha1.ImmutableRelease, other *v1alpha1.ImmutableRelease) *world {
		return given(r, other).runs("a", 1, Current).ends("a", 1, time.Hour)
	}
	whyFailed := func(r *v1alpha1.ImmutableRelease) {
		SetCondition(&r.Status.Conditions, 1, v1alpha1.HealthyCondition, false, string(exceeded), "Deployment web: CrashLoopBackOff")
	}
	for name, tc := range map[string]struct {
		world       *world
		release     string
		blocked     *Problem
		want        map[string]string
		wantPhase   v1alpha1.ReleasePhase
		wantKstatus status.Status
	}{
		"Active and ready": {
			world: given(active("a", 1)).serves("a", 1), release: "a",
			wantPhase: v1alpha1.PhaseActive, wantKstatus: status.CurrentStatus,
			want: map[string]string{
				"Ready": "True Succeeded", "Rendered": "True Succeeded", "Accepted": "True Accepted", "Healthy": "True Succeeded",
				"Serving": "True EndpointsMoved",
			},
		},
		"Active with an unhealthy workload": {
			world: given(active("a", 1)).runs("a", 1, Failing).traffic("a", 1), release: "a",
			wantPhase: v1alpha1.PhaseActive, wantKstatus: status.InProgressStatus,
			want: map[string]string{
				"Ready": "False Progressing", "Reconciling": "True Progressing", "Rendered": "True Succeeded", "Accepted": "True Accepted",
				"Healthy": "False Progressing", "Serving": "True EndpointsMoved",
			},
		},
		"Active, and a restart failed": {
			world: given(active("a", 1, restartEnded(exceeded))).serves("a", 1), release: "a",
			wantPhase: v1alpha1.PhaseActive, wantKstatus: status.FailedStatus,
			want: map[string]string{
				"Ready": "False RestartFailed", "Stalled": "True RestartFailed", "Rendered": "True Succeeded", "Accepted": "True Accepted",
				"Healthy": "True Succeeded", "Serving": "True EndpointsMoved",
			},
		},
		"Pending, its turn has not come": {
			world: given(active("a", 1), pending("b", 2)).serves("a", 1), release: "b",
			wantPhase: v1alpha1.PhasePending, wantKstatus: status.InProgressStatus,
			want: map[string]string{"Ready": "False Progressing", "Reconciling": "True Progressing", "Rendered": "True Succeeded"},
		},
		"Pending behind a pin": {
			world: given(active("a", 1), pending("b", 2)).serves("a", 1).pinned("a", time.Hour), release: "b",
			wantPhase: v1alpha1.PhasePending, wantKstatus: status.InProgressStatus,
			want: map[string]string{"Ready": "False Pinned", "Reconciling": "True Pinned", "Rendered": "True Succeeded"},
		},
		"Pending, the cluster refuses it": {
			world: given(active("a", 1), pending("b", 2)).serves("a", 1), release: "b",
			blocked:   &Problem{v1alpha1.NotAllowedReason, "may not create Deployments"},
			wantPhase: v1alpha1.PhasePending, wantKstatus: status.InProgressStatus,
			want: map[string]string{
				"Ready": "False ServiceAccountNotAllowed", "Reconciling": "True ServiceAccountNotAllowed",
				"Accepted": "False ServiceAccountNotAllowed", "Rendered": "True Succeeded",
			},
		},
		"Staging": {
			world: given(active("a", 1), staging("b", 2)).serves("a", 1).runs("b", 1, InProgress), release: "b",
			wantPhase: v1alpha1.PhaseStaging, wantKstatus: status.InProgressStatus,
			want: map[string]string{
				"Ready": "False Progressing", "Reconciling": "True Progressing", "Rendered": "True Succeeded", "Accepted": "True Accepted",
				"Healthy": "False Progressing", "Serving": "False NotServing",
			},
		},
		"Staging while an earlier run of it does not end": {
			world: stuckBehind(restage(retired("a", 1)), active("b", 2)).serves("b", 1).runs("a", 2, InProgress).
				pinned("a", time.Hour), release: "a",
			wantPhase: v1alpha1.PhaseStaging, wantKstatus: status.InProgressStatus,
			want: map[string]string{
				"Ready": "False Progressing", "Reconciling": "True Progressing", "Rendered": "True Succeeded", "Accepted": "True Accepted",
				"Healthy": "False Progressing", "Serving": "False NotServing",
			},
		},
		"Draining": {
			world: given(draining("a", 1, supersededAgo(time.Second)), active("b", 2)).serves("b", 1).runs("a", 1, Current), release: "a",
			wantPhase: v1alpha1.PhaseDraining, wantKstatus: status.InProgressStatus,
			want: map[string]string{
				"Ready": "False Progressing", "Reconciling": "True Progressing", "Rendered": "True Succeeded", "Accepted": "True Accepted",
				"Serving": "False NotServing", "ReplicasTerminated": "False ReplicasRemain",
			},
		},
		"Draining, hosting another release": {
			world: given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1), release: "a",
			wantPhase: v1alpha1.PhaseDraining, wantKstatus: status.InProgressStatus,
			want: map[string]string{
				"Ready": "False WorkloadsInUse", "Reconciling": "True WorkloadsInUse", "Rendered": "True Succeeded", "Accepted": "True Accepted",
				"Serving": "False NotServing", "ReplicasTerminated": "False WorkloadsInUse",
			},
		},
		"Draining, and its pods do not end": {
			world: stuckBehind(draining("a", 1), active("b", 2)).serves("b", 1), release: "a",
			wantPhase: v1alpha1.PhaseDraining, wantKstatus: status.FailedStatus,
			want: map[string]string{
				"Ready": "False PodsNotTerminating", "Stalled": "True PodsNotTerminating", "Rendered": "True Succeeded",
				"Accepted": "True Accepted", "Serving": "False NotServing", "ReplicasTerminated": "False ReplicasRemain",
			},
		},
		"Retired": {
			world: given(retired("a", 1), active("b", 2)).serves("b", 1), release: "a",
			wantPhase: v1alpha1.PhaseRetired, wantKstatus: status.CurrentStatus,
			want: map[string]string{
				"Ready": "True Retired", "Rendered": "True Succeeded", "Accepted": "True Accepted", "Serving": "False NotServing",
				"ReplicasTerminated": "True ObservedGone", "Deletable": "True ObservedGone",
			},
		},
		"Failed keeps the message of its failure": {
			world: given(active("a", 1), failed("b", 2, whyFailed)).serves("a", 1), release: "b",
			wantPhase: v1alpha1.PhaseFailed, wantKstatus: status.FailedStatus,
			want: map[string]string{
				"Ready": "False ProgressDeadlineExceeded", "Stalled": "True ProgressDeadlineExceeded", "Rendered": "True Succeeded",
				"Accepted": "True Accepted", "Healthy": "False ProgressDeadlineExceeded", "Serving": "False NotServing",
				"ReplicasTerminated": "True ObservedGone", "Deletable": "True ObservedGone",
			},
		},
		"Rejected": {
			world: given(active("a", 1), refused("b", 2)).serves("a", 1), release: "b",
			wantPhase: v1alpha1.PhaseRejected, wantKstatus: status.FailedStatus,
			want: map[string]string{
				"Ready": "False KindNotAllowed", "Stalled": "True KindNotAllowed", "Rendered": "False KindNotAllowed",
				"Accepted": "False KindNotAllowed", "Deletable": "True Rejected",
			},
		},
		"Rejected after it was rendered": {
			world: given(active("a", 1), refused("b", 2, digest("sha256:b"))).serves("a", 1), release: "b",
			wantPhase: v1alpha1.PhaseRejected, wantKstatus: status.FailedStatus,
			want: map[string]string{
				"Ready": "False KindNotAllowed", "Stalled": "True KindNotAllowed", "Rendered": "True KindNotAllowed",
				"Accepted": "False KindNotAllowed", "Deletable": "True Rejected",
			},
		},
		"Skipped": {
			world: given(active("a", 1), skipped("b", 2, v1alpha1.OutcomeNoChange)).serves("a", 1), release: "b",
			wantPhase: v1alpha1.PhaseSkipped, wantKstatus: status.CurrentStatus,
			want: map[string]string{"Ready": "True Skipped", "Rendered": "True Succeeded", "Deletable": "True Skipped"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := described(t, tc.world, tc.release, tc.blocked)
			if r.Status.Phase != tc.wantPhase {
				t.Errorf("phase: want %s, got %s", tc.wantPhase, r.Status.Phase)
			}
			if diff := cmp.Diff(tc.want, conditionsOf(r)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if got := kstatusOf(t, r); got != tc.wantKstatus {
				t.Errorf("kstatus: want %s, got %s", tc.wantKstatus, got)
			}
			first := r.DeepCopy()
			tc.world.Now = tc.world.Now.Add(3 * time.Second)
			if diff := cmp.Diff(first, described(t, tc.world, tc.release, tc.blocked)); diff != "" {
				t.Errorf("a second look at the same world would write again (-first +second):\n%s", diff)
			}
		})
	}
}

func TestDeletionIsHeldUntilNothingRuns(t *testing.T) {
	for name, tc := range map[string]struct {
		world *world
		want  string
	}{
		"an active release says that it is in use":           {given(active("a", 1, deleted)).serves("a", 1), "False ReleaseInUse"},
		"a staging release says that it is in use":           {given(staging("a", 1, deleted)), "False ReleaseInUse"},
		"a retired release is deletable after a sweep":       {given(retired("a", 1, deleted), active("b", 2)).serves("b", 1), "True ObservedGone"},
		"a rejected release is deletable":                    {given(refused("a", 1, deleted)), "True Rejected"},
		"an active release that nobody deletes says nothing": {given(active("a", 1)).serves("a", 1), ""},
		"a release that runs again is no longer deletable":   {given(restage(retired("a", 1))), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := conditionsOf(described(t, tc.world, "a", nil))[v1alpha1.DeletableCondition]
			if got != tc.want {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

func TestConditionsFollowTheReleaseThroughItsPhases(t *testing.T) {
	r := staging("b", 2)
	w := given(active("a", 1), r).serves("a", 1).runs("b", 1, InProgress)
	described(t, w, "b", &Problem{v1alpha1.QuotaExceededReason, "quota"})
	if got := conditionsOf(r)["Accepted"]; got != "False QuotaExceeded" {
		t.Errorf("blocked: %s", got)
	}
	r.Status.ActiveRun, r.Status.Times.Activated = 1, at(present)
	described(t, given(draining("a", 1), r).serves("b", 1), "b", nil)
	want := map[string]string{
		"Ready": "True Succeeded", "Rendered": "True Succeeded", "Accepted": "True Accepted", "Healthy": "True Succeeded",
		"Serving": "True EndpointsMoved",
	}
	if diff := cmp.Diff(want, conditionsOf(r)); diff != "" {
		t.Errorf("what was true of the staging release lingers (-want +got):\n%s", diff)
	}
}

func TestReplicasCountAllRuns(t *testing.T) {
	w := given(active("a", 1, restarting)).serves("a", 1).runs("a", 2, InProgress).runs("b", 1, Current)
	got := described(t, w, "a", nil).Status.Replicas
	want := v1alpha1.ReleaseReplicas{Desired: 2, Ready: 2, Remaining: 4}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReplicasOfAnActiveReleaseCountWhatItUses(t *testing.T) {
	sets := func(v *View) {
		v.Contents["a"].InPlace = map[ObjectKey]string{db: "x"}
		v.InPlace[db] = InPlace{Workload{Health: Current, Desired: 3, Ready: 1}, "x"}
	}
	guest := given(draining("a", 1), active("b", 2, shares("a", 1))).serves("a", 1)
	for name, tc := range map[string]struct {
		world *world
		of    string
		want  v1alpha1.ReleaseReplicas
	}{
		"its InPlace workloads":                     {given(active("a", 1)).serves("a", 1).with(sets), "a", v1alpha1.ReleaseReplicas{Desired: 5, Ready: 3, Remaining: 2}},
		"not those of a release that has ended":     {given(draining("a", 1), active("b", 2)).serves("b", 1).with(sets), "a", v1alpha1.ReleaseReplicas{}},
		"the workloads that it shares":              {guest, "b", v1alpha1.ReleaseReplicas{Desired: 2, Ready: 2}},
		"which remain of the release that has them": {guest, "a", v1alpha1.ReleaseReplicas{Desired: 2, Ready: 2, Remaining: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, described(t, tc.world, tc.of, nil).Status.Replicas); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestActiveReleaseIsAsHealthyAsItsInPlaceWorkloads(t *testing.T) {
	for name, tc := range map[string]struct {
		live map[ObjectKey]InPlace
		want string
	}{
		"healthy":                        {map[ObjectKey]InPlace{db: {Workload{Health: Current}, "x"}}, "True Succeeded"},
		"not healthy":                    {map[ObjectKey]InPlace{db: {Workload{Health: InProgress, Message: "0 of 1"}, "x"}}, "False Progressing"},
		"gone":                           {nil, "False Progressing"},
		"with another release's content": {map[ObjectKey]InPlace{db: {Workload{Health: InProgress}, "y"}}, "True Succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			w := given(active("a", 1)).serves("a", 1)
			w.Contents["a"].InPlace, w.InPlace = map[ObjectKey]string{db: "x"}, tc.live
			got := conditionsOf(described(t, w, "a", nil))
			if got["Healthy"] != tc.want || got["Ready"] != tc.want {
				t.Errorf("want %q, got Healthy %q and Ready %q", tc.want, got["Healthy"], got["Ready"])
			}
		})
	}
}

func TestTransitionTimesComeFromTheView(t *testing.T) {
	for _, c := range described(t, given(active("a", 1)).serves("a", 1), "a", nil).Status.Conditions {
		if !c.LastTransitionTime.Time.Equal(present) {
			t.Errorf("%s: want %s, got %s: the package read a clock", c.Type, present, c.LastTransitionTime)
		}
	}
}

func TestSetConditionCutsLongMessages(t *testing.T) {
	for name, message := range map[string]string{
		"of one byte a rune":               strings.Repeat("x", 5000),
		"of several, cut in the middle":    strings.Repeat("ü", 5000),
		"of several, shifted by one":       "x" + strings.Repeat("ü", 5000),
		"of the length that is just fine":  strings.Repeat("x", messageLimit),
		"of one more than is fine":         strings.Repeat("x", messageLimit+1),
		"that are empty and stay so":       "",
		"of three bytes a rune, unaligned": "x" + strings.Repeat("日", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			var conditions []metav1.Condition
			SetCondition(&conditions, 7, "Ready", false, "Because", message)
			c := apimeta.FindStatusCondition(conditions, "Ready")
			if c == nil || c.ObservedGeneration != 7 || c.Status != metav1.ConditionFalse || c.LastTransitionTime.IsZero() {
				t.Fatalf("condition: %+v", c)
			}
			if len(c.Message) > messageLimit || !utf8.ValidString(c.Message) {
				t.Errorf("%d bytes, valid: %t", len(c.Message), utf8.ValidString(c.Message))
			}
			if len(message) <= messageLimit && c.Message != message || len(message) > messageLimit && !strings.HasSuffix(c.Message, "...") {
				t.Errorf("cut wrongly: %d of %d bytes, end %q", len(c.Message), len(message), c.Message[max(0, len(c.Message)-5):])
			}
		})
	}
}

// What the archive does not hold is listed; what is not known now is left as it was.
func TestSelfContained(t *testing.T) {
	for name, tc := range map[string]struct {
		external      []string
		want, message string
	}{
		"not known":  {nil, "", ""},
		"everything": {[]string{}, "True NothingExternal", "the archive holds all that the release is made of"},
		"two things": {[]string{"ConfigMap a", "Secret b"}, "False ExternalDependencies", "not in the archive: ConfigMap a; Secret b"},
		"many things": {strings.Split(strings.Repeat("x ", 22)+"x", " "), "False ExternalDependencies",
			"not in the archive: " + strings.Repeat("x; ", 20) + "and 3 more"},
	} {
		t.Run(name, func(t *testing.T) {
			w := given(active("a", 1)).serves("a", 1)
			w.Contents["a"].External = tc.external
			r := described(t, w, "a", nil)
			c := apimeta.FindStatusCondition(r.Status.Conditions, v1alpha1.SelfContainedCondition)
			if got := conditionsOf(r)[v1alpha1.SelfContainedCondition]; got != tc.want || c != nil && c.Message != tc.message {
				t.Errorf("want %q (%s), got %q (%v)", tc.want, tc.message, got, c)
			}
			delete(w.Contents, "a")
			if again := described(t, w, "a", nil); conditionsOf(again)[v1alpha1.SelfContainedCondition] != tc.want {
				t.Error("it is forgotten when the content is not at hand")
			}
		})
	}
}
