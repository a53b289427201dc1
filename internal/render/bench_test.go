package render

import (
	"fmt"
	"path"
	"slices"
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

// overlaid makes a base of a plain release, and an overlay that does to it what overlays do.
func overlaid(repo fstest.MapFS) fstest.MapFS {
	out, list := fstest.MapFS{}, []string{}
	for name, f := range repo {
		out["base/"+path.Base(name)] = f
		list = append(list, path.Base(name))
	}
	slices.Sort(list)
	out["base/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [" + strings.Join(list, ", ") + "]")}
	out["deploy/kustomization.yaml"] = &fstest.MapFile{Data: []byte(`resources: [../base]
labels: [{pairs: {env: prod}}]
images: [{name: app, newTag: "2"}]
patches:
- target: {kind: Deployment}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: any}
    spec: {template: {spec: {containers: [{name: main, resources: {requests: {cpu: 10m}}}]}}}
`)}
	return out
}

// BenchmarkThousandObjects builds 1,000 objects per operation, as two releases of the largest size: plain, with kustomize, and with
// kustomize and a cache that has them; one after the other, and on all processors at once. It shows what kustomize costs, what the
// cache saves, and whether independent tracks hold each other up.
func BenchmarkThousandObjects(b *testing.B) {
	plain := bigRelease(maxObjects)
	overlay := overlaid(plain)
	for _, bc := range []struct {
		name string
		repo fstest.MapFS
		opt  Options
	}{{"plain", plain, shop}, {"kustomize", overlay, shop}, {"cached", overlay, cached(&Cache{}, "shop")}} {
		thousand := func() {
			for range 2 {
				if bundle, err := Build(bc.repo, "deploy", bc.opt); err != nil || len(bundle.Objects) != maxObjects {
					b.Fatal(err)
				}
			}
		}
		thousand() // the schema is parsed, and the cache is filled
		b.Run(bc.name+"/sequential", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				thousand()
			}
		})
		b.Run(bc.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					thousand()
				}
			})
		})
	}
}

// BenchmarkHundredTracks builds one folder of four objects for a hundred namespaces, as when they follow one path of one repository.
func BenchmarkHundredTracks(b *testing.B) {
	plain := bigRelease(4)
	for name, repo := range map[string]fstest.MapFS{"plain": plain, "kustomize": overlaid(plain)} {
		for _, cache := range []string{"without cache", "with cache"} {
			b.Run(name+"/"+cache, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					var opt Options
					if cache == "with cache" {
						opt.Cache = &Cache{} // empty: the first track fills it
					}
					for i := range 100 {
						opt.Namespace, opt.Track = fmt.Sprint("ns-", i), "shop"
						if _, err := Build(repo, "deploy", opt); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
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
