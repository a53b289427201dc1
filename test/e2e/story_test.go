package e2e

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// story is one test with a namespace and a repository of its own.
type story struct {
	*testing.T
	*gomega.WithT

	ctx  context.Context
	ns   string
	git  *gitserver.Server
	repo *gitserver.Repo
	// breaks are the invariants that people break in the story.
	breaks []string
}

// tell begins a story that runs beside others.
func tell(t *testing.T) *story {
	t.Helper()
	suite.stories.Add(1)
	t.Cleanup(suite.stories.Done)
	t.Parallel()
	return begin(t)
}

// tellAlone begins a story that does something to the operator that others would feel.
func tellAlone(t *testing.T) *story {
	t.Helper()
	return begin(t)
}

func begin(t *testing.T) *story {
	t.Helper()
	s := &story{T: t, WithT: gomega.NewWithT(t), ctx: t.Context(), ns: "e2e-" + kebab(t.Name()), git: suite.git}
	s.makeNamespace(s.ns)
	var err error
	s.repo, err = s.git.CreateRepo(s.ns)
	s.must(err)
	t.Cleanup(s.end)
	return s
}

// ownGit gives the story a Git server of its own.
func (s *story) ownGit(options ...gitserver.Option) {
	s.Helper()
	server, err := gitserver.New(filepath.Join(s.TempDir(), "git"), options...)
	s.must(err)
	s.Cleanup(server.Close)
	s.git = server
	s.repo, err = server.CreateRepo(s.ns)
	s.must(err)
}

// makeNamespace makes an onboarded namespace, protected by the admission policies, with a service account that may do what a release
// needs.
func (s *story) makeNamespace(name string) {
	s.Helper()
	s.must(suite.cluster.Onboard(s.ctx, name))
	meta := metav1.ObjectMeta{Namespace: name, Name: "deployer"}
	for _, obj := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: name, Name: "deployer"}}},
	} {
		s.must(suite.client.Create(s.ctx, obj))
	}
}

var capital = regexp.MustCompile("([a-z])([A-Z])")

func kebab(test string) string {
	return strings.ReplaceAll(strings.ToLower(capital.ReplaceAllString(strings.TrimPrefix(test, "Test"), "$1-$2")), "/", "-")
}

// end checks the invariants, says what is there when the story failed, and lets the tracks go without waiting for them.
func (s *story) end() {
	s.ctx = context.Background() // that of the test has ended
	checkInvariants(s.T, s.ns, s.breaks...)
	if s.Failed() {
		s.describe()
	}
	tracks := &v1alpha1.ReleaseTrackList{}
	_ = suite.client.List(s.ctx, tracks, client.InNamespace(s.ns))
	for i := range tracks.Items {
		_ = suite.client.Delete(s.ctx, &tracks.Items[i])
	}
	var pods corev1.PodList
	_ = suite.client.List(s.ctx, &pods, client.InNamespace(s.ns))
	for i := range pods.Items {
		// Also those that were told never to end. Nodes may, as long as the namespace is protected.
		if node, err := suite.cluster.As(testkit.Node(pods.Items[i].Spec.NodeName)); err == nil {
			_ = node.Delete(s.ctx, &pods.Items[i], client.GracePeriodSeconds(0))
		}
	}
}

func (s *story) describe() {
	for _, args := range [][]string{
		{"get", "rtrack,irel,deploy,rs,sts,pods,svc,endpointslices,cm,hpa,pdb,pvc", "-o", "wide", "--show-labels=false"},
		{"get", "rtrack,irel", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name}: {.status}{"\n"}{end}`},
	} {
		out, err := suite.cluster.Kubectl(s.ctx, append([]string{"-n", s.ns}, args...)...)
		s.Logf("kubectl %s\n%s%v", strings.Join(args, " "), out, err)
	}
	var lines []string
	for line := range strings.Lines(operatorLog()) {
		if strings.Contains(line, s.ns) {
			lines = append(lines, line)
		}
	}
	s.Logf("the operator says\n%s", tail(brief(strings.Join(lines, "")), 30))
}

func (s *story) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// kubectl runs kubectl in the story's namespace and returns what it prints.
func (s *story) kubectl(args ...string) string {
	s.Helper()
	out, err := suite.cluster.Kubectl(s.ctx, append([]string{"-n", s.ns}, args...)...)
	s.must(err)
	return out
}

// refused runs kubectl, which must fail, and returns why it did.
func (s *story) refused(args ...string) string {
	s.Helper()
	out, err := suite.cluster.Kubectl(s.ctx, append([]string{"-n", s.ns}, args...)...)
	if err == nil {
		s.Fatalf("kubectl %s was not refused: %s", strings.Join(args, " "), out)
	}
	return err.Error()
}

// row is the line of a kubectl table that begins with name, by column.
func (s *story) row(table, name string) map[string]string {
	s.Helper()
	lines := strings.Split(strings.TrimSpace(table), "\n")
	header := strings.Fields(lines[0])
	for _, line := range lines[1:] {
		if cells := strings.Fields(line); len(cells) > 0 && cells[0] == name {
			out := map[string]string{}
			for i := range min(len(header), len(cells)) {
				out[header[i]] = cells[i]
			}
			return out
		}
	}
	s.Fatalf("no %s in\n%s", name, table)
	return nil
}

// commit commits files to main and returns the name of the release that track "shop" makes of it.
func (s *story) commit(files map[string]string, options ...gitserver.CommitOption) string {
	s.Helper()
	id, err := s.repo.Commit(files, options...)
	s.must(err)
	return releaseOf("shop", id)
}

func releaseOf(track, commit string) string { return track + "-" + commit[:10] }

// makeTrack makes a track with short times that follows main of the story's repository.
func (s *story) makeTrack(name string, change ...func(*v1alpha1.ReleaseTrack)) {
	s.Helper()
	seconds := func(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }
	t := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name}, Spec: v1alpha1.ReleaseTrackSpec{
		Interval: seconds(1), Timeout: seconds(10), ServiceAccountName: "deployer",
		Gates:   v1alpha1.Gates{Images: v1alpha1.ImagesIgnore}, // they do not exist
		Source:  v1alpha1.TrackSource{URL: s.git.HTTPURL(s.ns), Ref: v1alpha1.GitRef{Branch: "main"}, Path: "./deploy"},
		Rollout: v1alpha1.Rollout{ProgressDeadline: seconds(120), Drain: seconds(1), TerminationDeadline: seconds(120)},
	}}
	for _, c := range change {
		c(t)
	}
	s.must(suite.client.Create(s.ctx, t))
}

// progressDeadline of a track, in seconds.
func progressDeadline(n int) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) {
		t.Spec.Rollout.ProgressDeadline = metav1.Duration{Duration: time.Duration(n) * time.Second}
	}
}

// patchTrack changes a track as kubectl patch does.
func (s *story) patchTrack(name, patch string) {
	s.Helper()
	s.kubectl("patch", "rtrack", name, "--type=merge", "-p", testkit.Signed(patch))
}

func (s *story) track(name string) *v1alpha1.ReleaseTrack {
	s.Helper()
	t := &v1alpha1.ReleaseTrack{}
	s.must(suite.client.Get(s.ctx, s.key(name), t))
	return t
}

func (s *story) release(name string) *v1alpha1.ImmutableRelease {
	s.Helper()
	r := &v1alpha1.ImmutableRelease{}
	s.must(suite.client.Get(s.ctx, s.key(name), r))
	return r
}

func (s *story) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.ns, Name: name}
}

// get reads any object, which must be there.
func get[T any, P interface {
	*T
	client.Object
}](s *story, name string) P {
	s.Helper()
	obj := P(new(T))
	s.must(suite.client.Get(s.ctx, s.key(name), obj))
	return obj
}

// reaches waits until a release is in a phase.
func (s *story) reaches(name string, phase v1alpha1.ReleasePhase) *v1alpha1.ImmutableRelease {
	s.Helper()
	return s.until(name, "phase "+string(phase), func(r *v1alpha1.ImmutableRelease) bool { return r.Status.Phase == phase })
}

// until waits until a release is as asked.
func (s *story) until(name, what string, check func(*v1alpha1.ImmutableRelease) bool) *v1alpha1.ImmutableRelease {
	s.Helper()
	r := &v1alpha1.ImmutableRelease{}
	s.Eventually(func() error {
		if err := suite.client.Get(s.ctx, s.key(name), r); err != nil {
			return err
		}
		if !check(r) {
			return fmt.Errorf("%s: want %s; phase %s outcome %s run %d/%d %s", name, what, r.Status.Phase, r.Status.Outcome, r.Status.ActiveRun,
				r.Status.Run, words(r.Status.Conditions))
		}
		return nil
	}).Should(gomega.Succeed())
	return r
}

// trackUntil waits until a track is as asked.
func (s *story) trackUntil(name, what string, check func(*v1alpha1.ReleaseTrack) bool) *v1alpha1.ReleaseTrack {
	s.Helper()
	t := &v1alpha1.ReleaseTrack{}
	s.Eventually(func() error {
		if err := suite.client.Get(s.ctx, s.key(name), t); err != nil {
			return err
		}
		if !check(t) {
			return fmt.Errorf("%s: want %s; %s", name, what, words(t.Status.Conditions))
		}
		return nil
	}).Should(gomega.Succeed())
	return t
}

// live waits until a release takes the traffic of its track and all is well.
func (s *story) live(name string) *v1alpha1.ImmutableRelease {
	s.Helper()
	r := s.until(name, "Active and Ready", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Phase == v1alpha1.PhaseActive && isTrue(r.Status.Conditions, v1alpha1.ReadyCondition)
	})
	s.trackUntil(r.Spec.Track, "active release "+name, func(t *v1alpha1.ReleaseTrack) bool { return t.Status.ActiveRelease == name })
	return r
}

// retired waits until nothing of a release is left.
func (s *story) retired(name string) *v1alpha1.ImmutableRelease {
	s.Helper()
	return s.until(name, "Retired and Deletable", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Phase == v1alpha1.PhaseRetired && isTrue(r.Status.Conditions, v1alpha1.DeletableCondition)
	})
}

// stays fails when check reports an error within the time.
func (s *story) stays(d time.Duration, check func() error) {
	s.Helper()
	s.Consistently(check).WithTimeout(d).WithPolling(200 * time.Millisecond).Should(gomega.Succeed())
}

// podsOf lists the pods of a release live.
func (s *story) podsOf(release string) []corev1.Pod {
	s.Helper()
	var list corev1.PodList
	s.must(suite.client.List(s.ctx, &list, client.InNamespace(s.ns), client.MatchingLabels{v1alpha1.ReleaseLabel: release}))
	return list.Items
}

// leftOf names what is left in the cluster of a release: workloads, pods and config.
func (s *story) leftOf(release string) []string {
	s.Helper()
	out := strings.Fields(s.kubectl("get", "deploy,rs,pods,cm,secret,hpa,pdb", "-l", v1alpha1.ReleaseLabel+"="+release, "-o", "name"))
	slices.Sort(out)
	return out
}

// deployments names the Deployments of the namespace.
func (s *story) deployments() []string {
	s.Helper()
	var list appsv1.DeploymentList
	s.must(suite.client.List(s.ctx, &list, client.InNamespace(s.ns)))
	var out []string
	for _, d := range list.Items {
		out = append(out, d.Name)
	}
	return out
}

// uids of pods by name, to see whether they were replaced.
func uids(pods []corev1.Pod) map[string]string {
	out := map[string]string{}
	for _, p := range pods {
		out[p.Name] = string(p.UID)
	}
	return out
}

func isTrue(conditions []metav1.Condition, kind string) bool {
	return apimeta.IsStatusConditionTrue(conditions, kind)
}

// condition returns a condition; one that is absent has an empty status.
func condition(conditions []metav1.Condition, kind string) metav1.Condition {
	if c := apimeta.FindStatusCondition(conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func words(conditions []metav1.Condition) string {
	var out []string
	for _, c := range conditions {
		out = append(out, fmt.Sprintf("%s=%s(%s: %s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, " ")
}

func sortedKeys(keys iter.Seq[string]) []string { return slices.Sorted(keys) }
