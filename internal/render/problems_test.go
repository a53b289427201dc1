package render

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// badCase is a repository that must be refused, with the reason, and where the problem must point.
type badCase struct {
	name   string
	repo   fstest.MapFS
	reason string
	file   string
	line   int
	part   string // must be in the text of the problem
}

func runBad(t *testing.T, cases []badCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			problems := problemsOf(t, tc.repo)
			i := slices.IndexFunc(problems, func(p Problem) bool {
				return p.Reason == tc.reason && (tc.file == "" || p.File == tc.file) &&
					(tc.line == 0 || p.Line == tc.line) && strings.Contains(p.String(), tc.part)
			})
			if i < 0 {
				t.Fatalf("want %s at %s:%d with %q, got %v", tc.reason, tc.file, tc.line, tc.part, problems)
			}
		})
	}
}

func TestBadObjects(t *testing.T) {
	t.Parallel()
	pod := func(meta string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: a" + meta + "}\nspec: {containers: [{name: a, image: a}]}"
	}
	kind := func(apiVersion, kind string) fstest.MapFS {
		return one("apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: a}")
	}
	secret := func(typ string) fstest.MapFS {
		return one("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: " + typ)
	}
	cases := []badCase{
		{"no apiVersion", one("kind: Pod\nmetadata: {name: a}"), ReasonInvalidObject, "deploy/a.yaml", 1, "apiVersion"},
		{"no kind", one("apiVersion: v1\nmetadata: {name: a}"), ReasonInvalidObject, "deploy/a.yaml", 1, "kind"},
		{"no metadata", one("apiVersion: v1\nkind: Pod"), ReasonInvalidObject, "deploy/a.yaml", 1, "metadata"},
		{"no name", one(configMap("a"), "apiVersion: v1\nkind: Pod\nmetadata: {labels: {a: b}}"), ReasonInvalidObject, "deploy/a.yaml", 7, "metadata.name"},
		{"empty name", one("apiVersion: v1\nkind: Pod\nmetadata: {name: ''}"), ReasonInvalidObject, "", 0, "metadata.name"},
		{"numeric name", one("apiVersion: v1\nkind: Pod\nmetadata: {name: 42}"), ReasonInvalidObject, "", 0, "metadata.name"},
		{"name of 254", one("apiVersion: v1\nkind: Pod\nmetadata: {name: " + strings.Repeat("a", 254) + "}"), ReasonInvalidObject, "", 0, "metadata.name"},
		{"name with a path", one("apiVersion: v1\nkind: Pod\nmetadata: {name: ../a}"), ReasonInvalidObject, "", 0, "metadata.name"},
		{"generateName", one("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}"), ReasonGenerateName, "", 1, ""},
		{"a scalar", one("hello"), ReasonInvalidObject, "", 1, "not a map"},
		{"a list", one("- a\n- b"), ReasonInvalidObject, "", 1, "not a map"},
		{"List in a List", one("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items: []"), ReasonInvalidObject, "", 4, "List within a List"},
		{"List of scalars", one("apiVersion: v1\nkind: List\nitems: [a]"), ReasonInvalidObject, "", 0, "items[0]"},
		{"same object twice", files("deploy/a.yaml", configMap("a"), "deploy/b.yaml", "\n"+configMap("a")), ReasonDuplicateObject, "deploy/b.yaml", 2, "deploy/a.yaml:1"},
		{"same object in two versions", one("apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}", "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}"), ReasonDuplicateObject, "", 5, ""},

		{"foreign namespace", one(pod(", namespace: kube-system")), ReasonForeignNamespace, "deploy/a.yaml", 1, "Pod/a"},
		{"namespace is no text", one(pod(", namespace: 5")), ReasonForeignNamespace, "", 0, ""},
		{"cluster role", kind("rbac.authorization.k8s.io/v1", "ClusterRole"), ReasonClusterScopedKind, "", 0, "ClusterRole/a"},
		{"namespace object", kind("v1", "Namespace"), ReasonClusterScopedKind, "", 0, "platform engineer"},
		{"crd", kind("apiextensions.k8s.io/v1", "CustomResourceDefinition"), ReasonClusterScopedKind, "", 0, ""},
		{"webhook", kind("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"), ReasonClusterScopedKind, "", 0, ""},
		{"admission policy", kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"), ReasonClusterScopedKind, "", 0, ""},
		{"api service", kind("apiregistration.k8s.io/v1", "APIService"), ReasonClusterScopedKind, "", 0, ""},
		{"priority class", kind("scheduling.k8s.io/v1", "PriorityClass"), ReasonClusterScopedKind, "", 0, ""},
		{"node", kind("v1", "Node"), ReasonClusterScopedKind, "", 0, ""},
		{"csr", kind("certificates.k8s.io/v1", "CertificateSigningRequest"), ReasonClusterScopedKind, "", 0, ""},
		{"role", kind("rbac.authorization.k8s.io/v1", "Role"), ReasonUnsupportedKind, "", 0, "rights"},
		{"role binding", kind("rbac.authorization.k8s.io/v1", "RoleBinding"), ReasonUnsupportedKind, "", 0, "rights"},
		{"a kind of ours", kind("stele.dev/v1alpha1", "ImmutableRelease"), ReasonUnsupportedKind, "", 0, "Stele"},
		{"a future kind of ours", kind("stele.dev/v9", "Anything"), ReasonUnsupportedKind, "", 0, ""},
		{"removed group", kind("extensions/v1beta1", "Deployment"), ReasonUnsupportedKind, "", 0, "removed"},
		{"Job that selects pods by itself", one("apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec: {manualSelector: true, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {}}}"),
			ReasonInvalidObject, "", 0, "remove manualSelector"},
		{"CronJob without pods", kind("batch/v1", "CronJob"), ReasonInvalidObject, "", 0, "add the pod template"},
		{"ReplicaSet", kind("apps/v1", "ReplicaSet"), ReasonUnsupportedKind, "", 0, "use a Deployment"},
		{"ReplicationController", kind("v1", "ReplicationController"), ReasonUnsupportedKind, "", 0, "use a Deployment"},
		{"account token", secret("kubernetes.io/service-account-token"), ReasonUnsupportedKind, "", 0, "token"},
		{"bootstrap token", secret("bootstrap.kubernetes.io/token"), ReasonUnsupportedKind, "", 0, ""},

		{"broken base64", one("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {key: '%%%'}"), ReasonInvalidObject, "", 0, "data.key"},
		{"number in a ConfigMap", one(configMap("a", "port: 8080")), ReasonInvalidObject, "", 0, "quotes"},
		{"number in a label", one(pod(", labels: {version: 1.10}")), ReasonInvalidObject, "", 0, "metadata.labels"},
		{"no pod template", kind("apps/v1", "Deployment"), ReasonInvalidObject, "", 0, "spec.template"},
		{"no selector", one(strings.Replace(deployment("a"), "selector: {matchLabels: {app: a}}", "replicas: 1", 1)), ReasonSelectorMismatch, "", 0, "spec.selector"},
		{"empty selector", one(strings.Replace(deployment("a"), "{matchLabels: {app: a}}", "{}", 1)), ReasonSelectorMismatch, "", 0, ""},
		{"selector of others", one(strings.Replace(deployment("a"), "matchLabels: {app: a}", "matchLabels: {app: b}", 1)), ReasonSelectorMismatch, "", 0, ""},
		{"selector is no selector", one(strings.Replace(deployment("a"), "matchLabels: {app: a}", "matchExpressions: [{key: app, operator: Like}]", 1)), ReasonInvalidObject, "", 0, "spec.selector"},
		{"StatefulSet selector", one(strings.Replace(statefulSet("a"), "matchLabels: {app: a}", "matchLabels: {app: b}", 1)), ReasonSelectorMismatch, "", 0, "StatefulSet/a"},
		{"no image", one(strings.Replace(deployment("a"), `, image: "app:1"`, "", 1)), ReasonInvalidImage, "", 0, "containers[0].image"},
		{"two digests", one(strings.Replace(deployment("a"), "app:1", "app@sha256:"+strings.Repeat("a", 64)+"@sha256:"+strings.Repeat("b", 64), 1)), ReasonInvalidImage, "", 0, ""},
		{"image with a line break", one(strings.Replace(deployment("a"), "app:1", `app:1\nx`, 1)), ReasonInvalidImage, "", 0, ""},
		{"image of an init container", one(deployment("a", "initContainers: [{name: i, image: 'a b'}]")), ReasonInvalidImage, "", 0, "initContainers[0]"},
		{"mixed service", one(deployment("a"), statefulSet("b"), "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {stele.dev/track: shop}}"), ReasonMixedService, "", 0, "Service/s"},
		{"class for a kind without it", one(annotated(service("s", "a: b"), "stele.dev/class", "Versioned")), ReasonInvalidAnnotation, "", 0, "cannot be Versioned"},
		{"StatefulSet Versioned", one(annotated(statefulSet("s"), "stele.dev/class", "Versioned")), ReasonInvalidAnnotation, "", 0, "cannot be Versioned"},
		{"Deployment Stable", one(annotated(deployment("s"), "stele.dev/class", "Stable")), ReasonInvalidAnnotation, "", 0, "cannot be Stable"},
		{"Pod InPlace", one(pod(", annotations: {stele.dev/class: InPlace}")), ReasonInvalidAnnotation, "", 0, "cannot be InPlace"},
		{"ConfigMap Recreate", one(annotated(configMap("s"), "stele.dev/class", "Recreate")), ReasonInvalidAnnotation, "", 0, ""},
		{"unknown class", one(annotated(deployment("s"), "stele.dev/class", "versioned")), ReasonInvalidAnnotation, "", 0, "use one of"},
		{"unknown start", one(annotated(deployment("s"), "stele.dev/start", "Later")), ReasonInvalidAnnotation, "", 0, "AtSwitch"},
		{"start of a ConfigMap", one(annotated(configMap("s"), "stele.dev/start", "AtSwitch")), ReasonInvalidAnnotation, "", 0, "workloads"},
		{"prune of a Versioned object", one(annotated(configMap("s"), "stele.dev/prune", "disabled")), ReasonInvalidAnnotation, "", 0, "ends with its run"},
		{"names that shorten to one", one(collidingConfigMaps()...), ReasonNameCollision, "", 0, ""},
	}
	runBad(t, cases)
}

// collidingConfigMaps are a long name and the name that it is shortened to.
func collidingConfigMaps() []string {
	long := strings.Repeat("a", limitSubdomain)
	return []string{configMap(long), configMap(shortened("ConfigMap", long))}
}

// TestForgedMetadata covers all that Git may not say about an object.
func TestForgedMetadata(t *testing.T) {
	t.Parallel()
	meta := map[string]string{
		"track label":         "labels: {stele.dev/track: other}",
		"release label":       "labels: {stele.dev/release: shop-1}",
		"run label":           "labels: {stele.dev/run: '1'}",
		"content label":       "labels: {stele.dev/content: '0123456789'}",
		"class as label":      "labels: {stele.dev/class: Stable}",
		"unknown annotation":  "annotations: {stele.dev/anything: x}",
		"adopt annotation":    "annotations: {stele.dev/adopt: shop}",
		"digest annotation":   "annotations: {stele.dev/digest: x}",
		"owner":               "ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: x}]",
		"finalizer":           "finalizers: [example/x]",
		"resourceVersion":     "resourceVersion: '1'",
		"uid":                 "uid: x",
		"generation":          "generation: 3",
		"deletionTimestamp":   "deletionTimestamp: 2026-01-01T00:00:00Z",
		"deletion grace":      "deletionGracePeriodSeconds: 5",
		"managedFields":       "managedFields: [{manager: me}]",
		"creationTimestamp":   "creationTimestamp: 2026-01-01T00:00:00Z",
		"selfLink":            "selfLink: /x",
		"something unheardof": "owner: me",
	}
	var cases []badCase
	for name, m := range meta {
		onObject := strings.Replace(deployment("a"), "metadata: {name: a}", "metadata: {name: a, "+m+"}", 1)
		cases = append(cases, badCase{name, one(onObject), ReasonForgedMetadata, "deploy/a.yaml", 1, "Deployment/a: metadata."})
		if name == "owner" || strings.HasSuffix(name, "label") {
			continue
		}
		onPods := strings.Replace(deployment("a"), "metadata: {labels: {app: a}}", "metadata: {labels: {app: a}, "+m+"}", 1)
		cases = append(cases, badCase{name + " on pods", one(onPods), ReasonForgedMetadata, "", 0, "spec.template.metadata."})
	}
	pods := strings.Replace(deployment("a"), "labels: {app: a}", "labels: {app: a, stele.dev/run: '1'}", 1)
	claims := statefulSet("a") + "  volumeClaimTemplates: [{metadata: {name: d, labels: {stele.dev/run: '1'}}}]"
	cases = append(cases,
		badCase{"label on pods", one(pods), ReasonForgedMetadata, "", 0, "spec.template.metadata.labels.stele.dev/run"},
		badCase{"class on pods", one(strings.Replace(deployment("a"), "metadata: {labels", "metadata: {annotations: {stele.dev/class: Recreate}, labels", 1)), ReasonForgedMetadata, "", 0, "spec.template.metadata.annotations"},
		badCase{"label on claims", one(claims), ReasonForgedMetadata, "", 0, "volumeClaimTemplates"},
		badCase{"status", one(deployment("a") + "status: {replicas: 3}"), ReasonForgedMetadata, "", 0, "status"},
		badCase{"selector of a Service", one(service("s", "stele.dev/release: other-1")), ReasonForgedMetadata, "", 0, "spec.selector.stele.dev/release"},
		badCase{"selector of a policy", one("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {matchExpressions: [{key: stele.dev/run, operator: Exists}]}}"), ReasonForgedMetadata, "", 0, "stele.dev/run"},
	)
	runBad(t, cases)
}

// TestHarmlessMetadata is what generators leave behind, which means nothing and is dropped.
func TestHarmlessMetadata(t *testing.T) {
	t.Parallel()
	clean := mustBuild(t, one(deployment("a")))
	noisy := deployment("a") + "status: {}\n"
	noisy = strings.Replace(noisy, "metadata: {name: a}", `metadata: {name: a, namespace: shop, creationTimestamp: null, uid: "", `+
		`finalizers: [], generation: 0, labels: null, generateName: "", `+
		`annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}}`, 1)
	noisy = strings.Replace(noisy, "metadata: {labels:", "metadata: {creationTimestamp: null, annotations: null, labels:", 1)
	got := mustBuild(t, one(noisy))
	delete(mapAt(got.Objects[0].Object.Object, "metadata"), "annotations")
	a, _ := canonicalJSON(clean.Objects[0].Object.Object)
	b, _ := canonicalJSON(got.Objects[0].Object.Object)
	if string(a) != string(b) {
		t.Errorf("not dropped:\n%s\n%s", a, b)
	}
}

// TestAllProblemsTogether: a person should not have to push ten times to learn of ten mistakes.
func TestAllProblemsTogether(t *testing.T) {
	t.Parallel()
	problems := problemsOf(t, files(
		"deploy/a.yaml", "a: [", "deploy/b.yaml", "a: 1\na: 2\n",
		"deploy/c.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: a}",
		"deploy/d.yaml", service("s", "stele.dev/run: '1'")))
	var reasons []string
	for _, p := range problems {
		reasons = append(reasons, fmt.Sprintf("%s %s:%d", p.Reason, p.File, p.Line))
	}
	want := []string{"InvalidYAML deploy/a.yaml:1", "DuplicateKey deploy/b.yaml:2", "ClusterScopedKind deploy/c.yaml:1",
		"ForgedMetadata deploy/d.yaml:1"}
	if !slices.Equal(reasons, want) {
		t.Errorf("got %q, want %q", reasons, want)
	}
}

// TestFileSystemErrors: a file system that fails says nothing about the commit, so the error must not be an *Error.
func TestFileSystemErrors(t *testing.T) {
	t.Parallel()
	for name, repo := range map[string]fs.FS{
		"listing": brokenFS{one(configMap("a")), "deploy"},
		"reading": brokenFS{one(configMap("a")), "deploy/a.yaml"},
		"kustomize": brokenFS{files("deploy/kustomization.yaml", "resources: [a.yaml]", "deploy/a.yaml", configMap("a")),
			"deploy/a.yaml"},
	} {
		_, err := Build(repo, "deploy", shop)
		var problem *Error
		if err == nil || errors.As(err, &problem) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// brokenFS fails to open one name.
type brokenFS struct {
	fs.FS
	name string
}

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == b.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return b.FS.Open(name)
}
