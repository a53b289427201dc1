//go:build deploy

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

const (
	shop       = "shop"
	operatorNS = testkit.OperatorNamespace
	patience   = 60 * time.Second
)

// deployment is an installed config/default, and an operator that has the rights of its service account and no others.
type deployment struct {
	*testing.T
	cluster *testkit.Cluster
	repo    *gitserver.Repo
	// log is the operator's; url that of the repository.
	log, url string
}

// TestDeploy installs config/default on the embedded cluster and lets the operator do all that it does, with the token of its
// service account as its only credential: a commit of every kind goes live, is replaced, one fails, one is rolled back to, releases
// are forgotten, the track is deleted. A right that is missing would be seen in the log.
func TestDeploy(t *testing.T) {
	d := deploy(t)
	first := d.commit(manifests("1"))
	d.kubectl(strings.ReplaceAll(track, "URL", d.url), "apply", "--server-side", "-f", "-")
	d.reaches(map[string]v1alpha1.ReleasePhase{first: v1alpha1.PhaseActive})

	second := d.commit(manifests("2"))
	d.reaches(map[string]v1alpha1.ReleasePhase{second: v1alpha1.PhaseActive, first: v1alpha1.PhaseRetired})

	d.eventually("config of the first release is gone", func(ctx context.Context) error {
		out, err := d.cluster.Kubectl(ctx, "-n", shop, "get", "configmaps,secrets,networkpolicies,pdb,hpa", "-l", "stele.dev/release="+first, "-o", "name")
		if err == nil && out != "" {
			err = fmt.Errorf("left: %s", strings.Fields(out))
		}
		return err
	})

	broken := manifests("3")
	broken["deploy/web.yaml"] = strings.ReplaceAll(broken["deploy/web.yaml"], "annotations: {", "annotations: {fake-kubelet.stele.dev/behaviour: crash, ")
	broken["deploy/db.yaml"] = strings.ReplaceAll(broken["deploy/db.yaml"], "annotations: {", "annotations: {fake-kubelet.stele.dev/behaviour: crash, ")
	third := d.commit(broken)
	d.reaches(map[string]v1alpha1.ReleasePhase{second: v1alpha1.PhaseActive, third: v1alpha1.PhaseFailed})

	brokenDB := manifests("4")
	brokenDB["deploy/db.yaml"] = broken["deploy/db.yaml"]
	fourth := d.commit(brokenDB)
	d.reaches(map[string]v1alpha1.ReleasePhase{second: v1alpha1.PhaseActive, fourth: v1alpha1.PhaseFailed})

	d.patch(fmt.Sprintf(`{"spec":{"pin":"%s"}}`, first))
	d.reaches(map[string]v1alpha1.ReleasePhase{first: v1alpha1.PhaseActive, second: v1alpha1.PhaseRetired})

	// Fewer objects, so that Stable ones are pruned; and a short history, so that releases and archives are forgotten.
	d.patch(`{"spec":{"pin":null,"history":{"keep":0,"minAge":"0s","max":1}}}`)
	small := map[string]string{"deploy/web.yaml": manifests("5")["deploy/web.yaml"], "deploy/config.yaml": manifests("5")["deploy/config.yaml"]}
	last := d.commit(small, gitserver.Delete("deploy"))
	d.reaches(map[string]v1alpha1.ReleasePhase{last: v1alpha1.PhaseActive})
	d.eventually("Stable objects that left Git are pruned", func(ctx context.Context) error {
		out, err := d.cluster.Kubectl(ctx, "-n", shop, "get", "services,ingresses,statefulsets,networkpolicies", "-l", "stele.dev/track=shop", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("left: %s", strings.Fields(out))
		}
		return err
	})
	d.eventually("old releases are forgotten", func(ctx context.Context) error {
		list := &v1alpha1.ImmutableReleaseList{}
		err := d.cluster.Client.List(ctx, list, client.InNamespace(shop))
		if err == nil && len(list.Items) > 3 {
			err = fmt.Errorf("%d releases are left", len(list.Items))
		}
		return err
	})

	d.kubectl("", "-n", shop, "delete", "rtrack", shop, "--timeout", patience.String())
	if out := d.kubectl("", "-n", shop, "get", "pods,deployments,configmaps,secrets,hpa,pdb,irel", "-l", "stele.dev/track=shop", "-o", "name"); out != "" {
		d.Errorf("the track is gone and left: %s", out)
	}
	archives := &corev1.SecretList{}
	if err := d.cluster.Client.List(d.Context(), archives, client.InNamespace(operatorNS), client.MatchingLabels{"app.kubernetes.io/component": "archive"}); err != nil {
		d.Error(err)
	}
	if len(archives.Items) > 0 {
		d.Errorf("%d archives are left", len(archives.Items))
	}
	d.nothingForbidden()
	d.mayNot("list secrets", "list", "secrets", "--all-namespaces")
	d.mayNot("delete collections of secrets, and so list them", "deletecollection", "secrets", "--all-namespaces")
	d.mayNot("watch secrets", "watch", "secrets", "--all-namespaces")
	d.mayNot("read secrets elsewhere", "get", "secrets", "-n", "default")
	d.mayNot("create deployments elsewhere", "create", "deployments.apps", "-n", "default")
	d.mayNot("create roles", "create", "clusterroles.rbac.authorization.k8s.io")
	d.mayNot("create roles in an onboarded namespace", "create", "rolebindings.rbac.authorization.k8s.io", "-n", shop)
	d.mayNot("change spec of releases", "update", "immutablereleases.stele.dev", "-n", shop)
}

// TestOnboardAndOffboard runs what people run: it can be repeated, changes nothing else of the namespace, and is taken back only when no
// track is left.
func TestOnboardAndOffboard(t *testing.T) {
	d := start(t)
	d.kubectl("", "create", "namespace", "old")
	d.kubectl("", "label", "namespace", "old", "team=red")
	for _, ns := range []string{"new", "old", "old"} {
		if out := d.onboard(ns); !strings.Contains(out, ns) {
			t.Errorf("make onboard does not say what it did: %s", out)
		}
		d.may("yes", "create", "deployments.apps", "-n", ns)
		d.may("yes", "get", "secrets", "-n", ns)
		d.may("no", "list", "secrets", "-n", ns)
	}
	labels := d.kubectl("", "get", "namespace", "old", "-o", "jsonpath={.metadata.labels}")
	if !strings.Contains(labels, `"team":"red"`) || !strings.Contains(labels, `"stele.dev/immutable":"enforced"`) {
		t.Errorf("the labels are %s", labels)
	}
	d.may("no", "create", "deployments.apps", "-n", "default")

	d.kubectl(strings.NewReplacer("namespace: shop", "namespace: old", "URL", "https://git.example/shop.git").Replace(track), "apply", "--server-side", "-f", "-")
	if out, err := d.tryNamespace("offboard", "old"); err == nil || !strings.Contains(out, "releasetrack.stele.dev/shop") {
		t.Errorf("a namespace with a track is taken back: %v %s", err, out)
	}
	d.may("yes", "create", "deployments.apps", "-n", "old")
	d.kubectl("", "-n", "old", "delete", "rtrack", shop)
	d.namespace("offboard", "old")
	d.may("no", "create", "deployments.apps", "-n", "old")
	if labels := d.kubectl("", "get", "namespace", "old", "-o", "jsonpath={.metadata.labels}"); !strings.Contains(labels, "team") || strings.Contains(labels, "stele.dev/immutable") {
		t.Errorf("the labels are %s", labels)
	}
	for _, ns := range []string{"", operatorNS, "kube-system", "No_Name", "a b"} {
		if out, err := d.tryNamespace("onboard", ns); err == nil {
			t.Errorf("namespace %q is onboarded: %s", ns, out)
		}
	}
}

// TestSamplesApply applies config/samples to a real API server.
func TestSamplesApply(t *testing.T) {
	d := start(t)
	d.kubectl("", "apply", "--server-side", "-k", filepath.Join(testkit.Root(), "config", "samples"))
	if out := d.kubectl("", "-n", "stele-samples", "get", "rtrack", "-o", "name"); len(strings.Fields(out)) != 6 {
		t.Errorf("tracks of the samples: %s", out)
	}
	// Its Secret is in the operator's namespace.
	d.kubectl("", "apply", "--server-side", "-f", filepath.Join(testkit.Root(), "config", "samples", "auditledger.yaml"))
	if out := d.kubectl("", "get", "aledger", "cluster", "-o", "jsonpath={.spec.anchor.branch} {.spec.anchor.secretRef.name}"); out != "main stele-ledger-anchor" {
		t.Errorf("the sample of the AuditLedger: %s", out)
	}
}

// start starts the embedded cluster, without an operator.
func start(t *testing.T) *deployment {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	cluster, err := testkit.StartCluster(t.Context(), "deploy-test", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &deployment{T: t, cluster: cluster}
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	d := start(t)
	install, err := build(filesys.MakeFsOnDisk(), filepath.Join(testkit.Root(), "config", "default"), image)
	if err != nil {
		t.Fatal(err)
	}
	d.kubectl(string(install), append([]string{"apply", "--server-side", "-f", "-"}, testkit.AsInstaller...)...)
	// The pods are fake, but what admission and the quota say is real.
	d.kubectl("", "-n", operatorNS, "rollout", "status", "--timeout=60s", "deployment/stele")

	binary, err := testkit.BuildOperator(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := d.cluster.OperatorKubeconfig(t.Context(), filepath.Join(t.TempDir(), "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	operator, err := testkit.StartOperator(t.Context(), binary, kubeconfig, t.TempDir(), "--enable-leader-election")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
		d.nothingForbidden() // what it does when it stops, too
	})
	d.log = operator.LogFile
	server, err := gitserver.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if d.repo, err = server.CreateRepo(shop); err != nil {
		t.Fatal(err)
	}
	d.url = server.HTTPURL(shop)
	d.onboard(shop)
	d.kubectl(team, "apply", "--server-side", "-f", "-")
	return d
}

// onboard does what people do.
func (d *deployment) onboard(namespace string) string { return d.namespace("onboard", namespace) }

func (d *deployment) namespace(verb, namespace string) string {
	d.Helper()
	out, err := d.tryNamespace(verb, namespace)
	if err != nil {
		d.Fatalf("make %s: %v\n%s", verb, err, out)
	}
	return out
}

func (d *deployment) tryNamespace(verb, namespace string) (string, error) {
	//nolint:gosec // our own Makefile
	cmd := exec.CommandContext(d.Context(), "make", "--no-print-directory", "-C", testkit.Root(), verb, "NAMESPACE="+namespace, "KUBECONFIG="+d.cluster.Kubeconfig)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *deployment) kubectl(input string, args ...string) string {
	d.Helper()
	out, err := d.cluster.KubectlInput(d.Context(), input, args...)
	if err != nil {
		d.Fatal(err)
	}
	return out
}

func (d *deployment) patch(patch string) {
	d.Helper()
	if err := d.cluster.PatchTrack(d.Context(), shop, shop, patch); err != nil {
		d.Fatal(err)
	}
}

// commit returns the name of the release to come.
func (d *deployment) commit(files map[string]string, options ...gitserver.CommitOption) string {
	d.Helper()
	id, err := d.repo.Commit(files, options...)
	if err != nil {
		d.Fatal(err)
	}
	return shop + "-" + id[:10]
}

func (d *deployment) reaches(want map[string]v1alpha1.ReleasePhase) {
	d.Helper()
	for name, phase := range want {
		d.eventually(name+" is "+string(phase), func(ctx context.Context) error {
			rel := &v1alpha1.ImmutableRelease{}
			if err := d.cluster.Client.Get(ctx, client.ObjectKey{Namespace: shop, Name: name}, rel); err != nil {
				return err
			}
			if rel.Status.Phase != phase {
				return fmt.Errorf("it is %s: %+v", rel.Status.Phase, rel.Status.Conditions)
			}
			return nil
		})
	}
}

func (d *deployment) eventually(what string, check func(context.Context) error) {
	d.Helper()
	begin := time.Now()
	if err := testkit.Eventually(d.Context(), patience, check); err != nil {
		log, _ := os.ReadFile(d.log)
		d.Fatalf("%s: %v\n%s", what, err, tail(string(log), 40))
	}
	d.Logf("%s (%s)", what, time.Since(begin).Round(100*time.Millisecond))
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var forbidden = regexp.MustCompile(`(?i)forbidden|unauthorized|is not allowed|cannot (get|list|watch|create|update|patch|delete)`)

func (d *deployment) nothingForbidden() {
	d.Helper()
	log, err := os.ReadFile(d.log)
	if err != nil {
		d.Fatal(err)
	}
	for _, line := range strings.Split(string(log), "\n") {
		if forbidden.MatchString(line) {
			d.Errorf("in the operator's log: %s", line)
		}
	}
}

// may waits until the API server says yes, or no, when asked whether the operator has a right: its authorizer sees changes a moment later.
func (d *deployment) may(want string, args ...string) {
	d.Helper()
	d.eventually(fmt.Sprintf("may the operator %v? %s", args, want), func(ctx context.Context) error {
		out, err := d.cluster.Kubectl(ctx, append([]string{"auth", "can-i", "--as", "system:serviceaccount:" + operatorNS + ":stele"}, args...)...)
		if strings.TrimSpace(out) != want {
			return fmt.Errorf("%q, %w", out, err)
		}
		return nil
	})
}

// mayNot asks the API server whether the operator's service account has a right that it must not have.
func (d *deployment) mayNot(what string, args ...string) {
	d.Helper()
	args = append([]string{"auth", "can-i", "--as", "system:serviceaccount:" + operatorNS + ":stele"}, args...)
	if out, err := d.cluster.Kubectl(d.Context(), args...); err == nil || strings.TrimSpace(out) != "no" {
		d.Errorf("the operator may %s: %s", what, out)
	}
}
