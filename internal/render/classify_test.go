package render

import (
	"strings"
	"testing"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestClasses(t *testing.T) {
	t.Parallel()
	claim := func(mode string) string {
		return "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [" + mode + "]}"
	}
	mounts := deployment("a", "volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]")
	strategy := strings.Replace(deployment("a"), "spec:\n  selector", "spec:\n  strategy: {type: Recreate}\n  selector", 1)
	port := strings.Replace(deployment("a"), "name: main,", "name: main, ports: [{containerPort: 80, hostPort: 80}],", 1)
	hostNet := strings.Replace(deployment("a", "hostNetwork: true"), "name: main,", "name: main, ports: [{containerPort: 80}],", 1)
	custom := func(apiVersion, kind string) string {
		return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: a}"
	}
	policy := func(selector string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: " + selector + "}"
	}
	budget := func(selector string) string {
		return "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: p}\nspec: {selector: " + selector + "}"
	}
	tests := []struct {
		name, object string
		class        v1alpha1.ObjectClass
		atSwitch     bool
		manifests    []string
	}{
		{"Deployment", "Deployment/a", versioned, false, []string{deployment("a")}},
		{"Deployment at the switch", "Deployment/a", versioned, true, []string{annotated(deployment("a"), "stele.dev/start", "AtSwitch")}},
		{"Deployment that recreates", "Deployment/a", recreate, false, []string{strategy}},
		{"Deployment with a host port", "Deployment/a", recreate, false, []string{port}},
		{"Deployment in the host's network", "Deployment/a", recreate, false, []string{hostNet}},
		{"Deployment with host network, no port", "Deployment/a", versioned, false, []string{deployment("a", "hostNetwork: true")}},
		{"Deployment with a single-writer claim", "Deployment/a", recreate, false, []string{mounts, claim("ReadWriteOnce")}},
		{"Deployment with a one-pod claim", "Deployment/a", recreate, false, []string{mounts, claim("ReadWriteOncePod")}},
		{"Deployment with a shared claim", "Deployment/a", versioned, false, []string{mounts, claim("ReadWriteMany")}},
		{"Deployment with an unknown claim", "Deployment/a", versioned, false, []string{mounts}},
		{"Deployment, told Versioned", "Deployment/a", versioned, false, []string{annotated(strategy, "stele.dev/class", "Versioned")}},
		{"Deployment, told Recreate", "Deployment/a", recreate, false, []string{annotated(deployment("a"), "stele.dev/class", "Recreate")}},
		{"Deployment, told InPlace", "Deployment/a", inPlace, false, []string{annotated(mounts, "stele.dev/class", "InPlace"), claim("ReadWriteOnce")}},
		{"Pod", "Pod/a", versioned, false, []string{custom("v1", "Pod") + "\nspec: {containers: [{name: a, image: a}]}"}},
		{"Pod with a host port in an init container", "Pod/a", recreate, false, []string{custom("v1", "Pod") + "\nspec: {containers: [{name: a, image: a}], initContainers: [{name: i, image: i, ports: [{hostPort: 1}]}]}"}},
		{"StatefulSet", "StatefulSet/a", inPlace, false, []string{statefulSet("a")}},
		{"StatefulSet, told InPlace", "StatefulSet/a", inPlace, false, []string{annotated(statefulSet("a"), "stele.dev/class", "InPlace")}},
		{"DaemonSet", "DaemonSet/a", inPlace, false, []string{strings.Replace(statefulSet("a"), "StatefulSet", "DaemonSet", 1)}},
		{"Job", "Job/a", versioned, false, []string{custom("batch/v1", "Job") + "\nspec: {template: {spec: {}}}"}},
		{"Job with a single-writer claim", "Job/a", versioned, false, []string{custom("batch/v1", "Job") + "\nspec: {template: {spec: {volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}}", claim("ReadWriteOnce")}},
		{"Job at the switch", "Job/a", versioned, true, []string{annotated(custom("batch/v1", "Job")+"\nspec: {template: {spec: {}}}", "stele.dev/start", "AtSwitch")}},
		{"CronJob", "CronJob/a", versioned, true, []string{custom("batch/v1", "CronJob") + "\nspec: {jobTemplate: {spec: {template: {spec: {}}}}}"}},
		{"ConfigMap", "ConfigMap/a", versioned, false, []string{configMap("a")}},
		{"ConfigMap, told Stable", "ConfigMap/a", stable, false, []string{annotated(configMap("a"), "stele.dev/class", "Stable")}},
		{"Secret", "Secret/a", versioned, false, []string{custom("v1", "Secret")}},
		{"Secret, told Stable", "Secret/a", stable, false, []string{annotated("apiVersion: v1\nkind: Secret\nmetadata: {name: a}", "stele.dev/class", "Stable")}},
		{"PDB of Versioned pods", "PodDisruptionBudget/p", versioned, false, []string{deployment("a"), budget("{matchLabels: {app: a}}")}},
		{"PDB, told Stable", "PodDisruptionBudget/p", stable, false, []string{deployment("a"), annotated(budget("{matchLabels: {app: a}}"), "stele.dev/class", "Stable")}},
		{"PDB of Recreate pods", "PodDisruptionBudget/p", versioned, false, []string{strategy, budget("{matchLabels: {app: a}}")}},
		{"PDB of InPlace pods", "PodDisruptionBudget/p", stable, false, []string{statefulSet("a"), budget("{matchLabels: {app: a}}")}},
		{"PDB of both", "PodDisruptionBudget/p", stable, false, []string{deployment("a"), statefulSet("b"), budget("{matchExpressions: [{key: app, operator: Exists}]}")}},
		{"PDB of nothing here", "PodDisruptionBudget/p", stable, false, []string{deployment("a"), budget("{matchLabels: {app: z}}")}},
		{"PDB of everything", "PodDisruptionBudget/p", stable, false, []string{deployment("a"), budget("{}")}},
		{"HPA", "HorizontalPodAutoscaler/a", versioned, true, []string{custom("autoscaling/v2", "HorizontalPodAutoscaler")}},
		{"VPA", "VerticalPodAutoscaler/a", versioned, true, []string{custom("autoscaling.k8s.io/v1", "VerticalPodAutoscaler")}},
		{"ScaledObject", "ScaledObject/a", versioned, true, []string{custom("keda.sh/v1alpha1", "ScaledObject")}},
		{"policy of Versioned pods", "NetworkPolicy/p", versioned, false, []string{deployment("a"), policy("{matchLabels: {app: a}}")}},
		{"policy, told Stable", "NetworkPolicy/p", stable, false, []string{deployment("a"), annotated(policy("{matchLabels: {app: a}}"), "stele.dev/class", "Stable")}},
		{"policy of all pods", "NetworkPolicy/p", stable, false, []string{deployment("a"), policy("{}")}},
		{"policy of InPlace pods", "NetworkPolicy/p", stable, false, []string{statefulSet("a"), policy("{matchLabels: {app: a}}")}},
		{"policy of the track's pods", "NetworkPolicy/p", versioned, false, []string{deployment("a"), policy("{matchLabels: {stele.dev/track: shop}}")}},
		{"Service", "Service/a", stable, false, []string{service("a", "x: z")}},
		{"Ingress", "Ingress/a", stable, false, []string{custom("networking.k8s.io/v1", "Ingress")}},
		{"ServiceAccount", "ServiceAccount/a", stable, false, []string{custom("v1", "ServiceAccount")}},
		{"claim", "PersistentVolumeClaim/data", stable, false, []string{claim("ReadWriteOnce")}},
		{"custom resource", "HTTPRoute/a", stable, false, []string{custom("gateway.networking.k8s.io/v1", "HTTPRoute")}},
		{"same kind of another group", "Deployment/a", stable, false, []string{custom("example.org/v1", "Deployment")}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := object(t, mustBuild(t, one(tc.manifests...)), tc.object)
			if o.Class != tc.class || o.AtSwitch != tc.atSwitch {
				t.Errorf("got %s, atSwitch=%t; want %s, %t", o.Class, o.AtSwitch, tc.class, tc.atSwitch)
			}
		})
	}
}

func TestNarrow(t *testing.T) {
	t.Parallel()
	labelled := strings.Replace(deployment("b"), "labels: {app: b}", "labels: {app: b, part: shop}", 1)
	external := "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: x.example, selector: {app: a}}"
	tests := []struct {
		name      string
		want      bool
		manifests []string
	}{
		{"one Versioned workload", true, []string{deployment("a"), service("s", "app: a")}},
		{"a Recreate workload", true, []string{annotated(deployment("a"), "stele.dev/class", "Recreate"), service("s", "app: a")}},
		{"one of two labels", true, []string{labelled, service("s", "part: shop")}},
		{"by the track", true, []string{deployment("a"), deployment("b"), service("s", "stele.dev/track: shop")}},
		{"InPlace only", false, []string{statefulSet("a"), service("s", "app: a")}},
		{"nothing of the release", false, []string{deployment("a"), service("s", "app: z")}},
		{"the track of others", false, []string{deployment("a"), service("s", "stele.dev/track: other")}},
		{"no selector", false, []string{deployment("a"), service("s", "")}},
		{"external name", false, []string{deployment("a"), external}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := mustBuild(t, one(tc.manifests...))
			if got := object(t, b, "Service/s").Narrow; got != tc.want {
				t.Errorf("got %t", got)
			}
			selector, _ := at(t, stampedOf(t, mustStamp(t, b, laterRun), "Service/s").Object.Object, "spec.selector").(map[string]any)
			if got := selector[v1alpha1.RunLabel] == "7" && selector[v1alpha1.ReleaseLabel] == "shop-0123456789"; got != tc.want {
				t.Errorf("stamped selector: %v", selector)
			}
		})
	}
}

// TestContent: what restarts the pods of an InPlace workload, and what does not.
func TestContent(t *testing.T) {
	t.Parallel()
	db := statefulSet("db", "volumes: [{name: c, configMap: {name: cfg}}, {name: s, configMap: {name: kept}}]")
	kept := annotated(configMap("kept", "a: b"), "stele.dev/class", "Stable")
	base := []string{db, configMap("cfg", "a: b"), kept, deployment("web")}
	content := func(manifests ...string) string {
		return object(t, mustBuild(t, one(manifests...)), "StatefulSet/db").Content
	}
	want := content(base...)
	if len(want) != suffixLength {
		t.Fatalf("content %q", want)
	}
	tests := []struct {
		name string
		same bool
		from []string
	}{
		{"another workload", true, []string{db, configMap("cfg", "a: b"), kept, deployment("other")}},
		{"a label of the StatefulSet", true, []string{strings.Replace(db, "metadata: {name: db}", "metadata: {name: db, labels: {a: b}}", 1), base[1], kept}},
		{"the number of replicas", true, []string{strings.Replace(db, "spec:\n  selector", "spec:\n  replicas: 5\n  selector", 1), base[1], kept}},
		{"a Stable ConfigMap", true, []string{db, base[1], annotated(configMap("kept", "a: c"), "stele.dev/class", "Stable")}},
		{"the image", false, []string{strings.Replace(db, "app:1", "app:2", 1), base[1], kept}},
		{"a ConfigMap that it uses", false, []string{db, configMap("cfg", "a: c"), kept}},
		{"a ConfigMap that is gone", false, []string{db, kept}},
	}
	for _, tc := range tests {
		if got := content(tc.from...); (got == want) != tc.same {
			t.Errorf("%s: same=%t, want %t", tc.name, got == want, tc.same)
		}
	}
}

func TestRefersVersioned(t *testing.T) {
	t.Parallel()
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: tls}"
	ingress := "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {tls: [{secretName: tls}]}"
	for name, tc := range map[string]struct {
		manifests []string
		want      bool
	}{
		"Versioned":      {[]string{secret, ingress}, true},
		"Stable":         {[]string{annotated(secret, "stele.dev/class", "Stable"), ingress}, false},
		"not in release": {[]string{ingress}, false},
	} {
		if got := object(t, mustBuild(t, one(tc.manifests...)), "Ingress/i").RefersVersioned; got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// TestSecrets: two ways to write a Secret are one Secret.
func TestSecrets(t *testing.T) {
	t.Parallel()
	digest := func(body string) string {
		return mustBuild(t, one("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"+body)).Objects[0].Digest
	}
	want := digest("data: {a: aGVsbG8=, b: eA==}")
	for name, body := range map[string]string{
		"all in stringData":   "stringData: {a: hello, b: x}",
		"both":                "data: {a: aGVsbG8=}\nstringData: {b: x}",
		"stringData wins":     "data: {a: aGVsbG8=, b: enp6}\nstringData: {b: x}",
		"line breaks in data": "data:\n  a: |\n    aGVs\n    bG8=\n  b: eA==",
	} {
		if got := digest(body); got != want {
			t.Errorf("%s: another digest", name)
		}
	}
	if digest("") != digest("data: {}\nstringData: null") {
		t.Error("empty: another digest")
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	sha := "sha256:" + strings.Repeat("0", 64)
	good := map[string]Image{
		"nginx":                              {Name: "nginx"},
		"nginx:1.27":                         {Name: "nginx", Tag: "1.27"},
		"localhost:5000/a/b":                 {Name: "localhost:5000/a/b"},
		"localhost:5000/a/b:v1@" + sha:       {Name: "localhost:5000/a/b", Tag: "v1", Digest: sha},
		"Registry.Example/a__b/c-d.e@" + sha: {Name: "Registry.Example/a__b/c-d.e", Digest: sha},
		"[::1]:5000/a:b":                     {Name: "[::1]:5000/a", Tag: "b"},
	}
	for s, want := range good {
		if got, ok := parseImage(s); !ok || got != want {
			t.Errorf("%s: got %+v, %t", s, got, ok)
		}
	}
	for _, s := range []string{"", " ", "a b", "a\n", "A", "a:", "a@sha256:1", "a@" + sha + "@" + sha, "a:b:c", "/a", "a/", "http://a/b",
		"a:" + strings.Repeat("x", 129), strings.Repeat("a", 513)} {
		if got, ok := parseImage(s); ok {
			t.Errorf("%q: accepted as %+v", s, got)
		}
	}
}

func TestIgnore(t *testing.T) {
	t.Parallel()
	opt := shop
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}"
	opt.Ignore = append(opt.Ignore, ruleKind("", "Namespace"))
	b, err := Build(one(namespace, configMap("a")), "deploy", opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Objects) != 1 || len(b.Ignored) != 1 || b.Ignored[0].Name != "shop" || b.Ignored[0].File != "deploy/a.yaml" {
		t.Errorf("objects %d, ignored %+v", len(b.Objects), b.Ignored)
	}
	if b.Digest != mustBuild(t, one(configMap("a"))).Digest {
		t.Error("an ignored object changed the digest")
	}
}

func TestOptionsRequired(t *testing.T) {
	t.Parallel()
	for _, opt := range []Options{{}, {Namespace: "shop"}, {Track: "shop"}} {
		if _, err := Build(one(configMap("a")), "deploy", opt); err == nil {
			t.Errorf("accepted %+v", opt)
		}
	}
}
