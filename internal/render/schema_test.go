package render

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// everyFeature uses most of kustomize: a base outside of the folder, a component, generators, both kinds of patches, replacements,
// images, prefixes, labels and a kind that kustomize has no schema of.
func everyFeature(n int) fstest.MapFS {
	name := fmt.Sprintf("web-%d", n)
	return files(
		"deploy/kustomization.yaml", `
resources: [../base]
components: [../component]
namePrefix: pre-
nameSuffix: -suf
commonAnnotations: {note: "`+name+`"}
labels: [{pairs: {team: shop}, includeSelectors: true, includeTemplates: true}]
images: [{name: app, newName: registry.example/app, newTag: "2"}]
replicas: [{name: `+name+`, count: 3}]
configMapGenerator: [{name: cfg, literals: [a=b]}]
secretGenerator: [{name: sec, literals: [a=b]}]
replacements: [{source: {kind: ConfigMap, name: plain, fieldPath: data.k}, targets: [{select: {kind: Deployment}, fieldPaths: [metadata.annotations.copied], options: {create: true}}]}]
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: `+name+`}
    spec: {template: {spec: {containers: [{name: main, env: [{name: A, value: b}]}]}}}
- target: {kind: Service}
  patch: |
    - {op: replace, path: /spec/ports/0/port, value: 81}
`,
		"component/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [c.yaml]\n",
		"component/c.yaml", "apiVersion: example.org/v1\nkind: Custom\nmetadata: {name: c}\nspec: {size: 1}\n",
		"base/kustomization.yaml", "resources: [all.yaml]\n",
		"base/all.yaml", strings.Join([]string{deployment(name, "volumes: [{name: c, configMap: {name: cfg}}, {name: s, secret: {secretName: sec}}]"),
			service(name, "app: "+name), configMap("plain", "k: v")}, "\n---\n"))
}

// TestBuildsRunSideBySide: builds of independent tracks share nothing that one of them writes, but for the schema, which is changed
// alone. Under the race detector this is what allows the shared lock.
func TestBuildsRunSideBySide(t *testing.T) {
	t.Parallel()
	withSchema := func(n int) fstest.MapFS {
		repo := everyFeature(n)
		k := repo["deploy/kustomization.yaml"]
		k.Data = append(k.Data, "openapi: {path: schema.json}\n"...)
		repo["deploy/schema.json"] = &fstest.MapFile{Data: []byte(`{"definitions": {"org.example.Custom": {"type": "object",
			"x-kubernetes-group-version-kind": [{"group": "example.org", "kind": "Custom", "version": "v1"}]}}}`)}
		return repo
	}
	var want [2]string
	for n := range want {
		want[n] = mustBuild(t, everyFeature(n)).Digest
		if got := mustBuild(t, withSchema(n)).Digest; got != want[n] {
			t.Fatalf("a schema of no consequence makes other objects: %s, want %s", got, want[n])
		}
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			repo := everyFeature(i % 2)
			if i%10 == 7 {
				repo = withSchema(i % 2)
			}
			if b, err := Build(repo, "deploy", shop); err != nil || b.Digest != want[i%2] {
				t.Errorf("build %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// TestBuildsDoNotWaitForEachOther: a build under way does not hold up another one.
func TestBuildsDoNotWaitForEachOther(t *testing.T) {
	release := schemaFor(false)
	defer release()
	mustBuild(t, everyFeature(1))
}

// TestPlainNeedsNoSchema: a schema that cannot be parsed is planted, so that whoever looks at it panics. A plain folder does not;
// a kustomize build shows that the trap works.
func TestPlainNeedsNoSchema(t *testing.T) {
	kustomizeLock.Lock()
	defer kustomizeLock.Unlock()
	openapi.ResetOpenAPI()
	defer func() {
		openapi.ResetOpenAPI()
		_ = openapi.Schema()
	}()
	trap := func() (caught any) {
		defer func() { caught = recover() }()
		if err := openapi.SetSchema(nil, []byte("{not a schema"), true); err != nil {
			t.Fatal(err)
		}
		mustBuild(t, bigRelease(20))
		mustBuild(t, one("apiVersion: example.org/v1\nkind: Custom\nmetadata: {name: c}\n"))
		return nil
	}
	if caught := trap(); caught != nil {
		t.Errorf("a plain folder has had the schema parsed: %v", caught)
	}
	defer func() {
		if recover() == nil {
			t.Error("the trap does not work")
		}
	}()
	_ = openapi.Schema()
}

// TestSchemaIsParsedOnce: a small build costs far less than the schema.
func TestSchemaIsParsedOnce(t *testing.T) {
	parse := testing.AllocsPerRun(1, func() {
		kustomizeLock.Lock()
		defer kustomizeLock.Unlock()
		openapi.ResetOpenAPI()
		_ = openapi.Schema()
	})
	build := testing.AllocsPerRun(3, func() { mustBuild(t, everyFeature(1)) })
	if build > parse/3 {
		t.Errorf("a build makes %.0f allocations, the schema %.0f", build, parse)
	}
	t.Logf("a build makes %.0f allocations, the schema %.0f", build, parse)
}

// TestLargeBuildsTakeTurns: what several builds parse at once is bounded.
func TestLargeBuildsTakeTurns(t *testing.T) {
	t.Parallel()
	r := newRoom(10)
	first := r.take(100) // more than there is: alone
	done := make(chan struct{})
	go func() {
		defer r.take(1)()
		close(done)
	}()
	select {
	case <-done:
		t.Error("a build runs beside one that needs all the room")
	default:
	}
	first()
	<-done
	a, b := r.take(5), r.take(5)
	a()
	b()
}
