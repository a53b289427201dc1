package hostile

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

// patience is how long a test waits for what should take seconds: the machine may be busy, and all looks share a few workers.
const patience = 4 * time.Minute

// canaries are credentials and personal data. None may come out anywhere.
var canaries = map[string]string{
	"user name": "canaryuser-5d1e", "password": "canary-password-5d1e", "token": "canary-token-5d1e",
	"author's name": hostileserver.CanaryName, "author's e-mail": hostileserver.CanaryMail, "commit message": hostileserver.CanaryMessage,
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	if err := testkit.Eventually(t.Context(), patience, check); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// makeNamespace makes an onboarded namespace with a service account and with the credentials of Git, for HTTP and SSH.
func makeNamespace(t *testing.T, name string) {
	t.Helper()
	must(t, suite.cluster.Onboard(t.Context(), name))
	meta := metav1.ObjectMeta{Namespace: name, Name: "deployer"}
	secret := func(name string, data map[string][]byte) client.Object {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: meta.Namespace, Name: name}, Data: data}
	}
	for _, obj := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: name, Name: "deployer"}}},
		secret("basic", map[string][]byte{"username": []byte(canaries["user name"]), "password": []byte(canaries["password"])}),
		secret("bearer", map[string][]byte{"bearerToken": []byte(canaries["token"])}),
		secret("ssh", suite.git.SSHSecret()),
	} {
		must(t, suite.cluster.Client.Create(t.Context(), obj))
	}
}

// newTrack follows main of a repository. It looks once, and again only when it is told to.
func newTrack(ns, name, url, secret string) *v1alpha1.ReleaseTrack {
	seconds := func(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }
	track := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1alpha1.ReleaseTrackSpec{
		Interval: seconds(3600), Timeout: seconds(240), ServiceAccountName: "deployer", Gates: v1alpha1.Gates{Images: v1alpha1.ImagesIgnore},
		Source:  v1alpha1.TrackSource{URL: url, Ref: v1alpha1.GitRef{Branch: "main"}, Path: "./deploy"},
		Rollout: v1alpha1.Rollout{ProgressDeadline: seconds(240), Drain: seconds(1), TerminationDeadline: seconds(120)},
	}}
	if secret != "" {
		track.Spec.Source.SecretRef = &v1alpha1.LocalObjectReference{Name: secret}
	}
	return track
}

func create(t *testing.T, obj client.Object) {
	t.Helper()
	must(t, suite.cluster.Client.Create(t.Context(), obj))
}

// poke lets a track look now.
func poke(t *testing.T, ns, name, token string) {
	t.Helper()
	must(t, suite.cluster.PatchTrack(t.Context(), ns, name, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.ReconcileRequestAnnotation, token)))
}

func getTrack(ctx context.Context, ns, name string) (*v1alpha1.ReleaseTrack, error) {
	track := &v1alpha1.ReleaseTrack{}
	return track, suite.cluster.Client.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, track)
}

// sourceFails waits until the track says why its source cannot be read.
func sourceFails(t *testing.T, ns, name, reason string, says ...string) {
	t.Helper()
	eventually(t, ns+"/"+name, func(ctx context.Context) error {
		track, err := getTrack(ctx, ns, name)
		if err != nil {
			return err
		}
		return isFalse(track.Status.Conditions, v1alpha1.SourceFetchedCondition, reason, says)
	})
}

// rejected waits until the commit has its release, which says why it is refused.
func rejected(t *testing.T, ns, track, commit, reason string, says ...string) {
	t.Helper()
	eventually(t, ns+"/"+track, func(ctx context.Context) error {
		rel := &v1alpha1.ImmutableRelease{}
		if err := suite.cluster.Client.Get(ctx, client.ObjectKey{Namespace: ns, Name: release.Name(track, commit)}, rel); err != nil {
			if tr, err := getTrack(ctx, ns, track); err == nil {
				return fmt.Errorf("no release; the track: %s", words(tr.Status.Conditions))
			}
			return err
		}
		if rel.Status.Phase != v1alpha1.PhaseRejected {
			return fmt.Errorf("phase %q, %s", rel.Status.Phase, words(rel.Status.Conditions))
		}
		return isFalse(rel.Status.Conditions, v1alpha1.AcceptedCondition, reason, says)
	})
}

// live waits until the commit runs.
func live(t *testing.T, ns, track, commit string) {
	t.Helper()
	eventually(t, ns+"/"+track, func(ctx context.Context) error {
		tr, err := getTrack(ctx, ns, track)
		if err != nil {
			return err
		}
		if want := release.Name(track, commit); tr.Status.ActiveRelease != want {
			return fmt.Errorf("active release %q, want %s; %s", tr.Status.ActiveRelease, want, words(tr.Status.Conditions))
		}
		return nil
	})
}

func isFalse(conditions []metav1.Condition, kind, reason string, says []string) error {
	c := apimeta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != reason {
		return fmt.Errorf("want %s=False(%s); %s", kind, reason, words(conditions))
	}
	for _, word := range says {
		if !strings.Contains(c.Message, word) {
			return fmt.Errorf("%s does not say %q: %s", kind, word, c.Message)
		}
	}
	if strings.ContainsAny(c.Message, "\x1b\u202e\u200c") {
		return fmt.Errorf("%s holds control characters: %q", kind, c.Message)
	}
	return nil
}

func words(conditions []metav1.Condition) string {
	var out []string
	for _, c := range conditions {
		out = append(out, fmt.Sprintf("%s=%s(%s: %s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, " ")
}

// appliedOf names what a track has made in the cluster, its releases left out.
func appliedOf(t *testing.T, ns, track string) string {
	t.Helper()
	out, err := suite.cluster.Kubectl(t.Context(), "-n", ns, "get", "deploy,rs,sts,pods,svc,cm,secrets,jobs", "-l", v1alpha1.TrackLabel+"="+track, "-o", "name")
	must(t, err)
	return out
}

// peakMemory is the most that the operator ever had in memory.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", suite.operator.PID()))
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			must(t, err)
			return kib << 10
		}
	}
	t.Fatal("the process has no VmHWM")
	return 0
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  value: %q\n", name, value)
}

// shop is a workload that takes traffic.
func shop(version string) map[string]string {
	return map[string]string{
		"deploy/web.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n  selector:\n    matchLabels:\n      app: web\n" +
			"  template:\n    metadata:\n      labels:\n        app: web\n    spec:\n      terminationGracePeriodSeconds: 5\n      containers:\n      - name: web\n        image: web:" + version + "\n",
		"deploy/service.yaml": "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector:\n    app: web\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n",
	}
}
