// Command krew builds the plugin of kubectl for every platform, packs it with the license, and writes the manifest that krew installs it by.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// platforms that the plugin is built for.
var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"}}

type platform struct{ os, arch string }

func (p platform) binary() string {
	if p.os == "windows" {
		return "kubectl-stele.exe"
	}
	return "kubectl-stele"
}

func (p platform) file() string { return fmt.Sprintf("kubectl-stele_%s_%s.tar.gz", p.os, p.arch) }

func main() {
	version := flag.String("version", "", "version of the plugin, e.g. v1.2.3")
	uri := flag.String("uri", "", "address that the archives are published under; default: that of the release on GitHub")
	out := flag.String("out", "dist/plugin", "folder for archives and manifest")
	flag.Parse()
	if err := run(context.Background(), *version, *uri, *out); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "krew:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, version, uri, out string) error {
	if version == "" {
		return fmt.Errorf("--version: say which version this is")
	}
	if uri == "" {
		uri = "https://github.com/stele-dev/stele/releases/download/" + version
	}
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // for everybody
		return err
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return err
	}
	helper, err := os.ReadFile("cmd/kubectl-stele/kubectl_complete-stele")
	if err != nil {
		return err
	}
	m := manifest{Version: krewVersion(version), URI: uri}
	for _, p := range platforms {
		program, err := build(ctx, p, version)
		if err != nil {
			return fmt.Errorf("build for %s/%s: %w", p.os, p.arch, err)
		}
		packed, err := pack([]entry{{p.binary(), program, 0o755}, {"LICENSE", license, 0o644}, {"kubectl_complete-stele", helper, 0o755}})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, p.file()), packed, 0o644); err != nil { //nolint:gosec // for everybody
			return err
		}
		m.add(p, packed)
	}
	text, err := os.ReadFile("hack/krew/stele.yaml")
	if err != nil {
		return err
	}
	filled, err := m.fill(string(text))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "stele.yaml"), filled, 0o644); err != nil { //nolint:gosec // for everybody
		return err
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), m.sums(), 0o644) //nolint:gosec // for everybody
}

// build needs no C compiler, so that one machine builds for all.
func build(ctx context.Context, p platform, version string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "kubectl-stele-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, p.binary())
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", file, "./cmd/kubectl-stele") //nolint:gosec // our own
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// semantic versions are all that krew takes, with a v before them.
var semantic = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// krewVersion makes one of what git describe says of a commit between releases.
func krewVersion(version string) string {
	if v := "v" + strings.TrimPrefix(version, "v"); semantic.MatchString(v) {
		return v
	}
	return "v0.0.0-" + regexp.MustCompile(`[^0-9A-Za-z.-]`).ReplaceAllString(version, "-")
}
