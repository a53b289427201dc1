package render

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// bigRelease has as many objects as a release may have: Deployments of a usual size, each with its config.
func bigRelease(n int) fstest.MapFS {
	repo := fstest.MapFS{}
	for i := range n / 4 {
		name := fmt.Sprintf("app-%d", i)
		d := deployment(name,
			"serviceAccountName: app",
			"initContainers: [{name: i, image: 'registry.example/shop/init:1.2.3', envFrom: [{secretRef: {name: "+name+"}}]}]",
			"volumes: [{name: c, configMap: {name: "+name+"}}, {name: s, secret: {secretName: "+name+"}}]",
			"affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {app: "+name+"}}}]}}",
			"terminationGracePeriodSeconds: 30", "securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}")
		repo["deploy/"+name+".yaml"] = &fstest.MapFile{Data: []byte(strings.Join([]string{d, service(name, "app: "+name),
			configMap(name, `a: "1"`, `b: "2"`), "apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + "}\nstringData: {p: secret}"}, "\n---\n"))}
	}
	return repo
}

func BenchmarkBuildPlain(b *testing.B) {
	for _, n := range []int{4, 500} {
		repo := bigRelease(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustBuild(b, repo)
			}
		})
	}
}

func BenchmarkBuildKustomize(b *testing.B) {
	for _, n := range []int{4, 500} {
		repo := bigRelease(n)
		var list []string
		for name := range repo {
			list = append(list, strings.TrimPrefix(name, "deploy/"))
		}
		repo["deploy/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [" + strings.Join(list, ", ") + "]")}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustBuild(b, repo)
			}
		})
	}
}

func BenchmarkStamp(b *testing.B) {
	for _, n := range []int{4, 500} {
		bundle := mustBuild(b, bigRelease(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustStamp(b, bundle, laterRun)
			}
		})
	}
}

func BenchmarkEncodeDecode(b *testing.B) {
	bundle := mustBuild(b, bigRelease(500))
	data, err := bundle.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClosure(b *testing.B) {
	repo := bigRelease(500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Closure(repo, "deploy"); err != nil {
			b.Fatal(err)
		}
	}
}
