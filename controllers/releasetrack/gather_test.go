package releasetrack

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

func labelsOf(releaseName, run string) map[string]string {
	return map[string]string{v1alpha1.TrackLabel: "shop", v1alpha1.ReleaseLabel: releaseName, v1alpha1.RunLabel: run, "app": "web"}
}

func TestRunKey(t *testing.T) {
	for name, tc := range map[string]struct {
		labels map[string]string
		want   release.RunKey
	}{
		"of a run":        {labelsOf("r", "7"), release.RunKey{Release: "r", Run: 7}},
		"no labels":       {nil, release.RunKey{}},
		"no release":      {map[string]string{v1alpha1.RunLabel: "7"}, release.RunKey{}},
		"no run":          {map[string]string{v1alpha1.ReleaseLabel: "r"}, release.RunKey{Release: "r", Run: noRun}},
		"garbage":         {labelsOf("r", "x"), release.RunKey{Release: "r", Run: noRun}},
		"zero":            {labelsOf("r", "0"), release.RunKey{Release: "r", Run: noRun}},
		"highest":         {labelsOf("r", fmt.Sprint(maxRun)), release.RunKey{Release: "r", Run: maxRun}},
		"one too high":    {labelsOf("r", fmt.Sprint(maxRun+1)), release.RunKey{Release: "r", Run: noRun}},
		"highest of Go":   {labelsOf("r", "2147483647"), release.RunKey{Release: "r", Run: noRun}},
		"beyond a number": {labelsOf("r", "99999999999999999999"), release.RunKey{Release: "r", Run: noRun}},
	} {
		if got := runKey(tc.labels); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func newPod(name string, labels map[string]string, ready bool) *corev1.Pod {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labels, OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet"}}},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}}}
}

func endpoint(pod string, ready *bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Name: pod}, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
}

// Ready endpoints of the run that the Service selects count, and any endpoint of another run, ready or not: traffic may still go there.
func TestTraffic(t *testing.T) {
	one, two := release.RunKey{Release: "one", Run: 1}, release.RunKey{Release: "two", Run: 1}
	s := newScopeOf(newTrack())
	ending := newPod("two-d", labelsOf("two", "1"), true)
	ending.DeletionTimestamp = ptr.To(metav1.NewTime(present))
	s.world = world{
		pods: []*corev1.Pod{newPod("one-a", labelsOf("one", "1"), true), newPod("two-a", labelsOf("two", "1"), true), newPod("two-b", labelsOf("two", "1"), false),
			newPod("two-c", labelsOf("two", "1"), true), ending},
		services: map[string]*corev1.Service{
			"web":    {Spec: corev1.ServiceSpec{Selector: labelsOf("two", "1")}},
			"all":    {Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}}},
			"manual": {},
		},
	}
	slice := func(service string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{discoveryv1.LabelServiceName: service}}, Endpoints: endpoints}
	}
	yes, no := ptr.To(true), ptr.To(false)
	s.world.slices = []*discoveryv1.EndpointSlice{
		slice("web", endpoint("two-a", yes), endpoint("two-b", no), endpoint("two-c", nil), endpoint("one-a", no)),
		slice("web", endpoint("unknown", no), discoveryv1.Endpoint{}),
		slice("all", endpoint("one-a", yes), endpoint("two-a", yes)),
		slice("gone", endpoint("one-a", yes)),
	}
	want := map[string]release.Traffic{
		"web":    {Selects: two, ReadyPods: 2, Endpoints: map[release.RunKey]int32{two: 2, one: 1, {}: 2}},
		"all":    {ReadyPods: 3, Endpoints: map[release.RunKey]int32{one: 1, two: 1}},
		"manual": {Endpoints: map[release.RunKey]int32{}},
	}
	if diff := cmp.Diff(want, s.traffic()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCountEndpoint(t *testing.T) {
	mine, other := release.RunKey{Release: "r", Run: 1}, release.RunKey{Release: "o", Run: 1}
	runs := map[string]release.RunKey{"mine": mine, "other": other}
	for name, tc := range map[string]struct {
		endpoint discoveryv1.Endpoint
		want     map[release.RunKey]int32
	}{
		"mine, ready":        {endpoint("mine", ptr.To(true)), map[release.RunKey]int32{mine: 1}},
		"mine, unknown":      {endpoint("mine", nil), map[release.RunKey]int32{mine: 1}},
		"mine, not ready":    {endpoint("mine", ptr.To(false)), map[release.RunKey]int32{}},
		"other, ready":       {endpoint("other", ptr.To(true)), map[release.RunKey]int32{other: 1}},
		"other, not ready":   {endpoint("other", ptr.To(false)), map[release.RunKey]int32{other: 1}},
		"a pod that is gone": {endpoint("gone", ptr.To(false)), map[release.RunKey]int32{{}: 1}},
		"no pod":             {discoveryv1.Endpoint{}, map[release.RunKey]int32{{}: 1}},
	} {
		counts := map[release.RunKey]int32{}
		countEndpoint(counts, &tc.endpoint, runs, mine)
		if diff := cmp.Diff(tc.want, counts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Pods and Deployments are sorted by run, under the names that their workloads have in Git.
func TestRuns(t *testing.T) {
	objects := []v1alpha1.ReleaseObject{{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web", Class: v1alpha1.ClassVersioned},
		{Kind: "Pod", Namespace: "shop", Name: "probe", Class: v1alpha1.ClassVersioned}}
	rel := newRelease("1", 1, active, func(r *v1alpha1.ImmutableRelease) { r.Spec.Objects, r.Status.Run = objects, 2 })
	s := newScopeOf(newTrack(), rel)
	deletedAt := present.Add(-time.Minute)
	deployment := func(name, releaseName, run string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labelsOf(releaseName, run)}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](1)}}
	}
	second := render.StampedName("Deployment", "web", identity(rel, 2))
	ending := deployment("web-1111111111", rel.Name, "1")
	ending.DeletionTimestamp = ptr.To(metav1.NewTime(deletedAt))
	bare := newPod(render.StampedName("Pod", "probe", identity(rel, 2)), labelsOf(rel.Name, "2"), true)
	bare.OwnerReferences = nil
	s.world = world{deployments: []*appsv1.Deployment{ending, deployment(second, rel.Name, "2"), deployment("poison", rel.Name, "x"), deployment("stranger", "shop-9999999999", "1")},
		pods: []*corev1.Pod{newPod(second+"-a", labelsOf(rel.Name, "2"), true), newPod(second+"-b", labelsOf(rel.Name, "2"), false), bare,
			newPod("db-0", map[string]string{v1alpha1.TrackLabel: "shop", v1alpha1.ContentLabel: "x"}, true)}}
	s.memory.made[release.RunKey{Release: rel.Name, Run: 2}] = true
	s.memory.made[release.RunKey{Release: rel.Name, Run: 9}] = true
	runs := s.runs()
	var keys []string
	for k, r := range runs {
		for w := range r.Workloads {
			keys = append(keys, fmt.Sprintf("%s/%d %s %s", k.Release, k.Run, w.Kind, w.Name))
		}
	}
	want := map[string]bool{"shop-1111111111/1 Deployment web": true, "shop-1111111111/2 Deployment web": true, "shop-1111111111/2 Pod probe": true,
		"shop-1111111111/-1 Deployment poison": true, "shop-9999999999/1 Deployment stranger": true}
	for _, k := range keys {
		if !want[k] {
			t.Errorf("%s is not wanted", k)
		}
		delete(want, k)
	}
	if len(want) > 0 || len(runs) != 4 {
		t.Errorf("%d runs; missing: %v", len(runs), want)
	}
	one, two := runs[release.RunKey{Release: rel.Name, Run: 1}], runs[release.RunKey{Release: rel.Name, Run: 2}]
	if !one.DeletedSince.Equal(deletedAt) || one.Made {
		t.Errorf("run 1 is %+v", one)
	}
	if two.Pods != 3 || two.Ready != 2 || two.Live != 3 || !two.Made || len(two.PodNames) != 3 {
		t.Errorf("run 2 is %+v", two)
	}
}

// Versioned objects that a live InPlace workload, or a pod of an earlier content, names are in use.
func TestInUse(t *testing.T) {
	config := v1alpha1.ReleaseObject{Kind: "ConfigMap", Namespace: "shop", Name: "config", Class: v1alpha1.ClassVersioned}
	secret := v1alpha1.ReleaseObject{Kind: "Secret", Namespace: "shop", Name: "key", Class: v1alpha1.ClassVersioned}
	stable := v1alpha1.ReleaseObject{Kind: "ConfigMap", Namespace: "shop", Name: "stable", Class: v1alpha1.ClassStable}
	rel := func(digit string, run int32) *v1alpha1.ImmutableRelease {
		return newRelease(digit, 1, ended("Superseded"), func(r *v1alpha1.ImmutableRelease) {
			r.Spec.Objects, r.Status.Run = []v1alpha1.ReleaseObject{config, secret, stable}, run
		})
	}
	old, older, forged := rel("2", 3), rel("1", 1), rel("3", maxRun)
	configOf := func(r *v1alpha1.ImmutableRelease, run int32) string {
		return render.StampedName("ConfigMap", "config", identity(r, run))
	}
	secretOf := func(r *v1alpha1.ImmutableRelease, run int32) string {
		return render.StampedName("Secret", "key", identity(r, run))
	}
	content := map[string]string{v1alpha1.TrackLabel: "shop", v1alpha1.ContentLabel: "x"}
	set := &appsv1.StatefulSet{}
	set.Spec.Template.Spec = corev1.PodSpec{
		Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: configOf(old, 2)}}}},
			{VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "stable"}}}}},
		InitContainers: []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secretOf(old, 3)}}}}}},
	}
	pod := newPod("db-0", content, true)
	pod.Spec.Containers = []corev1.Container{{Env: []corev1.EnvVar{
		{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: configOf(older, 1)}}}}}}}
	pod.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: secretOf(older, 1)}}}}}}}}
	ordinary := newPod("web-a", labelsOf(old.Name, "1"), true)
	ordinary.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secretOf(old, 1)}}}}

	s := newScopeOf(newTrack(), old, older, forged)
	if got := s.inUse(); len(got) != 0 {
		t.Errorf("nothing is there, and in use is %v", got)
	}
	s.world = world{statefulSets: []*appsv1.StatefulSet{set}, pods: []*corev1.Pod{pod, ordinary}}
	want := map[string][]string{old.Name: {"ConfigMap/" + configOf(old, 2), "Secret/" + secretOf(old, 3)},
		older.Name: {"ConfigMap/" + configOf(older, 1), "Secret/" + secretOf(older, 1)}}
	began := time.Now()
	got := s.inUse()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a forged number of runs takes %s", took)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	release.SetCondition(&old.Status.Conditions, 1, v1alpha1.DeletableCondition, true, "Retired", "")
	if got := s.inUse(); len(got[old.Name]) != 0 {
		t.Errorf("a release that was swept has %v in use", got[old.Name])
	}
}

// A reference that no list of this package has, and those that only the track knows, are uses too.
func TestInUseByAnyReference(t *testing.T) {
	rel := newRelease("2", 1, ended("Superseded"), func(r *v1alpha1.ImmutableRelease) {
		r.Spec.Objects = []v1alpha1.ReleaseObject{{Kind: "Secret", Namespace: "shop", Name: "key", Class: v1alpha1.ClassVersioned}}
		r.Status.Run = 1
	})
	name := render.StampedName("Secret", "key", identity(rel, 1))
	for what, change := range map[string]func(*appsv1.StatefulSet){
		"the credentials of a volume's driver": func(set *appsv1.StatefulSet) {
			set.Spec.Template.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{NodePublishSecretRef: &corev1.LocalObjectReference{Name: name}}}}}
		},
		"an annotation of the pods":     func(set *appsv1.StatefulSet) { set.Spec.Template.Annotations = map[string]string{"key": name} },
		"an annotation of the workload": func(set *appsv1.StatefulSet) { set.Annotations = map[string]string{"key": name} },
		"an argument": func(set *appsv1.StatefulSet) {
			set.Spec.Template.Spec.Containers = []corev1.Container{{Args: []string{name}}}
		},
		"a variable": func(set *appsv1.StatefulSet) {
			set.Spec.Template.Spec.InitContainers = []corev1.Container{{Env: []corev1.EnvVar{{Name: "KEY", Value: name}}}}
		},
	} {
		t.Run(what, func(t *testing.T) {
			set := &appsv1.StatefulSet{}
			change(set)
			s := newScopeOf(newTrack(), rel)
			s.world = world{statefulSets: []*appsv1.StatefulSet{set}}
			if diff := cmp.Diff(map[string][]string{rel.Name: {"Secret/" + name}}, s.inUse()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Pods of one template are looked at once, pods of another one are not forgotten.
func TestRevisionOf(t *testing.T) {
	pod := func(name, owner, revision string) *corev1.Pod {
		p := newPod(name, map[string]string{appsv1.ControllerRevisionHashLabelKey: revision}, true)
		p.OwnerReferences = nil
		if owner != "" {
			p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(owner), Controller: ptr.To(true)}}
		}
		return p
	}
	base := revisionOf(pod("a", "set", "1"))
	if revisionOf(pod("b", "set", "1")) != base {
		t.Error("two pods of one template differ")
	}
	for what, other := range map[string]*corev1.Pod{"another revision": pod("b", "set", "2"), "another owner": pod("b", "other", "1"), "no owner": pod("b", "", "1"), "no revision": pod("b", "set", "")} {
		if revisionOf(other) == base {
			t.Errorf("%s: taken for the same", what)
		}
	}
}

func TestNamedRuns(t *testing.T) {
	for last, want := range map[int32]struct {
		n           int
		first, last int32
	}{0: {0, 0, 0}, 1: {1, 1, 1}, searchedRuns: {searchedRuns, 1, searchedRuns}, 2 * searchedRuns: {2 * searchedRuns, 1, 2 * searchedRuns},
		maxRun: {2 * searchedRuns, 1, maxRun}, 2147483647: {2 * searchedRuns, 1, maxRun}} {
		rel := newRelease("1", 1)
		rel.Status.Run = last
		got := namedRuns(rel)
		if len(got) != want.n || (want.n > 0 && (got[0] != want.first || got[len(got)-1] != want.last)) {
			t.Errorf("run %d: %d runs", last, len(got))
		}
		for i := 1; i < len(got); i++ {
			if got[i] <= got[i-1] {
				t.Errorf("run %d: %d comes after %d", last, got[i], got[i-1])
			}
		}
	}
}

// Until this process has read Git, what is under way stands for the head when it is newer.
func TestHead(t *testing.T) {
	one, two, three := newRelease("1", 1, active), newRelease("2", 2, staging), newRelease("3", 3)
	for name, tc := range map[string]struct {
		stored   string
		releases []*v1alpha1.ImmutableRelease
		read     bool
		want     string
	}{
		"read":                              {one.Name, []*v1alpha1.ImmutableRelease{one, two, three}, true, one.Name},
		"a newer one is staging":            {one.Name, []*v1alpha1.ImmutableRelease{one, two, three}, false, two.Name},
		"a newer one is active":             {newRelease("0", 0).Name, []*v1alpha1.ImmutableRelease{newRelease("0", 0), one}, false, one.Name},
		"an older one is staging":           {three.Name, []*v1alpha1.ImmutableRelease{one, two, three}, false, three.Name},
		"nothing is stored":                 {"", []*v1alpha1.ImmutableRelease{two}, false, two.Name},
		"nothing is stored or under way":    {"", []*v1alpha1.ImmutableRelease{three}, false, ""},
		"what is stored is gone":            {"shop-9999999999", []*v1alpha1.ImmutableRelease{three}, false, "shop-9999999999"},
		"an ended one is no sign of a head": {one.Name, []*v1alpha1.ImmutableRelease{one, newRelease("4", 4, ended("Superseded"))}, false, one.Name},
	} {
		s := newScopeOf(newTrack(func(t *v1alpha1.ReleaseTrack) { t.Status.HeadRelease = tc.stored }), tc.releases...)
		s.source.read = tc.read
		if got := s.head(); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// What can take the traffic back is read in time: a release whose archive is gone must not be waited for.
func TestMayComeBack(t *testing.T) {
	served := func(r *v1alpha1.ImmutableRelease) {
		ended(v1alpha1.OutcomeSuperseded)(r)
		r.Status.Times.Activated = at(-19)
	}
	gone := func(r *v1alpha1.ImmutableRelease) { r.Status.Times.Retired = at(-5) }
	for name, tc := range map[string]struct {
		observation v1alpha1.ReleaseObservation
		changes     []func(*v1alpha1.ImmutableRelease)
		want        bool
	}{
		"not without an observation":              {"", []func(*v1alpha1.ImmutableRelease){served}, false},
		"while it runs, the replicas stay":        {v1alpha1.ObservationRunning, []func(*v1alpha1.ImmutableRelease){served}, true},
		"what is gone is not needed yet":          {v1alpha1.ObservationRunning, []func(*v1alpha1.ImmutableRelease){served, gone}, false},
		"when it has failed, it may be run again": {v1alpha1.ObservationFailed, []func(*v1alpha1.ImmutableRelease){served, gone}, true},
		"what never served is no way back":        {v1alpha1.ObservationFailed, []func(*v1alpha1.ImmutableRelease){ended(v1alpha1.OutcomePreempted)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			old := newRelease("1", 1, tc.changes...)
			s := newScopeOf(newTrack(), old, newRelease("2", 2, active, func(r *v1alpha1.ImmutableRelease) { r.Status.Observation = tc.observation }))
			if got := s.mayComeBack(old); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
