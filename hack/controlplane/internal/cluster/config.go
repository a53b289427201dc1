//go:build unix

package cluster

import (
	"net"
	"os"
	"time"

	"github.com/stele-dev/stele/hack/controlplane/internal/binaries"
	"github.com/stele-dev/stele/hack/controlplane/internal/kube"
	"github.com/stele-dev/stele/hack/controlplane/internal/kubeconfig"
	"github.com/stele-dev/stele/hack/controlplane/internal/pki"
	"github.com/stele-dev/stele/hack/controlplane/internal/ports"
	"github.com/stele-dev/stele/hack/controlplane/internal/stages"
)

// Files in the folder "conf".
const (
	caCertFile         = "ca.crt"
	caKeyFile          = "ca.key"
	serverCertFile     = "server.crt"
	serverKeyFile      = "server.key"
	adminCertFile      = "admin.crt"
	adminKeyFile       = "admin.key"
	tokenKeyFile       = "service-account.key"
	tokenPublicKeyFile = "service-account.pub"
	schedulerFile      = "kube-scheduler.yaml"
	stagesFile         = "kwok.yaml"
)

func kubeconfigFile(component string) string { return component + ".kubeconfig" }

// administrators is the group that the API server asks no questions.
const administrators = "system:masters"

// kubeletUser and kubeletGroup are who kwok is. It plays all nodes of the cluster at once, so it is none of them by name.
const (
	kubeletUser  = "system:node:kwok"
	kubeletGroup = "system:nodes"
)

// writeConfig fills the folder with all that the processes read.
func writeConfig(l layout, name, server string, now time.Time) error {
	const private = 0o700
	for _, folder := range l.folders() {
		if err := os.MkdirAll(folder, private); err != nil {
			return err
		}
	}
	rules, err := stages.Render()
	if err != nil {
		return err
	}
	authority, err := pki.NewAuthority("stele-controlplane-"+name, now)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		l.conf(schedulerFile): schedulerConfig(l),
		l.conf(stagesFile):    rules,
		l.conf(caCertFile):    authority.Cert,
		l.conf(caKeyFile):     authority.Key,
	}
	if err := addServerKeys(files, l, authority); err != nil {
		return err
	}
	if err := addUsers(files, l, name, server, authority); err != nil {
		return err
	}
	for path, content := range files {
		if err := writeFile(path, content); err != nil {
			return err
		}
	}
	return nil
}

// addServerKeys makes the serving certificate, which the three Kubernetes processes share, and the token keys.
func addServerKeys(files map[string][]byte, l layout, authority *pki.Authority) error {
	hosts := []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	addresses := []net.IP{net.ParseIP(ports.Host), net.ParseIP(serviceIP)}
	serving, err := authority.Server("kube-apiserver", hosts, addresses)
	if err != nil {
		return err
	}
	private, public, err := pki.ServiceAccountKeys()
	if err != nil {
		return err
	}
	files[l.conf(serverCertFile)], files[l.conf(serverKeyFile)] = serving.Cert, serving.Key
	files[l.conf(tokenKeyFile)], files[l.conf(tokenPublicKeyFile)] = private, public
	return nil
}

// addUsers makes a client certificate and a kubeconfig for the administrator and for each process.
func addUsers(files map[string][]byte, l layout, name, server string, authority *pki.Authority) error {
	users := []struct {
		user, kubeconfig string
		groups           []string
	}{
		{"stele-admin", l.kubeconfig(), []string{administrators}},
		{"system:kube-controller-manager", l.conf(kubeconfigFile(binaries.ControllerManager)), nil},
		{"system:kube-scheduler", l.conf(kubeconfigFile(binaries.Scheduler)), nil},
		// To the API server and to admission policies kwok is what it plays, a node: it is allowed what a kubelet is allowed.
		{kubeletUser, l.conf(kubeconfigFile(binaries.Kwok)), []string{kubeletGroup}},
	}
	for _, u := range users {
		pair, err := authority.Client(u.user, u.groups...)
		if err != nil {
			return err
		}
		files[u.kubeconfig] = kubeconfig.Render(kubeconfig.Config{
			Cluster: name, Server: server, CA: authority.Cert, ClientCert: pair.Cert, ClientKey: pair.Key,
		})
		if u.kubeconfig == l.kubeconfig() {
			files[l.conf(adminCertFile)], files[l.conf(adminKeyFile)] = pair.Cert, pair.Key
		}
	}
	return nil
}

// adminClient talks to server as the administrator. The other two processes accept the same certificates.
func adminClient(l layout, server string) (*kube.Client, error) {
	var pems [3][]byte
	for i, file := range []string{caCertFile, adminCertFile, adminKeyFile} {
		content, err := os.ReadFile(l.conf(file))
		if err != nil {
			return nil, err
		}
		pems[i] = content
	}
	return kube.New(server, pems[0], pems[1], pems[2])
}
