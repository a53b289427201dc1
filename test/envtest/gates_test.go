package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
)

// A commit that fails several gates is told of all of them, in spec.findings and in its conditions.
func TestAllGatesThatFailedAreTold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Gates = v1alpha1.Gates{Images: v1alpha1.ImagesRequire, Hardening: v1alpha1.GateEnforce}
	})
	bad := s.commit(with(shop("web", "2"),
		"deploy/a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: x\n",
		"deploy/b.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  namespace: kube-system\n  finalizers: [a/b]\n",
		"deploy/c.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  hostPID: true\n  containers:\n  - name: x\n    image: 'a b'\n",
		"deploy/d.yaml", configMap("web-config", "a: b"),
	))
	want := []string{"kinds", "namespace", "metadata", "objects", "images", "hardening/privilege-escalation", "hardening/non-root", "hardening/capabilities",
		"hardening/seccomp", "hardening/read-only-root-filesystem", "hardening/host-namespaces", "hardening/resources", "hardening/service-account-token"}
	rel := untilPhase(t, s.ns, releaseOf("shop", bad), v1alpha1.PhaseRejected)
	told := map[string]bool{}
	for _, f := range rel.Spec.Findings {
		if f.Severity != v1alpha1.SeverityError || f.Message == "" || f.Fix == "" {
			t.Errorf("finding without severity, message or fix: %+v", f)
		}
		if f.File == "" || f.Object == "" {
			t.Errorf("finding without a place: %+v", f)
		}
		told[f.Gate] = true
	}
	conditions := []string{v1alpha1.AcceptedCondition, v1alpha1.StalledCondition, v1alpha1.ReadyCondition, v1alpha1.RenderedCondition}
	for _, gate := range want {
		if !told[gate] {
			t.Errorf("spec.findings does not name gate %s", gate)
		}
		if !strings.Contains(rel.Spec.Refusal.Message, gate) {
			t.Errorf("spec.refusal does not name gate %s", gate)
		}
		for _, kind := range conditions {
			if c := apimeta.FindStatusCondition(rel.Status.Conditions, kind); c == nil || !strings.Contains(c.Message, gate) {
				t.Errorf("condition %s does not name gate %s", kind, gate)
			}
		}
	}
	if len(told) != len(want) {
		t.Errorf("gates in spec.findings: %v, want %v", told, want)
	}
	// What kubectl describe prints is the object.
	text, err := yaml.Marshal(rel)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rel.Spec.Findings {
		if !strings.Contains(string(text), "gate: "+f.Gate) {
			t.Errorf("the object does not show gate %s", f.Gate)
		}
	}
	s.untouched()
	s.othersGoOn()
}

// Findings that only warn are kept with the release, which runs.
func TestHardeningWarnsAndRuns(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	rel, err := getRelease(t.Context(), s.ns, releaseOf("shop", s.first))
	if err != nil {
		t.Fatal(err)
	}
	if len(rel.Spec.Findings) == 0 || rel.Spec.Refusal != nil {
		t.Fatalf("findings %v, refusal %v", rel.Spec.Findings, rel.Spec.Refusal)
	}
	for _, f := range rel.Spec.Findings {
		if f.Severity != v1alpha1.SeverityWarning || !strings.HasPrefix(f.Gate, "hardening/") || !strings.HasPrefix(f.File, "deploy/web.yaml:") || f.Object != "Deployment/web" {
			t.Errorf("%+v", f)
		}
	}
	untilCondition(t, releaseConditions(s.ns, rel.Name), v1alpha1.AcceptedCondition, metav1.ConditionTrue, v1alpha1.AcceptedReason,
		fmt.Sprintf("; %d warnings, see spec.findings", len(rel.Spec.Findings)))

	// The same commit with a stricter gate is another release, and does not run; what runs goes on.
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Gates.Hardening = v1alpha1.GateEnforce })
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReleaseRejectedReason, "hardening/non-root")
	s.untouched()
	// Without the gate there is nothing to tell.
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Gates.Hardening = v1alpha1.GateIgnore })
	until(t, patience, func(ctx context.Context) error {
		for _, r := range releasesOf(t, s.ns) {
			if r.Spec.Refusal == nil && len(r.Spec.Findings) == 0 {
				return nil
			}
		}
		return fmt.Errorf("no release without findings")
	})
}

// A Service outside the track that would send traffic to the new pods holds a release up, until it is gone or selects others.
func TestForeignSelector(t *testing.T) {
	t.Parallel()
	selecting := func(s *scene, labels map[string]string) *corev1.Service {
		svc := foreignService(s.ns, "rogue", labels)
		svc.Spec.Selector = map[string]string{"app": "web"}
		return svc
	}
	patched := func(s *scene, patch string) {
		s.Helper()
		if err := suite.api.Patch(s.Context(), foreignService(s.ns, "rogue", nil), client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			s.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		labels map[string]string
		words  string
		mend   func(s *scene)
	}{
		"deleted": {nil, "of no track", func(s *scene) {
			if err := suite.api.Delete(s.Context(), foreignService(s.ns, "rogue", nil)); err != nil {
				s.Fatal(err)
			}
		}},
		"changed": {map[string]string{v1alpha1.TrackLabel: "other"}, "of track other", func(s *scene) { patched(s, `{"spec":{"selector":{"app":"other"}}}`) }},
		"taken over": {nil, "of no track", func(s *scene) {
			patched(s, fmt.Sprintf(`{"metadata":{"annotations":{%q:"shop"}}}`, v1alpha1.AdoptAnnotation))
			// The permission alone changes nothing: the Service has to be in Git.
			s.untouched()
			rogue := strings.Replace(service("rogue"), "app: rogue", "app: web", 1)
			s.live(s.commit(with(shop("web", "3"), "deploy/rogue.yaml", rogue)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			create(t, selecting(s, tc.labels))
			next := s.commit(shop("web", "2"))
			s.refused(releaseOf("shop", next), v1alpha1.ForeignSelectorReason, "Service rogue "+tc.words+" selects the pods of Deployment/web", "Delete the Service", v1alpha1.AdoptAnnotation+": shop")
			untilPhase(t, s.ns, releaseOf("shop", next), v1alpha1.PhasePending)
			s.untouched()
			tc.mend(s)
			if name != "taken over" {
				s.live(next)
			}
		})
	}
}

// Services that are none of the gate's business.
func TestServicesThatHoldUpNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	other := foreignService(s.ns, "other", nil)
	none := foreignService(s.ns, "none", nil)
	none.Spec.Selector = nil
	external := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "external"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "a.example", Selector: map[string]string{"app": "web"}}}
	create(t, other, none, external)
	s.live(s.commit(shop("web", "2")))
}

// A track whose gates are weaker than the operator's floor makes no release and starts none; what runs goes on, a pin is obeyed, and
// when it is mended it goes on.
func TestBelowFloor(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	repo := newRepo(t, ns)
	first := commit(t, repo, shop("web", "1"))
	track := newTrack(ns, "shop", ns)
	track.Spec.Gates = v1alpha1.Gates{Images: v1alpha1.ImagesIgnore, Hardening: v1alpha1.GateIgnore}
	before := startOperator(t, operatorOptions{}, ns)
	create(t, track)
	untilLive(t, ns, "shop", first)
	second := commit(t, repo, shop("web", "2"))
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	untilPhase(t, ns, releaseOf("shop", first), v1alpha1.PhaseRetired)
	before.stop(t)

	third := commit(t, repo, shop("web", "3"))
	startOperator(t, operatorOptions{floor: policy.Floor{Images: v1alpha1.ImagesIgnore, Hardening: v1alpha1.GateWarn}}, ns)
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.BelowFloorReason,
		"spec.gates.hardening is Ignore", "at least Warn", "set it to Warn or Enforce", releaseOf("shop", second)+" serves on")
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.BelowFloorReason)
	poke(t, ns, "shop")
	time.Sleep(3 * time.Second) // longer than the interval
	if _, err := getRelease(t.Context(), ns, releaseOf("shop", third)); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("a release of the third commit was made (%v)", err)
	}
	untilServing(t, ns, releaseOf("shop", second))

	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = releaseOf("shop", first) })
	untilServing(t, ns, releaseOf("shop", first))
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.BelowFloorReason)
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = "" })
	settled()
	untilServing(t, ns, releaseOf("shop", first))

	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Gates.Hardening = v1alpha1.GateWarn })
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, ns, "shop")
		if err != nil {
			return err
		}
		if track.Status.ActiveRelease != releaseOf("shop", third) || !isTrue(track.Status.Conditions, v1alpha1.ReadyCondition) {
			return fmt.Errorf("active is %s: %s", track.Status.ActiveRelease, describe(track.Status.Conditions))
		}
		return nil
	})
}

// A release that never ran, because its registry was down, is no way around the floor: pinned on a track that is below it, it waits
// for the digests of its images.
func TestPinBelowFloorResolves(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	registry.Stop()
	only := commit(t, repo, imageShop(registry, "1", "hello"))
	startOperator(t, operatorOptions{floor: policy.Floor{Images: v1alpha1.ImagesResolve, Hardening: v1alpha1.GateIgnore}}, ns)
	create(t, resolving(ns))
	refused := func() {
		untilCondition(t, releaseConditions(ns, releaseOf("shop", only)), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.RegistryUnreachableReason)
	}
	refused()
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		track.Spec.Gates.Images, track.Spec.Pin = v1alpha1.ImagesIgnore, releaseOf("shop", only)
	})
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.BelowFloorReason)
	settled()
	refused()
	untilPhase(t, ns, releaseOf("shop", only), v1alpha1.PhasePending)
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	digest := push(t, registry, "shop/web:1")
	untilRuns(t, ns, releaseOf("shop", only), 1, registry.Host()+"/shop/web:1@"+digest)
}

// untilServing waits until a release takes the traffic.
func untilServing(t *testing.T, ns, release string) {
	t.Helper()
	until(t, patience, func(ctx context.Context) error {
		if run, err := selected(ctx, ns, "web"); err != nil || !strings.HasPrefix(run, release+"/") {
			return fmt.Errorf("the Service selects %s, want %s: %w", run, release, err)
		}
		return nil
	})
}
