// Package binaries builds the programs of the control plane from Go modules, once per user and version, and finds them
// again. It knows nothing about clusters.
package binaries

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
)

// The programs of a cluster.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubectl           = "kubectl"
	Kwok              = "kwok"
)

// All are the programs of a cluster, in the order they are built in: the longest, kube-apiserver, compiles most of what
// the others share.
func All() []string {
	return []string{Etcd, APIServer, ControllerManager, Scheduler, Kubectl, Kwok}
}

// Envtest are the programs that controller-runtime's envtest looks for in KUBEBUILDER_ASSETS.
func Envtest() []string { return []string{Etcd, APIServer, Kubectl} }

// packages maps each program to the package it is built from.
var packages = map[string]string{
	Etcd:              etcdModule,
	APIServer:         kubernetesModule + "/cmd/kube-apiserver",
	ControllerManager: kubernetesModule + "/cmd/kube-controller-manager",
	Scheduler:         kubernetesModule + "/cmd/kube-scheduler",
	Kubectl:           kubernetesModule + "/cmd/kubectl",
	Kwok:              kwokModule + "/cmd/kwok",
}

const (
	etcdModule       = "go.etcd.io/etcd/server/v3"
	kubernetesModule = "k8s.io/kubernetes"
	kwokModule       = "sigs.k8s.io/kwok"
)

// recipe is part of the key: raise it when the way of building changes, so that old binaries are not taken for new.
const recipe = "1"

// Source is the module that pins every version: its go.mod and go.sum, embedded into the command. Nothing else of the
// checkout is needed to build.
type Source struct {
	GoMod, GoSum []byte
	versions     map[string]string
}

// NewSource reads the pinned versions.
func NewSource(goMod, goSum []byte) (*Source, error) {
	source := &Source{GoMod: goMod, GoSum: goSum, versions: map[string]string{}}
	for _, module := range []string{etcdModule, kubernetesModule, kwokModule} {
		line := regexp.MustCompile(`(?m)^(?:require)?\s+` + regexp.QuoteMeta(module) + `\s+(v\S+)`)
		match := line.FindSubmatch(goMod)
		if match == nil {
			return nil, fmt.Errorf("go.mod does not require %s", module)
		}
		source.versions[module] = string(match[1])
	}
	if len(goSum) == 0 {
		return nil, errors.New("go.sum is empty")
	}
	return source, nil
}

// Key names the folder of these binaries: the versions for people, then a digest over everything else that decides
// their content (all dependencies, compiler, system, recipe).
func (s *Source) Key() string {
	sum := sha256.New()
	for _, part := range []string{recipe, runtime.Version(), runtime.GOOS, runtime.GOARCH, string(s.GoSum)} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	const digits = 8
	return fmt.Sprintf("kubernetes-%s_etcd-%s_kwok-%s_%s",
		s.versions[kubernetesModule], s.versions[etcdModule], s.versions[kwokModule],
		hex.EncodeToString(sum.Sum(nil))[:digits])
}

// KubernetesVersion is the pinned version, such as "v1.36.3".
func (s *Source) KubernetesVersion() string { return s.versions[kubernetesModule] }

// ldflags strip the binaries and tell Kubernetes its version, which its own build scripts otherwise would: without it
// discovery and "kubectl version" answer v0.0.0.
func (s *Source) ldflags() string {
	version := s.KubernetesVersion()
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	flags := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, setting := range []string{
			"gitVersion=" + version, "gitMajor=" + parts[0], "gitMinor=" + parts[1],
			// The module carries neither the commit nor a build time.
			"gitCommit=unknown", "gitTreeState=clean",
		} {
			flags = append(flags, "-X", pkg+"."+setting)
		}
	}
	flags = append(flags, "-X", kwokModule+"/pkg/consts.Version="+strings.TrimPrefix(s.versions[kwokModule], "v"))
	return strings.Join(flags, " ")
}
