package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func ruleKind(group, kind string) schema.GroupKind { return schema.GroupKind{Group: group, Kind: kind} }

// TestReferencesEverywhere fills every field of the reference table and checks that each is rewritten: and that the
// same field is left alone when it names something that is Stable or not in the release.
func TestReferencesEverywhere(t *testing.T) {
	t.Parallel()
	b := mustBuild(t, one(configMap("moves"), "apiVersion: v1\nkind: Secret\nmetadata: {name: moves}", deployment("moves"),
		"apiVersion: v1\nkind: Pod\nmetadata: {name: moves}\nspec: {containers: [{name: a, image: a}]}",
		annotated(configMap("stays"), "stele.dev/class", "Stable"), annotated("apiVersion: v1\nkind: Secret\nmetadata: {name: stays}", "stele.dev/class", "Stable")))
	s := stamper{id: laterRun, names: renamed(b.Objects), fleet: fleetOf(b.Objects, "shop")}
	rows := map[schema.GroupKind][]reference{deploymentKind: nil, ruleKind("", "Pod"): nil, ruleKind("apps", "StatefulSet"): nil}
	for gk := range rows {
		prefix := ""
		if pods := ruleFor(gk).pods; pods != "." {
			prefix = pods + "."
		}
		for _, r := range podReferences {
			r.path = prefix + "spec." + r.path
			rows[gk] = append(rows[gk], r)
		}
	}
	for gk, refs := range objectReferences {
		rows[gk] = refs
	}
	count := 0
	for gk, refs := range rows {
		for _, r := range refs {
			for name, want := range map[string]string{"moves": movedName(r.target.Kind), "stays": "stays", "unknown": "unknown"} {
				obj := map[string]any{"apiVersion": gk.Group + "/v1", "kind": gk.Kind, "metadata": map[string]any{"name": "x"}}
				if gk.Group == "" {
					obj["apiVersion"] = "v1"
				}
				target := r.target
				if target.Kind == "" { // the reference says the kind
					target = configMapKind
					setPath(obj, strings.TrimSuffix(r.path, "name")+"kind", target.Kind)
				}
				setPath(obj, r.path, name)
				src := Object{Class: stable, Object: mustBuild(t, one(configMap("x"))).Objects[0].Object.DeepCopy()}
				src.Object.Object = obj
				var got []string
				visitReferences(gk, s.stamp(&src).Object, nil, func(f nameField) { got = append(got, f.target.name) })
				if len(got) != 1 || got[0] != want {
					t.Errorf("%s %s: %s became %q, want %s", gk.Kind, r.path, name, got, want)
				}
				count++
			}
		}
	}
	if count < 150 {
		t.Errorf("only %d fields were looked at", count)
	}
}

func movedName(kind string) string { return StampedName(kind, "moves", laterRun) }

// setPath makes what visit finds, and adds to what is there.
func setPath(m map[string]any, path, value string) {
	head, rest, more := strings.Cut(path, ".")
	name, list := strings.CutSuffix(head, "[]")
	switch {
	case !more:
		m[name] = value
	case list:
		elements, ok := m[name].([]any)
		if !ok {
			elements = []any{map[string]any{}, map[string]any{}}
			m[name] = elements
		}
		setPath(elements[1].(map[string]any), rest, value)
	default:
		child, ok := m[name].(map[string]any)
		if !ok {
			child = map[string]any{}
			m[name] = child
		}
		setPath(child, rest, value)
	}
}

// TestTypedReferences: a reference that says its kind is only rewritten for that kind.
func TestTypedReferences(t *testing.T) {
	t.Parallel()
	hpa := func(ref string) string {
		return "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {" + ref + "}}"
	}
	for ref, want := range map[string]string{
		"apiVersion: apps/v1, kind: Deployment, name: a":        "a-0123456789",
		"kind: Deployment, name: a":                             "a-0123456789",
		"apiVersion: apps/v1, kind: StatefulSet, name: a":       "a",
		"apiVersion: example.org/v1, kind: Deployment, name: a": "a",
		"apiVersion: v1, kind: ConfigMap, name: a":              "a-0123456789",
		"apiVersion: apps/v1, kind: Deployment, name: z":        "z",
	} {
		s := mustStamp(t, mustBuild(t, one(deployment("a"), configMap("a"), hpa(ref))), firstRun)
		if got := at(t, stampedOf(t, s, "HorizontalPodAutoscaler/h").Object.Object, "spec.scaleTargetRef.name"); got != want {
			t.Errorf("%s: got %v", ref, got)
		}
	}
}

// TestStampInPlace: a StatefulSet keeps its name and selector; its pods tell the track and what they are made of.
func TestStampInPlace(t *testing.T) {
	t.Parallel()
	b := mustBuild(t, one(statefulSet("db")))
	for _, id := range []Identity{firstRun, laterRun} {
		o := stampedOf(t, mustStamp(t, b, id), "StatefulSet/db")
		want := map[string]any{"app": "db", v1alpha1.TrackLabel: "shop", v1alpha1.ContentLabel: o.Source.Content}
		if diff := cmp.Diff(any(want), at(t, o.Object.Object, "spec.template.metadata.labels")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(any(map[string]any{"app": "db"}), at(t, o.Object.Object, "spec.selector.matchLabels")); diff != "" {
			t.Error(diff)
		}
		if o.Object.GetName() != "db" || o.Object.GetLabels()[v1alpha1.RunLabel] != "" {
			t.Errorf("got %s %v", o.Object.GetName(), o.Object.GetLabels())
		}
	}
	if stampBytes(t, b, firstRun) != stampBytes(t, b, laterRun) {
		t.Error("a release of InPlace objects only differs between runs")
	}
}

// TestStampBare: a workload without labels or with expressions only still gets all that it needs.
func TestStampBare(t *testing.T) {
	t.Parallel()
	byExpression := strings.Replace(deployment("a"), "matchLabels: {app: a}", "matchExpressions: [{key: app, operator: Exists}]", 1)
	o := stampedOf(t, mustStamp(t, mustBuild(t, one(byExpression)), laterRun), "Deployment/a")
	want := map[string]any{v1alpha1.ReleaseLabel: "shop-0123456789", v1alpha1.RunLabel: "7"}
	if diff := cmp.Diff(any(want), at(t, o.Object.Object, "spec.selector.matchLabels")); diff != "" {
		t.Error(diff)
	}
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: a}]}"
	p := stampedOf(t, mustStamp(t, mustBuild(t, one(pod)), laterRun), "Pod/p")
	want[v1alpha1.TrackLabel] = "shop"
	if diff := cmp.Diff(any(want), at(t, p.Object.Object, "metadata.labels")); diff != "" {
		t.Error(diff)
	}
}

func TestSchedulingTerms(t *testing.T) {
	t.Parallel()
	term := func(selector, more string) string {
		return "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: " + selector + more + "}]}}"
	}
	tests := []struct {
		name, spec string
		narrowed   bool
		others     []string
	}{
		{"own pods", term("{matchLabels: {app: a}}", ""), true, nil},
		{"own pods by expression", term("{matchExpressions: [{key: app, operator: In, values: [a]}]}", ""), true, nil},
		{"own pods by the track", term("{matchLabels: {stele.dev/track: shop}}", ""), true, []string{deployment("b")}},
		{"all of the release, InPlace too", term("{matchLabels: {stele.dev/track: shop}}", ""), false, []string{statefulSet("db")}},
		{"other pods", term("{matchLabels: {app: b}}", ""), false, []string{deployment("b")}},
		{"everything", term("{}", ""), false, nil},
		{"nothing", term("null", ""), false, nil},
		{"another namespace", term("{matchLabels: {app: a}}", ", namespaces: [other]"), false, nil},
		{"all namespaces", term("{matchLabels: {app: a}}", ", namespaceSelector: {}"), false, nil},
	}
	const path = "spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution.0.labelSelector.matchLabels"
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := mustBuild(t, one(append(tc.others, deployment("a", tc.spec))...))
			o := stampedOf(t, mustStamp(t, b, laterRun), "Deployment/a")
			labels, _ := at(t, o.Object.Object, path).(map[string]any)
			if got := labels[v1alpha1.RunLabel] == "7"; got != tc.narrowed {
				t.Errorf("got %v", labels)
			}
		})
	}
}

// TestStampLeavesBundle: a bundle is stamped for many runs.
func TestStampLeavesBundle(t *testing.T) {
	t.Parallel()
	b := plainBundle(t)
	before, _ := b.Encode()
	first := stampBytes(t, b, firstRun)
	stampBytes(t, b, laterRun)
	after, _ := b.Encode()
	if string(before) != string(after) {
		t.Error("Stamp changed the bundle")
	}
	if again := stampBytes(t, b, firstRun); again != first {
		t.Error("another run changed the first")
	}
}

// TestDigestAnnotation: what was made can be told from what somebody else made.
func TestDigestAnnotation(t *testing.T) {
	t.Parallel()
	for _, o := range mustStamp(t, plainBundle(t), firstRun).Objects {
		if got := o.Object.GetAnnotations()[v1alpha1.DigestAnnotation]; got != o.Source.Digest || got == "" {
			t.Errorf("%s: %q", o.Object.GetName(), got)
		}
		if o.Object.GetLabels()[v1alpha1.TrackLabel] != "shop" {
			t.Errorf("%s: no track label", o.Object.GetName())
		}
	}
}
