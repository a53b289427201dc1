package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// runPairs are the labels of a later run, with others.
func runPairs(more ...string) map[string]any {
	m := map[string]any{v1alpha1.ReleaseLabel: "shop-0123456789", v1alpha1.RunLabel: "7"}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

// TestServiceSelectors: to which pods a Service sends traffic after the switch, exactly.
func TestServiceSelectors(t *testing.T) {
	t.Parallel()
	part := func(manifest string) string {
		return strings.NewReplacer("labels: {app: a}", "labels: {app: a, part: web}", "labels: {app: b}", "labels: {app: b, part: web}").Replace(manifest)
	}
	headless := strings.Replace(strings.Replace(service("s", "app: db"), "spec: {", "spec: {clusterIP: None, ", 1), "name: s", "name: db", 1)
	cron := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {spec: {template: {metadata: {labels: {app: a}}, spec: {}}}}}"
	const track = v1alpha1.TrackLabel
	tests := []struct {
		name, service string
		selector      any // nil: the Service has none
		manifests     []string
	}{
		{"a Service of one workload is narrowed", "s", runPairs(track, "shop", "app", "a"), []string{deployment("a"), service("s", "app: a")}},
		{"a Service of the pods of two workloads is narrowed to both", "s", runPairs(track, "shop", "part", "web"),
			[]string{part(deployment("a")), part(deployment("b")), deployment("c"), service("s", "part: web")}},
		{"a Service of a Deployment and of a CronJob's pods is narrowed", "s", runPairs(track, "shop", "app", "a"), []string{deployment("a"), cron, service("s", "app: a")}},
		{"a Service of a CronJob's pods only is left", "s", map[string]any{"app": "a"}, []string{cron, service("s", "app: a")}},
		{"a headless Service of a StatefulSet is left", "db", map[string]any{"app": "db"}, []string{statefulSet("db", "subdomain: db"), headless}},
		{"a headless Service of a Deployment is narrowed", "db", runPairs(track, "shop", "app", "db"), []string{deployment("db"), headless}},
		{"a Service of one pod of a StatefulSet is left", "s", map[string]any{"statefulset.kubernetes.io/pod-name": "db-0"},
			[]string{statefulSet("db"), deployment("a"), service("s", "statefulset.kubernetes.io/pod-name: db-0")}},
		{"a Service of pods that are not in the release is left", "s", map[string]any{"app": "z"}, []string{deployment("a"), service("s", "app: z")}},
		{"a Service without selector stays without", "s", nil,
			[]string{deployment("a"), "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}"}},
		{"an empty selector stays empty", "s", map[string]any{}, []string{deployment("a"), service("s", "")}},
		{"an ExternalName has no pods, whatever it selects", "s", map[string]any{"app": "a"},
			[]string{deployment("a"), "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: x.example, selector: {app: a}}"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := stampedOf(t, mustStamp(t, mustBuild(t, one(tc.manifests...)), laterRun), "Service/"+tc.service)
			if diff := cmp.Diff(tc.selector, o.Object.Object["spec"].(map[string]any)["selector"]); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if o.Object.GetName() != tc.service || o.Class != stable {
				t.Errorf("%s is %s", o.Object.GetName(), o.Class)
			}
		})
	}
}

// TestMixedService: neither all of its pods nor only healthy ones could be served.
func TestMixedService(t *testing.T) {
	t.Parallel()
	db := strings.Replace(statefulSet("db"), "labels: {app: db}", "labels: {app: db, part: web}", 1)
	web := strings.Replace(deployment("a"), "labels: {app: a}", "labels: {app: a, part: web}", 1)
	runBad(t, []badCase{
		{"a Deployment and a StatefulSet", one(db, web, service("s", "part: web")), ReasonMixedService, "deploy/a.yaml", 25, "Service/s: spec.selector"},
		{"all pods of the track", one(statefulSet("db"), deployment("a"), service("s", "stele.dev/track: shop")), ReasonMixedService, "deploy/a.yaml", 25, "Service/s"},
	})
}

// TestMatchExpressions: they stay as they are, and the run is added beside them.
func TestMatchExpressions(t *testing.T) {
	t.Parallel()
	const expressions = "[{key: app, operator: In, values: [a, b]}, {key: old, operator: DoesNotExist}]"
	want := map[string]any{"matchLabels": runPairs(), "matchExpressions": []any{
		map[string]any{"key": "app", "operator": "In", "values": []any{"a", "b"}},
		map[string]any{"key": "old", "operator": "DoesNotExist"},
	}}
	web := strings.Replace(deployment("a"), "matchLabels: {app: a}", "matchExpressions: "+expressions, 1)
	b := mustBuild(t, one(web,
		"apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: p}\nspec: {selector: {matchExpressions: "+expressions+"}}",
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {matchExpressions: "+expressions+"}}"))
	s := mustStamp(t, b, laterRun)
	for label, field := range map[string]string{"Deployment/a": "spec.selector", "PodDisruptionBudget/p": "spec.selector", "NetworkPolicy/p": "spec.podSelector"} {
		if diff := cmp.Diff(any(want), at(t, stampedOf(t, s, label).Object.Object, field)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", label, diff)
		}
	}
}

// TestServiceComesAndGoes: a Service that is new in a release, or gone from it, changes nothing else; one whose workload is gone
// is left as in Git.
func TestServiceComesAndGoes(t *testing.T) {
	t.Parallel()
	with := mustBuild(t, one(deployment("a"), configMap("c"), service("s", "app: a")))
	without := mustBuild(t, one(deployment("a"), configMap("c")))
	rest := func(b *Bundle) string {
		b.Objects = append([]Object(nil), b.Objects...)
		for i := range b.Objects {
			if b.Objects[i].Object.GetKind() == "Service" {
				b.Objects = append(b.Objects[:i], b.Objects[i+1:]...)
				break
			}
		}
		return stampBytes(t, b, laterRun)
	}
	if !object(t, with, "Service/s").Narrow || with.Digest == without.Digest {
		t.Error("the new Service is not narrowed, or the release does not show it")
	}
	if diff := cmp.Diff(rest(without), rest(with)); diff != "" {
		t.Error(diff)
	}
	alone := mustStamp(t, mustBuild(t, one(configMap("c"), service("s", "app: a"))), laterRun)
	if diff := cmp.Diff(any(map[string]any{"app": "a"}), at(t, stampedOf(t, alone, "Service/s").Object.Object, "spec.selector")); diff != "" {
		t.Error(diff)
	}
}

// TestTwoTracksInOneNamespace: the same files followed by two tracks, in different commits: no name is the same but those of
// Git, and nothing of one track selects pods of the other.
func TestTwoTracksInOneNamespace(t *testing.T) {
	t.Parallel()
	budget := "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: p}\nspec: {selector: {matchLabels: {app: a}}}"
	policy := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {matchLabels: {app: a}}}"
	spread := "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: a}}}]"
	repo := one(deployment("a", spread), budget, policy, service("s", "app: a"))
	stamped := func(track string, commit byte) *Stamped {
		opt := Options{Namespace: "shop", Track: track}
		b, err := Build(repo, "deploy", opt)
		if err != nil {
			t.Fatal(err)
		}
		id := Identity{Namespace: "shop", Track: track, Commit: strings.Repeat(string(commit), 40), ReleaseUID: "uid-" + track, Run: 1}
		id.Release = track + "-" + id.Commit[:10]
		return mustStamp(t, b, id)
	}
	tracks := []*Stamped{stamped("shop", 'a'), stamped("shop-eu", 'b')}
	for i, s := range tracks {
		own, _ := stringMap(at(t, stampedOf(t, s, "Deployment/a").Object.Object, "spec.template.metadata.labels"))
		others, _ := stringMap(at(t, stampedOf(t, tracks[1-i], "Deployment/a").Object.Object, "spec.template.metadata.labels"))
		for label, field := range map[string]string{"Deployment/a": "spec.selector", "PodDisruptionBudget/p": "spec.selector", "NetworkPolicy/p": "spec.podSelector",
			"Service/s": "spec", "Deployment/a ": "spec.template.spec.topologySpreadConstraints.0.labelSelector"} {
			raw := at(t, stampedOf(t, s, strings.TrimSpace(label)).Object.Object, field)
			if label == "Service/s" {
				raw = map[string]any{"matchLabels": raw.(map[string]any)["selector"]}
			}
			sel, _, err := parseSelector(raw)
			if err != nil || !sel.Matches(labels.Set(own)) || sel.Matches(labels.Set(others)) {
				t.Errorf("%s: %v, %v", label, raw, err)
			}
		}
		for _, o := range s.Objects {
			other := stampedOf(t, tracks[1-i], o.Source.Object.GetKind()+"/"+o.Source.Object.GetName())
			if isVersioned(o.Class) && o.Object.GetName() == other.Object.GetName() {
				t.Errorf("both tracks have a %s %s", o.Object.GetKind(), o.Object.GetName())
			}
		}
	}
}
