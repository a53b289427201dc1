//go:build unix

package cluster

import (
	"fmt"
	"net"
	"strconv"

	"github.com/stele-dev/stele/hack/controlplane/internal/binaries"
	"github.com/stele-dev/stele/hack/controlplane/internal/ports"
)

// Fake addresses come from the range for benchmarks (RFC 2544): they belong to nobody, in case a client tries them.
const (
	serviceCIDR = "198.19.0.0/16"
	serviceIP   = "198.19.0.1" // of the service "kubernetes": the first of the range
	podCIDR     = "198.18.%d.0/20"
	// podRange is how far apart the third bytes of two nodes' pod ranges are, which leaves room for maxNodes.
	podRange = 16
	maxNodes = 16
)

// portSet are the ports of one cluster.
type portSet struct{ etcd, etcdPeer, apiServer, controllerManager, scheduler int }

func choosePorts() (portSet, error) {
	const count = 5
	free, err := ports.Free(count)
	if err != nil {
		return portSet{}, err
	}
	return portSet{
		etcd: free[0], etcdPeer: free[1], apiServer: free[2], controllerManager: free[3], scheduler: free[4],
	}, nil
}

func address(scheme string, port int) string {
	return scheme + "://" + net.JoinHostPort(ports.Host, strconv.Itoa(port))
}

// etcdArgs: data is not synced to disk, since a test cluster never outlives a crash of the machine.
func etcdArgs(l layout, p portSet) []string {
	client, peer := address("http", p.etcd), address("http", p.etcdPeer)
	return []string{
		"--name=stele",
		"--data-dir=" + l.etcdData(),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=stele=" + peer,
		"--unsafe-no-fsync",
		// A lone member has nobody to hear from: without these it waits the better part of a second for its own election.
		"--heartbeat-interval=20", "--election-timeout=200",
		"--log-level=warn",
	}
}

func apiServerArgs(l layout, p portSet) []string {
	return []string{
		"--etcd-servers=" + address("http", p.etcd),
		"--bind-address=" + ports.Host, "--advertise-address=" + ports.Host,
		"--secure-port=" + strconv.Itoa(p.apiServer),
		"--cert-dir=" + l.conf(""),
		"--tls-cert-file=" + l.conf(serverCertFile), "--tls-private-key-file=" + l.conf(serverKeyFile),
		"--client-ca-file=" + l.conf(caCertFile),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + l.conf(tokenPublicKeyFile),
		"--service-account-signing-key-file=" + l.conf(tokenKeyFile),
		"--authorization-mode=RBAC,Node",
		"--service-cluster-ip-range=" + serviceCIDR,
		"--endpoint-reconciler-type=none",
		"--allow-privileged=true",
		"--profiling=false",
		// Twice the defaults: several controllers and a benchmark share this one server.
		"--max-requests-inflight=800", "--max-mutating-requests-inflight=400",
	}
}

func controllerManagerArgs(l layout, p portSet) []string {
	return []string{
		"--kubeconfig=" + l.conf(kubeconfigFile(binaries.ControllerManager)),
		"--bind-address=" + ports.Host, "--secure-port=" + strconv.Itoa(p.controllerManager),
		"--tls-cert-file=" + l.conf(serverCertFile), "--tls-private-key-file=" + l.conf(serverKeyFile),
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + l.conf(tokenKeyFile),
		"--root-ca-file=" + l.conf(caCertFile),
		"--cluster-signing-cert-file=" + l.conf(caCertFile), "--cluster-signing-key-file=" + l.conf(caKeyFile),
		// Under load the heartbeats of fake nodes come late; their pods must not lose Ready for it.
		"--node-monitor-grace-period=24h",
		"--kube-api-qps=500", "--kube-api-burst=1000",
		"--concurrent-deployment-syncs=20",
		"--concurrent-replicaset-syncs=20",
		"--concurrent-statefulset-syncs=20",
		"--concurrent-endpoint-syncs=20",
		"--concurrent-service-endpoint-syncs=20",
		"--concurrent-namespace-syncs=20",
		"--concurrent-job-syncs=20",
		"--profiling=false",
	}
}

func schedulerArgs(l layout, p portSet) []string {
	return []string{
		"--config=" + l.conf(schedulerFile),
		"--bind-address=" + ports.Host, "--secure-port=" + strconv.Itoa(p.scheduler),
		"--tls-cert-file=" + l.conf(serverCertFile), "--tls-private-key-file=" + l.conf(serverKeyFile),
	}
}

// schedulerConfig is a file, because the flags for these settings are deprecated. A pod that does not fit is tried
// again within a second, not within ten.
func schedulerConfig(l layout) []byte {
	return fmt.Appendf(nil, `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: %q
  qps: 500
  burst: 1000
leaderElection:
  leaderElect: false
podInitialBackoffSeconds: 1
podMaxBackoffSeconds: 1
enableProfiling: false
`, l.conf(kubeconfigFile(binaries.Scheduler)))
}

// kwokArgs: the node address is the loopback interface, so that "kubectl logs" of a fake pod fails at once and on this
// machine, instead of asking a stranger.
func kwokArgs(l layout) []string {
	return []string{
		"--kubeconfig=" + l.conf(kubeconfigFile(binaries.Kwok)),
		"--config=" + l.conf(stagesFile),
		"--node-ip=" + ports.Host,
	}
}
