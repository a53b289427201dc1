package render

import (
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// input is a kind of hostile or malformed manifest, and what is to become of it.
type input struct {
	name string
	repo fstest.MapFS
	// reason is why it is refused, at file and line where they are given, with the part in the text. Without a reason it is accepted.
	reason, file string
	line         int
	part         string
	// kustomized is the reason when the same files are read by kustomize, where it differs; "-" where there is nothing to compare.
	kustomized string
	// effect looks at what an accepted input has become.
	effect func(t *testing.T, b *Bundle)
}

const (
	// inputGuard is far beyond what any input takes. It ends a test that would hang.
	inputGuard = time.Minute
	// inputMemory is far beyond what any input may make the operator allocate, all garbage included.
	inputMemory = 1 << 30
	// notCompared: see input.
	notCompared = "-"
	// flattened: kustomize takes it apart, and what comes out is checked as ever.
	flattened = "flattened"
)

// TestHostileManifests puts every kind of hostile manifest beside a Secret, in a plain folder and in one with a kustomization file.
// Nothing panics, hangs or takes memory without bound; an error is a verdict on the commit, says where, and repeats no value.
//
// It is not parallel, so that what it measures is its own.
func TestHostileManifests(t *testing.T) {
	inputs := slices.Concat(bombs(), keysAndValues(), streams(), lists(), kinds(), names(), places(), forgeries(), podsAndSelectors(), sizes(), values())
	seen := map[string]bool{}
	for _, in := range inputs {
		if seen[in.name] {
			t.Fatalf("two inputs are called %q", in.name)
		}
		seen[in.name] = true
		t.Run(in.name, func(t *testing.T) {
			in.repo["deploy/zz-canary.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: zz-canary}\nstringData: {p: " + canary + "}\n")}
			in.check(t, in.repo, false)
		})
		if in.kustomized == notCompared {
			continue
		}
		t.Run(in.name+", with kustomize", func(t *testing.T) {
			in.check(t, kustomized(in.repo), true)
		})
	}
}

// kustomized adds a kustomization file that lists all manifests.
func kustomized(repo fstest.MapFS) fstest.MapFS {
	out, list := fstest.MapFS{}, []string{}
	for name, f := range repo {
		out[name] = f
		list = append(list, fmt.Sprintf("%q", strings.TrimPrefix(name, "deploy/")))
	}
	slices.Sort(list)
	out["deploy/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [" + strings.Join(list, ", ") + "]\n")}
	return out
}

func (in input) check(t *testing.T, repo fstest.MapFS, byKustomize bool) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := buildGuarded(t, repo)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > inputMemory {
		t.Errorf("%d MiB were allocated", used>>20)
	}
	if err != nil {
		checkNoCanary(t, err)
	}
	reason, file, line := in.reason, in.file, in.line
	if byKustomize {
		file, line = "", 0 // kustomize does not keep them in all cases
		switch in.kustomized {
		case "":
		case flattened:
			reason = ""
		default:
			reason = in.kustomized
		}
	}
	if reason == "" {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		checkStamped(t, mustStamp(t, b, firstRun))
		if in.effect != nil {
			in.effect(t, b)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("want %s, got %v", reason, err)
	}
	if !slices.ContainsFunc(e.Problems, func(p Problem) bool {
		return p.Reason == reason && (file == "" || p.File == file) && (line == 0 || p.Line == line) &&
			(byKustomize || strings.Contains(p.String(), in.part))
	}) {
		t.Errorf("want %s at %s:%d with %q, got %v", reason, file, line, in.part, e.Problems)
	}
	for _, p := range e.Problems {
		if p.File == "" && p.Reason != ReasonLimitExceeded {
			t.Errorf("the problem names no file: %v", p)
		}
	}
}

// buildGuarded turns a panic and a build that does not end into failures of the one input.
func buildGuarded(t *testing.T, repo fstest.MapFS) (b *Bundle, err error) {
	t.Helper()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		b, err = Build(repo, "deploy", shop)
	}()
	select {
	case caught := <-done:
		if caught != nil {
			t.Fatalf("panic: %v", caught)
		}
	case <-time.After(inputGuard):
		t.Fatal("the build does not end")
	}
	return b, err
}

// checkNoCanary fails when an error holds the planted secret, a good part of it, or its base64.
func checkNoCanary(t *testing.T, err error) {
	t.Helper()
	text := strings.ToLower(fmt.Sprintf("%v %#v", err, err))
	for _, part := range []string{canary[:6], canary[len(canary)-6:], base64.StdEncoding.EncodeToString([]byte(canary))[:8]} {
		if strings.Contains(text, strings.ToLower(part)) {
			t.Errorf("%q is in the error: %v", part, err)
		}
	}
}

// bombs grow when they are read.
func bombs() []input {
	laughs := "a: &a [" + canary + ", x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'k'; c++ {
		prev := string(c - 1)
		laughs += fmt.Sprintf("%c: &%c [*%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s, *%s]\n", c, c, prev, prev, prev, prev, prev, prev, prev, prev, prev)
	}
	merges := "a: &a {x0: 0, x1: 1}\n"
	for c := 'b'; c <= 'm'; c++ {
		merges += fmt.Sprintf("%c: &%c {<<: [*%c, *%c], z%c: [*%c, *%c, *%c]}\n", c, c, c-1, c-1, c, c-1, c-1, c-1)
	}
	wide := "a: &a [" + strings.Repeat("x, ", 10000) + "]\nb: [" + strings.Repeat("*a, ", maxAliases) + "]\n"
	var small []string
	for i := range maxObjects - 1 {
		small = append(small, configMap(fmt.Sprint("c", i)))
	}
	multiplied := files("deploy/a.yaml", strings.Join(small, "---\n"), "deploy/p.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: any}\ndata: {p: "+strings.Repeat("x", 900<<10)+"}\n",
		"deploy/kustomization.yaml", "resources: [a.yaml]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]\n")
	return []input{
		{name: "a large patch of each of 500 objects", repo: multiplied, reason: ReasonLimitExceeded, file: "deploy/kustomization.yaml", part: "32 MiB", kustomized: notCompared},
		{name: "aliases that expand to billions of values", repo: one(laughs), reason: ReasonLimitExceeded, file: "deploy/a.yaml"},
		{name: "merges that expand to millions of values", repo: one(merges), reason: ReasonLimitExceeded, file: "deploy/a.yaml"},
		{name: "few aliases of a long list", repo: one(wide), reason: ReasonLimitExceeded, file: "deploy/a.yaml"},
		{name: "more aliases than a manifest needs", repo: one("a: &a x\nb: [" + strings.Repeat("*a, ", maxAliases+1) + "]\n"), reason: ReasonLimitExceeded, line: 2, part: "aliases"},
		{name: "alias to what contains it", repo: one("a: &a [*a]\n"), reason: ReasonLimitExceeded, line: 1, part: "nested"},
		{name: "200 levels of flow lists", repo: one("a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200)), reason: ReasonLimitExceeded, line: 1, part: "nested"},
		{name: "200 levels of block lists", repo: one(strings.Repeat("- ", 200) + canary), reason: ReasonLimitExceeded, line: 1, part: "nested"},
		{name: "200 levels of maps in an object", repo: one(configMap("a") + "x: " + strings.Repeat("{a: ", 200) + "1" + strings.Repeat("}", 200)), reason: ReasonLimitExceeded, line: 5, part: "nested"},
		{name: "200 levels of JSON", repo: files("deploy/a.json", strings.Repeat("[", 200)+strings.Repeat("]", 200)), reason: ReasonInvalidYAML, line: 1, part: "nested"},
		{name: "100,000 levels without an end", repo: one(strings.Repeat("[", 100000)), reason: ReasonInvalidYAML},
		{name: "100,000 levels of JSON without an end", repo: files("deploy/a.json", strings.Repeat("[", 100000)), reason: ReasonInvalidYAML, line: 1, part: "nested"},
		{name: "as many levels as are allowed", repo: one(configMap("a") + "x: " + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1))},
	}
}

// keysAndValues are what parsers read differently.
func keysAndValues() []input {
	replicas := strings.Replace(deployment("a"), "spec:\n", "spec:\n  replicas: 1\n  replicas: 2\n", 1)
	merged := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nx-defaults: &d {k: " + canary + ", l: other}\ndata: {<<: *d, k: mine}\n"
	octal := deployment("a", "volumes: [{name: c, configMap: {name: c, defaultMode: 0777}}]")
	mode := func(t *testing.T, b *Bundle) {
		t.Helper()
		if got := at(t, object(t, b, "Deployment/a").Object.Object, "spec.template.spec.volumes.0.configMap.defaultMode"); got != int64(0o777) {
			t.Errorf("defaultMode is %v", got)
		}
	}
	data := func(value string) fstest.MapFS { return one(configMap("a", "k: "+value)) }
	return []input{
		{name: "replicas twice", repo: one(replicas), reason: ReasonDuplicateKey, file: "deploy/a.yaml", line: 6, part: "replicas"},
		{name: "a key twice in JSON", repo: files("deploy/a.json", "{\"a\": 1,\n\"a\": \""+canary+"\"}"), reason: ReasonDuplicateKey, file: "deploy/a.json", line: 2, part: "a"},
		{name: "a key twice in the second document", repo: one("a: 1", "b: 1\nb: 2"), reason: ReasonDuplicateKey, line: 4, part: "b"},
		{name: "merge key, where what is written out wins", repo: one(merged), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			if got := at(t, object(t, b, "ConfigMap/a").Object.Object, "data"); fmt.Sprint(got) != "map[k:mine l:other]" {
				t.Errorf("data is %v", got)
			}
		}},
		{name: "merge key twice", repo: one("x: &x {a: 1}\nz:\n  <<: *x\n  <<: *x\n"), reason: ReasonDuplicateKey, part: "<<"},
		{name: "merge of a scalar", repo: one("z:\n  <<: " + canary + "\n"), reason: ReasonInvalidYAML, line: 2, part: "<<"},
		{name: "binary tag", repo: data("!!binary aGk="), reason: ReasonInvalidYAML, line: 4, part: "tag"},
		{name: "tag that runs code elsewhere", repo: one("a: !!python/object/apply:os.system [" + canary + "]\n"), reason: ReasonInvalidYAML, line: 1, part: "tag"},
		{name: "tag of one's own", repo: data("!secret " + canary), reason: ReasonInvalidYAML, line: 4, part: "tag"},
		{name: "map with the tag of something else", repo: one("a: !thing {b: " + canary + "}\n"), reason: ReasonInvalidYAML, line: 1, part: "tag"},
		{name: "not a number", repo: data(".nan"), reason: ReasonInvalidNumber, line: 4},
		{name: "infinity", repo: data("-.inf"), reason: ReasonInvalidNumber, line: 4},
		{name: "float that overflows in JSON", repo: files("deploy/a.json", `{"a": 1e999}`), reason: ReasonInvalidNumber, line: 1},
		{name: "integer one above int64", repo: data("9223372036854775808"), reason: ReasonInvalidNumber, line: 4},
		{name: "integer of 23 digits", repo: data("99999999999999999999999"), reason: ReasonInvalidNumber, line: 4},
		{name: "integer that overflows in JSON", repo: files("deploy/a.json", `{"a": 9223372036854775808}`), reason: ReasonInvalidNumber, line: 1},
		{name: "octal as YAML 1.1 writes it", repo: one(octal), effect: mode},
		{name: "octal as YAML 1.2 writes it", repo: one(strings.Replace(octal, "0777", "0o777", 1)), effect: mode},
		{name: "octal as a key", repo: one("010: 1\n"), reason: ReasonAmbiguousValue, line: 1},
		{name: "yes without quotes", repo: data("yes"), reason: ReasonAmbiguousValue, line: 4, part: "quotes"},
		{name: "no without quotes", repo: data("no"), reason: ReasonAmbiguousValue, line: 4, part: "quotes"},
		{name: "On without quotes in a list", repo: one("a:\n- On\n"), reason: ReasonAmbiguousValue, line: 2, part: "quotes"},
		{name: "yes in quotes", repo: data("'yes'"), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			if got := at(t, object(t, b, "ConfigMap/a").Object.Object, "data.k"); got != "yes" {
				t.Errorf("it is %v", got)
			}
		}},
		{name: "y as a key", repo: one("y: 1\n"), reason: ReasonAmbiguousValue, line: 1, part: "quotes"},
		{name: "true as a key", repo: one("true: 1\n"), reason: ReasonAmbiguousValue, line: 1},
		{name: "float as a key", repo: one("1.50: 1\n"), reason: ReasonAmbiguousValue, line: 1},
		{name: "map as a key", repo: one("{a: " + canary + "}: 1\n"), reason: ReasonInvalidYAML, line: 1, part: "key"},
	}
}

// streams are files as a whole.
func streams() []input {
	is := func(label string) func(t *testing.T, b *Bundle) {
		return func(t *testing.T, b *Bundle) { t.Helper(); object(t, b, label) }
	}
	withFiles := func(name string, data string) fstest.MapFS { return files(name, data) }
	return []input{
		{name: "10,000 documents in a file", repo: one(strings.Repeat("---\na: 1\n", 10000)), reason: ReasonLimitExceeded, file: "deploy/a.yaml", part: "documents"},
		{name: "10,000 empty documents in a file", repo: one(strings.Repeat("---\n", 10000)), reason: ReasonLimitExceeded, file: "deploy/a.yaml", part: "documents"},
		{name: "empty documents between others", repo: one("", "# comment", configMap("a"), "", "---"), effect: is("ConfigMap/a")},
		{name: "only comments", repo: one("# x\n---\n# y"), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			if len(b.Objects) != 1 { // that of the Secret beside it
				t.Errorf("%d objects", len(b.Objects))
			}
		}},
		{name: "byte order mark", repo: one("\xef\xbb\xbf" + configMap("a")), effect: is("ConfigMap/a")},
		{name: "UTF-16, little end first", repo: one("\xff\xfea\x00:\x00"), reason: ReasonInvalidYAML, part: "UTF-16"},
		{name: "UTF-16, big end first", repo: one("\xfe\xff\x00a\x00:"), reason: ReasonInvalidYAML, part: "UTF-16"},
		{name: "NUL byte", repo: one("a: b\nc: " + canary + "\x00e\n"), reason: ReasonInvalidYAML, line: 2, part: "NUL"},
		{name: "bytes that are no UTF-8", repo: one("a: " + canary + "\xc3\x28\n"), reason: ReasonInvalidYAML, part: "UTF-8"},
		{name: "JSON in a YAML file", repo: one(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}`), effect: is("ConfigMap/a")},
		{name: "garbage after JSON in a YAML file", repo: one(`{"a": 1} ` + canary), reason: ReasonInvalidYAML},
		{name: "garbage after JSON", repo: withFiles("deploy/a.json", `{"a": 1} `+canary), reason: ReasonInvalidYAML, file: "deploy/a.json", line: 1},
		{name: "two JSON values in a file", repo: withFiles("deploy/a.json", "{}\n{}"), reason: ReasonInvalidYAML, line: 2, part: "follows"},
		{name: "JSON that ends early", repo: withFiles("deploy/a.json", `{"a": ["`+canary), reason: ReasonInvalidYAML, line: 1, part: "JSON"},
		{name: "JSON key without a value", repo: withFiles("deploy/a.json", `{"a"}`), reason: ReasonInvalidYAML, line: 1, part: "JSON"},
		{name: "list that is not closed", repo: one("a: b\nc: [" + canary + "\n"), reason: ReasonInvalidYAML, file: "deploy/a.yaml", line: 2, part: "expected ',' or ']'"},
		{name: "quote that is not closed, in the second document", repo: one("a: b", "c: '"+canary), reason: ReasonInvalidYAML, line: 3},
		{name: "password that looks like an alias", repo: one("a: b", "c: *"+canary+"\n"), reason: ReasonInvalidYAML, line: 3, part: "anchor"},
		{name: "tab as indentation", repo: one("a:\n\tb: " + canary + "\n"), reason: ReasonInvalidYAML, line: 2},
	}
}

// lists are Lists, and objects that are there twice.
func lists() []input {
	list := func(items ...string) string {
		out := "apiVersion: v1\nkind: List\nitems:\n"
		for _, i := range items {
			out += "- " + strings.ReplaceAll(strings.TrimSpace(i), "\n", "\n  ") + "\n"
		}
		return out
	}
	inner := list(configMap("a"))
	return []input{
		{name: "a List of objects", repo: one(list(configMap("a"), configMap("b"))), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			object(t, b, "ConfigMap/a")
			object(t, b, "ConfigMap/b")
		}},
		{name: "a List in a List", repo: one(list(inner)), reason: ReasonInvalidObject, file: "deploy/a.yaml", line: 4, part: "List within a List", kustomized: flattened},
		{name: "a List in a List in a List", repo: one(list(list(inner))), reason: ReasonInvalidObject, line: 4, part: "List within a List", kustomized: flattened},
		{name: "a typed List in a List", repo: one(list(strings.Replace(inner, "kind: List", "kind: ConfigMapList", 1))), reason: ReasonInvalidObject, line: 4, part: "List within a List", kustomized: flattened},
		{name: "a List of text", repo: one("apiVersion: v1\nkind: List\nitems: [" + canary + "]"), reason: ReasonInvalidObject, line: 3, part: "items[0]", kustomized: ReasonKustomizeFailed},
		{name: "an empty List", repo: one("apiVersion: v1\nkind: List\nitems: []\n", configMap("a")), effect: func(t *testing.T, b *Bundle) { t.Helper(); object(t, b, "ConfigMap/a") }},
		{name: "the same object twice in a file", repo: one(configMap("a"), configMap("a", "k: "+canary)), reason: ReasonDuplicateObject, file: "deploy/a.yaml", line: 7, part: "deploy/a.yaml:1"},
		{name: "the same object in two files", repo: files("deploy/a.yaml", configMap("a"), "deploy/b.yaml", "\n"+configMap("a")), reason: ReasonDuplicateObject, file: "deploy/b.yaml", line: 2, part: "deploy/a.yaml:1"},
		{name: "the same object in a List and beside it", repo: one(list(configMap("a")), configMap("a")), reason: ReasonDuplicateObject, file: "deploy/a.yaml", line: 10},
		{name: "the same object with its namespace and without", repo: one(configMap("a"), strings.Replace(configMap("a"), "{name: a}", "{name: a, namespace: shop}", 1)), reason: ReasonDuplicateObject, line: 7},
		{name: "the same object in two versions of its API", repo: one("apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}",
			"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}"), reason: ReasonDuplicateObject, line: 5},
	}
}

// kindOf is a minimal object.
func kindOf(apiVersion, kind, more string) fstest.MapFS {
	return one("apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: a}\n" + more)
}

// kinds are objects that a release may not contain, and some that only the cluster can judge.
func kinds() []input {
	stays := func(label string) func(t *testing.T, b *Bundle) {
		return func(t *testing.T, b *Bundle) {
			t.Helper()
			if o := object(t, b, label); o.Class != stable {
				t.Errorf("it is %s", o.Class)
			}
		}
	}
	crd := "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.org}\nspec: {group: example.org}"
	in := []input{
		{name: "unknown kind: left to the cluster, with what it depends on", repo: kindOf("example.org/v1", "Widget", ""), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			stays("Widget/a")(t, b)
			if !slices.Contains(b.External(), "CustomResourceDefinition of Widget.example.org") {
				t.Errorf("not said: %q", b.External())
			}
		}},
		{name: "unknown kind of a built-in group: left to the cluster", repo: kindOf("apps/v1", "Widget", ""), effect: stays("Widget/a")},
		{name: "version that was removed from a group: left to the cluster", repo: kindOf("networking.k8s.io/v1beta1", "Ingress", ""), effect: stays("Ingress/a")},
		{name: "group that was removed", repo: kindOf("extensions/v1beta1", "Deployment", ""), reason: ReasonUnsupportedKind, file: "deploy/a.yaml", line: 1, part: "removed"},
		{name: "a definition of a kind and its object in one commit", repo: one(crd, "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: a}\nspec: {p: "+canary+"}"),
			reason: ReasonClusterScopedKind, file: "deploy/a.yaml", line: 1, part: "CustomResourceDefinition/widgets.example.org"},
		{name: "Role that may escalate", repo: kindOf("rbac.authorization.k8s.io/v1", "Role", "rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]}]"), reason: ReasonUnsupportedKind, line: 1, part: "rights"},
		{name: "Role that may bind", repo: kindOf("rbac.authorization.k8s.io/v1", "Role", "rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [bind]}]"), reason: ReasonUnsupportedKind, line: 1, part: "rights"},
		{name: "Role that may impersonate", repo: kindOf("rbac.authorization.k8s.io/v1", "Role", "rules: [{apiGroups: [''], resources: [users], verbs: [impersonate]}]"), reason: ReasonUnsupportedKind, line: 1, part: "rights"},
		{name: "Role that may make tokens", repo: kindOf("rbac.authorization.k8s.io/v1", "Role", "rules: [{apiGroups: [''], resources: [serviceaccounts/token], verbs: [create]}]"), reason: ReasonUnsupportedKind, line: 1, part: "rights"},
		{name: "RoleBinding", repo: kindOf("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef: {kind: ClusterRole, name: cluster-admin}"), reason: ReasonUnsupportedKind, line: 1, part: "rights"},
		{name: "request for a token", repo: kindOf("authentication.k8s.io/v1", "TokenRequest", ""), reason: ReasonUnsupportedKind, line: 1, part: "action"},
		{name: "Secret that asks for a token", repo: kindOf("v1", "Secret", "type: kubernetes.io/service-account-token"), reason: ReasonUnsupportedKind, line: 1, part: "token"},
		{name: "Secret that lets machines join", repo: kindOf("v1", "Secret", "type: bootstrap.kubernetes.io/token"), reason: ReasonUnsupportedKind, line: 1},
		{name: "kind of a later version of ours", repo: kindOf("stele.dev/v9", "Anything", ""), reason: ReasonUnsupportedKind, line: 1, part: "Stele"},
	}
	for _, own := range []string{"ReleaseTrack", "ImmutableRelease", "DataProcessingRecord", "ProcessingRegister", "PersonalDataBreach", "AuditLedger"} {
		in = append(in, input{name: "object of ours: " + own, repo: kindOf("stele.dev/v1alpha1", own, "spec: {p: "+canary+"}"), reason: ReasonUnsupportedKind, file: "deploy/a.yaml", line: 1, part: "Stele"})
	}
	for _, k := range []string{"rbac.authorization.k8s.io/v1 ClusterRole", "rbac.authorization.k8s.io/v1 ClusterRoleBinding", "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration",
		"admissionregistration.k8s.io/v1 MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy", "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding",
		"admissionregistration.k8s.io/v1 MutatingAdmissionPolicy", "admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding", "apiextensions.k8s.io/v1 CustomResourceDefinition",
		"apiregistration.k8s.io/v1 APIService", "scheduling.k8s.io/v1 PriorityClass", "v1 Node", "v1 Namespace", "v1 PersistentVolume", "storage.k8s.io/v1 StorageClass",
		"certificates.k8s.io/v1 CertificateSigningRequest"} {
		apiVersion, kind, _ := strings.Cut(k, " ")
		in = append(in, input{name: "cluster-scoped kind " + kind, repo: kindOf(apiVersion, kind, ""), reason: ReasonClusterScopedKind, file: "deploy/a.yaml", line: 1, part: kind + "/a"})
	}
	return in
}

// names are odd names.
func names() []input {
	suffixed := func(limit int) func(t *testing.T, b *Bundle) {
		return func(t *testing.T, b *Bundle) {
			t.Helper()
			taken := map[string]bool{}
			for _, o := range mustStamp(t, b, firstRun).Objects {
				name := o.Object.GetKind() + "/" + o.Object.GetName()
				if !strings.HasSuffix(name, "-"+firstRun.Suffix()) || len(o.Object.GetName()) > limit || taken[name] {
					t.Errorf("%s (%d): too long, taken, or without what tells the runs apart", name, len(o.Object.GetName()))
				}
				taken[name] = true
			}
		}
	}
	pod := func(meta string) fstest.MapFS {
		return one("apiVersion: v1\nkind: Pod\nmetadata: {" + meta + "}\nspec: {containers: [{name: a, image: a}]}")
	}
	return []input{
		{name: "generateName", repo: pod("generateName: a-"), reason: ReasonGenerateName, file: "deploy/a.yaml", line: 1},
		{name: "generateName beside a name", repo: pod("name: a, generateName: a-"), reason: ReasonGenerateName, line: 1},
		{name: "no name", repo: pod("labels: {a: b}"), reason: ReasonInvalidObject, line: 1, part: "metadata.name"},
		{name: "empty name", repo: pod("name: ''"), reason: ReasonInvalidObject, line: 1, part: "metadata.name"},
		{name: "name that is a number", repo: pod("name: 42"), reason: ReasonInvalidObject, line: 1, part: "metadata.name"},
		{name: "name that is a path", repo: pod("name: ../" + strings.ToLower(canary)), reason: ReasonInvalidObject, line: 1, part: "metadata.name"},
		{name: "name of 254 characters", repo: one(configMap(strings.Repeat("a", 254))), reason: ReasonInvalidObject, line: 1, part: "metadata.name"},
		{name: "name of 253 characters keeps the suffix of the run", repo: one(configMap(strings.Repeat("a", 253))), effect: suffixed(253)},
		{name: "Deployment whose pods' names would lose the suffix", repo: one(strings.ReplaceAll(deployment("long"), "metadata: {name: long}", "metadata: {name: "+strings.Repeat("a", 63)+"}")),
			effect: func(t *testing.T, b *Bundle) {
				t.Helper()
				suffixed(limitSubdomain)(t, b)
				if name := stampedOf(t, mustStamp(t, b, firstRun), "Deployment/"+strings.Repeat("a", 63)).Object.GetName(); len(name) > limitDeployment {
					t.Errorf("%s is too long for the names of pods", name)
				}
			}},
		{name: "Pod whose name with the suffix is longer than a label value", repo: pod("name: " + strings.Repeat("a", 63)), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			if name := stampedOf(t, mustStamp(t, b, firstRun), "Pod/"+strings.Repeat("a", 63)).Object.GetName(); len(name) > limitLabel || !strings.HasSuffix(name, firstRun.Suffix()) {
				t.Errorf("it is named %s", name)
			}
		}},
		{name: "long names that differ only at the end", repo: one(configMap(strings.Repeat("a", 252)+"b"), configMap(strings.Repeat("a", 252)+"c")), effect: suffixed(253)},
		{name: "name made to be that of another one when shortened", repo: one(collidingConfigMaps()...), reason: ReasonNameCollision, file: "deploy/a.yaml", part: "shorter name"},
	}
}

// places are namespaces of others.
func places() []input {
	in := []input{
		{name: "namespace that is a number", repo: one(strings.Replace(configMap("a"), "{name: a}", "{name: a, namespace: 5}", 1)), reason: ReasonForeignNamespace, line: 1, kustomized: notCompared},
		{name: "namespace of another tenant, in a List", repo: one("apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a, namespace: bakery}\n"), reason: ReasonForeignNamespace, line: 4},
		{name: "namespace that is a secret", repo: one(strings.Replace(configMap("a"), "{name: a}", "{name: a, namespace: "+strings.ToLower(canary)+"}", 1)), reason: ReasonForeignNamespace, line: 1},
		{name: "the track's own namespace", repo: one(strings.Replace(configMap("a"), "{name: a}", "{name: a, namespace: shop}", 1)), effect: func(t *testing.T, b *Bundle) { t.Helper(); object(t, b, "ConfigMap/a") }},
		{name: "namespace that a kustomization sets", repo: files("deploy/kustomization.yaml", "namespace: kube-system\nresources: [a.yaml]", "deploy/a.yaml", configMap("a")), reason: ReasonForeignNamespace, file: "deploy/a.yaml", line: 1, kustomized: notCompared},
	}
	for what, ns := range map[string]string{"another tenant": "bakery", "the system": "kube-system", "the operator": "stele-system", "everybody": "default"} {
		in = append(in, input{name: "namespace of " + what, repo: one(strings.Replace(configMap("a"), "{name: a}", "{name: a, namespace: "+ns+"}", 1)),
			reason: ReasonForeignNamespace, file: "deploy/a.yaml", line: 1, part: "ConfigMap/a"})
	}
	return in
}

// forgeries say what only the API server and the operator may say.
func forgeries() []input {
	var in []input
	for what, meta := range map[string]string{
		"release label": "labels: {stele.dev/release: other-1}", "run label": "labels: {stele.dev/run: '1'}", "track label": "labels: {stele.dev/track: other}",
		"adopt annotation": "annotations: {stele.dev/adopt: shop}", "digest annotation": "annotations: {stele.dev/digest: " + canary + "}",
		"owner": "ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: x}]", "finalizer": "finalizers: [example/x]",
		"field managers": "managedFields: [{manager: " + canary + "}]", "resourceVersion": "resourceVersion: '1'", "uid": "uid: x",
		"generation": "generation: 3", "time of deletion": "deletionTimestamp: 2026-01-01T00:00:00Z", "time of creation": "creationTimestamp: 2026-01-01T00:00:00Z",
	} {
		in = append(in, input{name: "forged " + what, repo: one(strings.Replace(deployment("a"), "metadata: {name: a}", "metadata: {name: a, "+meta+"}", 1)),
			reason: ReasonForgedMetadata, file: "deploy/a.yaml", line: 1, part: "Deployment/a: metadata."})
	}
	return append(in,
		input{name: "forged status", repo: one(deployment("a") + "status: {replicas: 3, p: " + canary + "}"), reason: ReasonForgedMetadata, file: "deploy/a.yaml", line: 1, part: "status"},
		input{name: "forged release label on pods", repo: one(strings.Replace(deployment("a"), "labels: {app: a}", "labels: {app: a, stele.dev/release: other-1}", 1)), reason: ReasonForgedMetadata, line: 1, part: "spec.template.metadata.labels"},
		input{name: "forged label on claims", repo: one(statefulSet("a") + "  volumeClaimTemplates: [{metadata: {name: d, labels: {stele.dev/run: '1'}}}]"), reason: ReasonForgedMetadata, line: 1, part: "volumeClaimTemplates"},
		input{name: "class that means nothing", repo: one(annotated(deployment("a"), "stele.dev/class", canary)), reason: ReasonInvalidAnnotation, line: 1, part: "use one of"},
	)
}

// sizes are objects that the cluster would not take.
func sizes() []input {
	text := func(kib int) string { return strings.Repeat("x", kib<<10) }
	four := fstest.MapFS{}
	for i := range 5 {
		four[fmt.Sprintf("deploy/%d.yaml", i)] = &fstest.MapFile{Data: []byte(configMap(fmt.Sprint("c", i), "k: "+text(900)))}
	}
	return []input{
		{name: "object of 1.6 MiB, more than etcd takes", repo: one(configMap("a", "k: "+text(1638))), reason: ReasonLimitExceeded, file: "deploy/a.yaml", line: 1, part: "1024 KiB"},
		{name: "object of 3.1 MiB, more than the API server takes", repo: one(configMap("a", "k: "+text(3175))), reason: ReasonLimitExceeded, file: "deploy/a.yaml", part: "2 MiB"},
		{name: "annotation of 900 KiB", repo: one(annotated(configMap("a"), "note", text(900))), reason: ReasonLimitExceeded, file: "deploy/a.yaml", line: 1, part: "metadata.annotations"},
		{name: "annotations that are too much together", repo: one(annotated(configMap("a"), "note", text(200)+", other: "+text(60))), reason: ReasonLimitExceeded, line: 1, part: "metadata.annotations"},
		{name: "annotation of 900 KiB on pods", repo: one(strings.Replace(deployment("a"), "metadata: {labels", "metadata: {annotations: {note: "+text(900)+"}, labels", 1)), reason: ReasonLimitExceeded, line: 1, part: "spec.template.metadata.annotations"},
		{name: "annotation of 200 KiB", repo: one(annotated(configMap("a"), "note", text(200))), effect: func(t *testing.T, b *Bundle) { t.Helper(); object(t, b, "ConfigMap/a") }},
		{name: "objects of more than 4 MiB together", repo: four, reason: ReasonLimitExceeded, part: "4 MiB"},
	}
}

// values are secrets and personal data. What is accepted is in the objects, and nowhere else that people see.
func values() []input {
	secret := func(body string) fstest.MapFS {
		return one("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n" + body)
	}
	quiet := func(t *testing.T, b *Bundle) {
		t.Helper()
		var seen strings.Builder
		fmt.Fprint(&seen, b.External(), b.Images, b.Ignored, b.Digest)
		for _, o := range b.Objects {
			fmt.Fprint(&seen, o.Digest, o.Content, o.Object.GetName(), o.Class)
		}
		for _, o := range mustStamp(t, b, firstRun).Objects {
			if strings.Contains(fmt.Sprint(o.Object.GetName(), o.Object.GetAnnotations()), canary) && o.Object.GetKind() != "ConfigMap" {
				t.Errorf("in the metadata of %s", o.Object.GetName())
			}
		}
		if strings.Contains(seen.String(), canary) {
			t.Errorf("beside the objects: %s", seen.String())
		}
	}
	return []input{
		{name: "Secret in plain text", repo: secret("stringData: {p: " + canary + "}"), effect: quiet},
		{name: "Secret in base64", repo: secret("data: {p: " + base64.StdEncoding.EncodeToString([]byte(canary)) + "}"), effect: quiet},
		{name: "Secret whose base64 is broken", repo: secret("data: {p: '" + canary + "%'}"), reason: ReasonInvalidObject, file: "deploy/a.yaml", line: 1, part: "data.p"},
		{name: "Secret with a number", repo: secret("stringData: {p: 5, q: " + canary + "}"), reason: ReasonInvalidObject, line: 1, part: "quotes"},
		{name: "Secret in broken YAML", repo: secret("stringData:\n  p: [" + canary + "\n"), reason: ReasonInvalidYAML, file: "deploy/a.yaml"},
		{name: "what kubectl has left of a Secret", repo: one(annotated(configMap("a"), lastApplied, canary)), effect: quiet},
		{name: "personal data in a label", repo: one(strings.Replace(configMap("a"), "{name: a}", "{name: a, labels: {owner: "+canary+"}}", 1)), effect: quiet},
		{name: "personal data in a label that is refused", repo: one(strings.Replace(configMap("a"), "{name: a}", "{name: a, labels: {stele.dev/owner: "+canary+"}}", 1)), reason: ReasonForgedMetadata, line: 1},
		{name: "personal data in a file name", repo: files("deploy/"+canary+".yaml", configMap("a")), effect: quiet},
	}
}
