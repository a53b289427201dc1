//go:build unix

package binaries

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const goMod = `module x

require (
	go.etcd.io/etcd/server/v3 v3.7.3
	k8s.io/kubernetes v1.36.3
	sigs.k8s.io/kwok v0.8.0 // indirect
)
`

func newSource(t *testing.T, goMod, goSum string) *Source {
	t.Helper()
	source, err := NewSource([]byte(goMod), []byte(goSum))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestKey(t *testing.T) {
	key := newSource(t, goMod, "sums").Key()
	if !strings.HasPrefix(key, "kubernetes-v1.36.3_etcd-v3.7.3_kwok-v0.8.0_") {
		t.Errorf("key is %q", key)
	}
	if other := newSource(t, goMod, "other sums").Key(); other == key {
		t.Error("other dependencies have the same key")
	}
	if other := newSource(t, "// A comment.\n"+goMod, "sums").Key(); other != key {
		t.Error("a comment in go.mod changes the key")
	}
}

func TestSourceWithoutAModule(t *testing.T) {
	if _, err := NewSource([]byte("module x\n"), []byte("sums")); err == nil {
		t.Error("no error")
	}
}

func TestLDFlagsTellTheVersion(t *testing.T) {
	flags := newSource(t, goMod, "sums").ldflags()
	for _, want := range []string{"-s -w", "component-base/version.gitVersion=v1.36.3", ".gitMajor=1", ".gitMinor=36"} {
		if !strings.Contains(flags, want) {
			t.Errorf("%q is not in %q", want, flags)
		}
	}
}

func TestEveryProgramHasAPackage(t *testing.T) {
	for _, name := range All() {
		if packages[name] == "" {
			t.Errorf("%s has no package", name)
		}
	}
}

func TestBuildEnv(t *testing.T) {
	env := buildEnv([]string{"HOME=/h", "GOFLAGS=-mod=vendor", "GOOS=plan9", "CGO_ENABLED=1"})
	if !slices.Contains(env, "HOME=/h") || !slices.Contains(env, "GOFLAGS=") || !slices.Contains(env, "CGO_ENABLED=0") {
		t.Errorf("environment: %v", env)
	}
	if slices.Contains(env, "GOOS=plan9") {
		t.Error("the caller's GOOS got through")
	}
}

// TestEnvtestDir covers where programs are taken from; nothing is built, since none is missing.
func TestEnvtestDir(t *testing.T) {
	source := newSource(t, goMod, "sums")
	cases := map[string]struct {
		assets []string
		own    bool
	}{
		"all in KUBEBUILDER_ASSETS":  {assets: Envtest()},
		"some in KUBEBUILDER_ASSETS": {assets: []string{Etcd}, own: true},
		"none":                       {own: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assets := t.TempDir()
			store := &Store{Root: t.TempDir(), Assets: assets, Source: source, Logf: t.Logf}
			addPrograms(t, assets, tc.assets)
			want := assets
			if tc.own {
				want = store.Dir()
				addPrograms(t, want, Envtest())
			}
			got, err := store.EnvtestDir(t.Context())
			if err != nil || got != want {
				t.Errorf("EnvtestDir = %q, %v, want %q", got, err, want)
			}
		})
	}
}

func addPrograms(t *testing.T, dir string, names []string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
