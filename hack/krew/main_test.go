package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The manifest is what krew reads, and its sums are those of the archives.
func TestManifest(t *testing.T) {
	text, err := os.ReadFile("stele.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := manifest{Version: krewVersion("v1.2.3"), URI: "https://example.eu/v1.2.3"}
	sums := map[string]string{}
	for _, p := range platforms {
		data := []byte(p.os + p.arch)
		m.add(p, data)
		sum := sha256.Sum256(data)
		sums[m.URI+"/"+p.file()] = hex.EncodeToString(sum[:])
	}
	filled, err := m.fill(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var plugin struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
		Spec             struct {
			Version, ShortDescription string
			Platforms                 []struct {
				Selector         struct{ MatchLabels map[string]string }
				URI, SHA256, Bin string
				Files            []struct{ From, To string }
			}
		}
	}
	if err := yaml.UnmarshalStrict(filled, &plugin); err != nil && !strings.Contains(err.Error(), "unknown field") {
		t.Fatalf("%v\n%s", err, filled)
	}
	if plugin.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || plugin.Kind != "Plugin" || plugin.Metadata.Name != "stele" || plugin.Spec.Version != "v1.2.3" ||
		len(plugin.Spec.ShortDescription) > 50 || len(plugin.Spec.Platforms) != 6 {
		t.Errorf("%+v", plugin)
	}
	for _, p := range plugin.Spec.Platforms {
		if sums[p.URI] != p.SHA256 || len(p.SHA256) != 64 || (p.Selector.MatchLabels["os"] == "windows") != strings.HasSuffix(p.Bin, ".exe") || len(p.Files) != 3 {
			t.Errorf("%+v", p)
		}
	}
	if got := strings.Count(string(m.sums()), "\n"); got != len(platforms) {
		t.Errorf("%d sums", got)
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]string{"v1.2.3": "v1.2.3", "1.2.3": "v1.2.3", "v1.2.3-rc.1": "v1.2.3-rc.1", "dev": "v0.0.0-dev", "v1.2.3-4-gabc-dirty": "v1.2.3-4-gabc-dirty", "abc123": "v0.0.0-abc123"} {
		if got := krewVersion(version); got != want || !semantic.MatchString(got) {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

// The same files make the same archive, with everything in it.
func TestPack(t *testing.T) {
	entries := []entry{{"kubectl-stele", []byte("program"), 0o755}, {"LICENSE", []byte("license"), 0o644}}
	a, errA := pack(entries)
	b, errB := pack(entries)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Fatalf("%v, %v; two archives differ: %v", errA, errB, !bytes.Equal(a, b))
	}
	zipped, err := gzip.NewReader(bytes.NewReader(a))
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(zipped)
	for _, e := range entries {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil || h.Name != e.name || h.Mode != e.mode || !bytes.Equal(data, e.data) {
			t.Errorf("%v: %+v, %s", err, h, data)
		}
	}
}
