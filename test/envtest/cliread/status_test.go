package cliread

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// manyTracks are tracks in the states that people meet.
func manyTracks(t *testing.T) string {
	ns := newNamespace(t, "states")
	makeTrack(t, ns, "fine", runs("fine-1111111111"))
	makeRelease(t, ns, "fine", 1, active)
	makeTrack(t, ns, "pinned", func(tr *v1alpha1.ReleaseTrack) {
		tr.Spec.Pin, tr.Spec.Suspend = "pinned-1111111111", true
		runs("pinned-1111111111", condition("Pinned", true, "Pinned", "held"), condition("InputsChanged", true, "RendererChanged", "renders otherwise"))(tr)
		tr.Status.Pinned = &v1alpha1.PinnedRelease{Release: "pinned-1111111111", Since: *ago(5 * day)}
	})
	makeRelease(t, ns, "pinned", 1, active)
	makeRelease(t, ns, "pinned", 2, func(r *v1alpha1.ImmutableRelease) {
		r.Status.Conditions = []metav1.Condition{condition("Reconciling", true, "Waiting", "the track is pinned to another release")}
	})
	makeRelease(t, ns, "pinned", 3, nil)
	makeTrack(t, ns, "rejected", func(tr *v1alpha1.ReleaseTrack) {
		runs("rejected-1111111111", condition("Stalled", true, "ReleaseRejected", ""))(tr)
		tr.Status.Conditions = set(tr.Status.Conditions, condition("Ready", false, "ReleaseRejected", "the newest commit was rejected: deploy/a.yaml:3: broken; release rejected-1111111111 serves on"))
		tr.Status.Conditions = set(tr.Status.Conditions, condition("Protected", false, "PolicyMissing", "policy stele-objects is not there"))
	})
	makeRelease(t, ns, "rejected", 1, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Status.Conditions = append(r.Status.Conditions, condition("Drifted", true, "ObjectsChanged", "Deployment web: spec.replicas"))
	})
	makeTrack(t, ns, "staging", func(tr *v1alpha1.ReleaseTrack) {
		runs("staging-1111111111", condition("Reconciling", true, "Progressing", ""))(tr)
		tr.Status.Conditions = set(tr.Status.Conditions, condition("Ready", false, "Progressing", "release staging-2222222222 is being staged: Deployment web: 1 of 3 replicas ready"))
	})
	makeRelease(t, ns, "staging", 1, active)
	makeRelease(t, ns, "staging", 2, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Status.Phase, r.Status.ActiveRun, r.Status.Times.Activated = v1alpha1.PhaseStaging, 0, nil
		r.Status.Conditions = []metav1.Condition{condition("Healthy", false, "Progressing", "Deployment web: 1 of 3 replicas ready")}
	})
	makeTrack(t, ns, "standby", runs("standby-1111111111"))
	makeRelease(t, ns, "standby", 1, active)
	makeRelease(t, ns, "standby", 2, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Status.Phase, r.Status.ActiveRun, r.Status.Times = v1alpha1.PhaseStandby, 0, v1alpha1.ReleaseTimes{Created: ago(6 * day), Staged: ago(6 * day), Standby: ago(5 * day)}
	})
	makeTrack(t, ns, "untouched", nil)
	return ns
}

func TestStatus(t *testing.T) {
	ns := manyTracks(t)
	golden(t, "status", exactly(t, "status", "-n", ns))
	golden(t, "status-wide", exactly(t, "status", "-n", ns, "-o", "wide", "--no-headers"))
	golden(t, "status-one", exactly(t, "status", "pinned", "-n", ns))
	golden(t, "status-staging", exactly(t, "status", "rtrack/staging", "-n", ns))
	golden(t, "status-untouched", exactly(t, "status", "untouched", "-n", ns))
	golden(t, "status-json", exactly(t, "status", "pinned", "-n", ns, "-o", "json"))
	if got, want := exactly(t, "status", "-n", ns, "-o", "name"), "releasetrack.stele.dev/fine\n"; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 6 {
		t.Errorf("-o name:\n%s", got)
	}
	if all := exactly(t, "status", "-A"); !strings.Contains(all, "NAMESPACE") || !strings.Contains(all, ns+"/staging: ") {
		t.Errorf("-A:\n%s", all)
	}
	for _, line := range strings.Split(exactly(t, "status", "-n", ns), "\n\n")[:1] {
		for row := range strings.Lines(line) {
			if len(row) > 121 {
				t.Errorf("%d columns: %s", len(row), row)
			}
		}
	}
}

// YAML says what JSON says.
func TestYAMLIsJSON(t *testing.T) {
	ns := newNamespace(t, "yaml")
	makeTrack(t, ns, "shop", runs("shop-1111111111"))
	makeRelease(t, ns, "shop", 1, active)
	for _, args := range [][]string{{"status"}, {"status", "shop"}, {"releases", "shop"}, {"show", "shop-1111111111"}, {"tree", "shop"}, {"diff", "shop-1111111111", "shop-1111111111"}} {
		args = append(args, "-n", ns, "-o")
		var fromJSON, fromYAML any
		if err := json.Unmarshal([]byte(exactly(t, append(args, "json")...)), &fromJSON); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(exactly(t, append(args, "yaml")...)), &fromYAML); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
			t.Errorf("%v: %s", args, diff)
		}
		if m, ok := fromJSON.(map[string]any); !ok || m["apiVersion"] == nil || m["kind"] == nil {
			t.Errorf("%v: no apiVersion and kind", args)
		}
	}
}

// The ledger is told of when something is wrong with it.
func TestStatusOfTheLedger(t *testing.T) {
	ns := newNamespace(t, "ledger")
	makeTrack(t, ns, "shop", runs("shop-1111111111"))
	makeRelease(t, ns, "shop", 1, active)
	ledger := &v1alpha1.AuditLedger{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.AuditLedgerName},
		Spec: v1alpha1.AuditLedgerSpec{BacklogDeadline: metav1.Duration{Duration: time.Minute}}}
	if err := suite.api.Create(t.Context(), ledger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = suite.api.Delete(t.Context(), ledger) })
	if out := exactly(t, "status", "-n", ns); !strings.Contains(out, "\nAudit ledger: NotStarted: ") || !strings.Contains(out, "waited for 1m0s") {
		t.Errorf("got:\n%s", out)
	}
	changeStatus(t, ledger, func(l *v1alpha1.AuditLedger) {
		l.Status = v1alpha1.AuditLedgerStatus{Size: 12, Backlog: 3, Conditions: []metav1.Condition{condition("Ready", false, "LogUnwritable", "the volume is full"),
			condition("Stalled", true, "LogUnwritable", "the volume is full"), condition("Anchored", false, "AnchorFailed", "no connection")}}
	})
	out := exactly(t, "status", "-n", ns)
	if !strings.HasSuffix(out, "\nAudit ledger: LogUnwritable: the volume is full\nAudit ledger: AnchorFailed: no connection\n") {
		t.Errorf("got:\n%s", out)
	}
	if out := exactly(t, "status", "-n", ns, "-o", "json"); !strings.Contains(out, `"backlog": 3`) {
		t.Errorf("got:\n%s", out)
	}
	viewer := viewerOf(t, ns)
	if r := steleAs(t, viewer, "status", "-n", ns); r.code != 0 || strings.Contains(r.stdout, "ledger") {
		t.Errorf("who may not read the ledger: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
}
