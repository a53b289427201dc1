package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// patience is how long a test waits for what happens within a second on an idle machine.
const patience = 30 * time.Second

// allow makes a Role and its binding for a service account.
func allow(namespace, account, name, group, resource, verb string) []client.Object {
	return []client.Object{
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{group}, Resources: []string{resource}, Verbs: []string{verb}}}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}}},
	}
}

// allowOperator gives the operator a further group of kinds in a namespace, as config/rbac/example-other-kinds.yaml says.
func allowOperator(namespace, group string) []client.Object {
	out := allow(namespace, "stele", "stele-"+group, group, "*", "*")
	out[1].(*rbacv1.RoleBinding).Subjects[0].Namespace = operatorNamespace
	return out
}

// newRepo makes a repository of the shared Git server.
func newRepo(t *testing.T, name string) *gitserver.Repo {
	t.Helper()
	repo, err := suite.git.CreateRepo(name)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// commit adds a commit and returns its id.
func commit(t *testing.T, repo *gitserver.Repo, files map[string]string, options ...gitserver.CommitOption) string {
	t.Helper()
	id, err := repo.Commit(files, options...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// shop is a release of one Deployment, its ConfigMap and its Service, under deploy/.
func shop(app, version string) map[string]string {
	return map[string]string{
		"deploy/config.yaml":  configMap(app+"-config", fmt.Sprintf("version: %q", version)),
		"deploy/web.yaml":     deployment(app, version, ""),
		"deploy/service.yaml": service(app),
	}
}

// with returns files changed by other files.
func with(files map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return files
}

func configMap(name string, lines ...string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  %s\n", name, strings.Join(lines, "\n  "))
}

// deployment runs one replica of an image; annotation is put on its pods.
func deployment(app, version, annotation string) string {
	annotations := ""
	if annotation != "" {
		annotations = "\n      annotations:\n        " + annotation
	}
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
spec:
  replicas: 1
  selector:
    matchLabels:
      app: %[1]s
  template:
    metadata:
      labels:
        app: %[1]s%[3]s
    spec:
      containers:
      - name: web
        image: shop.example/web:%[2]s
        envFrom:
        - configMapRef:
            name: %[1]s-config
`, app, version, annotations)
}

// job is a Job that succeeds at once; cronJob makes none before the new year.
func job(name, version string) string {
	return fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: %[1]s\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n"+
		"      containers:\n      - name: %[1]s\n        image: shop.example/%[1]s:%[2]s\n", name, version)
}

func cronJob(name, version string) string {
	return fmt.Sprintf("apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: %[1]s\nspec:\n  schedule: \"0 0 31 12 *\"\n  jobTemplate:\n    spec:\n"+
		"      template:\n        spec:\n          restartPolicy: Never\n          containers:\n          - name: %[1]s\n            image: shop.example/%[1]s:%[2]s\n", name, version)
}

func service(app string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata:
  name: %[1]s
spec:
  selector:
    app: %[1]s
  ports:
  - port: 80
`, app)
}

// neverReady is the annotation that keeps pods from getting ready.
const neverReady = readyAnnotation + `: "false"`

// newTrack is a track of a repository of the shared server, with short times. Its images do not exist: no registry is asked.
func newTrack(namespace, name, repo string) *v1alpha1.ReleaseTrack {
	return &v1alpha1.ReleaseTrack{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ReleaseTrackSpec{
			Interval: metav1.Duration{Duration: 2 * time.Second}, Timeout: metav1.Duration{Duration: 5 * time.Second},
			ServiceAccountName: "deployer", Gates: v1alpha1.Gates{Images: v1alpha1.ImagesIgnore},
			Source: v1alpha1.TrackSource{URL: suite.git.HTTPURL(repo), Path: "./deploy", Ref: v1alpha1.GitRef{Branch: "main"}},
			Rollout: v1alpha1.Rollout{ProgressDeadline: metav1.Duration{Duration: time.Minute},
				TerminationDeadline: metav1.Duration{Duration: time.Minute}},
		},
	}
}

func getTrack(ctx context.Context, namespace, name string) (*v1alpha1.ReleaseTrack, error) {
	track := &v1alpha1.ReleaseTrack{}
	return track, suite.api.Get(ctx, key(namespace, name), track)
}

func getRelease(ctx context.Context, namespace, name string) (*v1alpha1.ImmutableRelease, error) {
	rel := &v1alpha1.ImmutableRelease{}
	return rel, suite.api.Get(ctx, key(namespace, name), rel)
}

// updateTrack changes the spec of a track, against whatever the operator writes meanwhile.
func updateTrack(t *testing.T, namespace, name string, change func(*v1alpha1.ReleaseTrack)) {
	t.Helper()
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, namespace, name)
		if err != nil {
			return err
		}
		change(track)
		return suite.api.Update(ctx, track)
	})
}

// poke asks for an immediate look at Git.
func poke(t *testing.T, namespace, name string) {
	t.Helper()
	updateTrack(t, namespace, name, func(track *v1alpha1.ReleaseTrack) {
		if track.Annotations == nil {
			track.Annotations = map[string]string{}
		}
		track.Annotations[v1alpha1.ReconcileRequestAnnotation] = time.Now().Format(time.RFC3339Nano)
	})
}

// releaseOf is the name of a track's release of a commit.
func releaseOf(track, commit string) string { return track + "-" + commit[:10] }

// untilLive waits until a release takes the traffic of its track and all is well.
func untilLive(t *testing.T, namespace, track, commit string) {
	t.Helper()
	until(t, patience, func(ctx context.Context) error { return isLive(ctx, namespace, track, commit) })
}

func isLive(ctx context.Context, namespace, name, commit string) error {
	track, err := getTrack(ctx, namespace, name)
	if err != nil {
		return err
	}
	ready := apimeta.FindStatusCondition(track.Status.Conditions, v1alpha1.ReadyCondition)
	if track.Status.ActiveRelease != releaseOf(name, commit) || ready == nil || ready.Status != metav1.ConditionTrue {
		return fmt.Errorf("track %s/%s: active %q, want %q; %s", namespace, name, track.Status.ActiveRelease, releaseOf(name, commit), describe(track.Status.Conditions))
	}
	return nil
}

// describe prints conditions for messages of tests.
func describe(conditions []metav1.Condition) string {
	var out []string
	for _, c := range conditions {
		out = append(out, fmt.Sprintf("%s=%s %s (%s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, "\n\t")
}

// untilPhase waits until a release is in a phase, and returns it.
func untilPhase(t *testing.T, namespace, name string, phase v1alpha1.ReleasePhase) *v1alpha1.ImmutableRelease {
	t.Helper()
	var rel *v1alpha1.ImmutableRelease
	until(t, patience, func(ctx context.Context) (err error) {
		if rel, err = getRelease(ctx, namespace, name); err != nil {
			return err
		}
		if rel.Status.Phase != phase {
			return fmt.Errorf("release %s/%s is %s, want %s:\n\t%s", namespace, name, rel.Status.Phase, phase, describe(rel.Status.Conditions))
		}
		return nil
	})
	return rel
}

// untilCondition waits until a condition has status and reason and its message holds every one of the words.
func untilCondition(t *testing.T, get func(context.Context) ([]metav1.Condition, error), kind string, status metav1.ConditionStatus, reason string, words ...string) metav1.Condition {
	t.Helper()
	var found metav1.Condition
	until(t, patience, func(ctx context.Context) error {
		conditions, err := get(ctx)
		if err != nil {
			return err
		}
		c := apimeta.FindStatusCondition(conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("want %s=%s with reason %s, got\n\t%s", kind, status, reason, describe(conditions))
		}
		for _, w := range words {
			if !strings.Contains(c.Message, w) {
				return fmt.Errorf("message of %s=%s %s lacks %q: %s", kind, status, reason, w, c.Message)
			}
		}
		found = *c
		return nil
	})
	return found
}

func trackConditions(namespace, name string) func(context.Context) ([]metav1.Condition, error) {
	return func(ctx context.Context) ([]metav1.Condition, error) {
		track, err := getTrack(ctx, namespace, name)
		return track.Status.Conditions, err
	}
}

func releaseConditions(namespace, name string) func(context.Context) ([]metav1.Condition, error) {
	return func(ctx context.Context) ([]metav1.Condition, error) {
		rel, err := getRelease(ctx, namespace, name)
		return rel.Status.Conditions, err
	}
}

// selected is the run that a Service selects, as release/run.
func selected(ctx context.Context, namespace, name string) (string, error) {
	svc := &corev1.Service{}
	err := suite.api.Get(ctx, key(namespace, name), svc)
	return runLabels(svc.Spec.Selector), err
}

// releasesOf lists the releases of a namespace.
func releasesOf(t *testing.T, namespace string) []v1alpha1.ImmutableRelease {
	t.Helper()
	list := &v1alpha1.ImmutableReleaseList{}
	if err := suite.api.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// conditionOf reads a condition of the track "shop" once; nil when it is absent.
func conditionOf(t *testing.T, namespace, kind string) *metav1.Condition {
	t.Helper()
	track, err := getTrack(t.Context(), namespace, "shop")
	if err != nil {
		t.Fatal(err)
	}
	return apimeta.FindStatusCondition(track.Status.Conditions, kind)
}

// onBranch commits on another branch, on top of a commit.
func onBranch(name, parent string) []gitserver.CommitOption {
	return []gitserver.CommitOption{gitserver.OnBranch(name), gitserver.Parents(parent)}
}

func isTrue(conditions []metav1.Condition, kind string) bool {
	return apimeta.IsStatusConditionTrue(conditions, kind)
}
