package envtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// errDead is what a process that was killed gets from the network.
var errDead = errors.New("connection reset: the operator is dead")

// fault is what happens to one request that would change the cluster.
type fault string

const (
	killedBefore fault = "killed before"
	killedAfter  fault = "killed after"
	answerLost   fault = "answer lost after"
	conflict     fault = "conflict at"
	unavailable  fault = "server error at"
)

// wire counts the requests of one operator that change the cluster, and lets a fault happen at the n-th.
type wire struct {
	next  http.RoundTripper
	fault fault
	n     int
	// luck, if it is set, makes one in three writes go wrong instead of the n-th.
	luck *rand.Rand

	mu    sync.Mutex
	count int
	log   []string
	dead  chan struct{}
}

func newWire(f fault, n int) *wire { return &wire{fault: f, n: n, dead: make(chan struct{})} }

func (w *wire) wrap(next http.RoundTripper) http.RoundTripper {
	w.next = next
	return w
}

// RoundTrip is the way of every request.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case <-w.dead:
		return nil, errDead
	default:
	}
	if !changes(req) {
		return w.next.RoundTrip(req)
	}
	w.mu.Lock()
	w.count++
	now := w.count == w.n || w.luck != nil && w.luck.IntN(3) == 0
	text := time.Now().Format("05.000 ") + req.Method + " " + req.URL.Path
	if now {
		text += " <- " + string(w.fault)
	}
	w.log = append(w.log, text)
	w.mu.Unlock()
	if !now {
		return w.next.RoundTrip(req)
	}
	switch w.fault {
	case killedBefore:
		close(w.dead)
		return nil, errDead
	case killedAfter:
		drop(w.next.RoundTrip(req))
		close(w.dead)
		return nil, errDead
	case answerLost:
		drop(w.next.RoundTrip(req))
		return nil, errors.New("read: connection reset by peer")
	case conflict:
		return answer(req, http.StatusConflict, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409,"message":"the object has been modified"}`), nil
	case unavailable:
		return answer(req, http.StatusInternalServerError, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"etcdserver: request timed out"}`), nil
	}
	return w.next.RoundTrip(req)
}

func drop(resp *http.Response, err error) {
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

func answer(req *http.Request, code int, body string) *http.Response {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}

// changes leaves out reads, questions about rights, dry runs, and events, which nothing depends on.
func changes(req *http.Request) bool {
	return req.Method != http.MethodGet && !strings.HasSuffix(req.URL.Path, "/subjectaccessreviews") &&
		!strings.HasPrefix(req.URL.Path, "/apis/events.k8s.io/") && !strings.Contains(req.URL.RawQuery, "dryRun=All")
}

func (w *wire) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

// tell adds to an error what the operator wrote.
func (w *wire) tell(err error) error {
	if err == nil {
		return nil
	}
	log := w.requests()
	return fmt.Errorf("%w\nthe last of %d writes of the life with the fault:\n%s", err, len(log), strings.Join(log[max(0, len(log)-60):], "\n"))
}

// sweep is something that an operator does, into which a fault is put at every request that changes the cluster.
type sweep struct {
	// before is what another operator has done already; act is what a person does then. done says when all is as asked.
	before []string
	act    func(t *testing.T, ns string)
	done   func(ctx context.Context, ns string) error
	// track changes the track from the beginning; nil: nothing.
	track func(*v1alpha1.ReleaseTrack)
	// killed: the operator is killed after every write, and nothing else goes wrong.
	killed bool
}

// life plays one sweep with one fault and returns the end state, which is waited for when it is known.
func (w *sweep) life(t *testing.T, repo *gitserver.Repo, line *wire, want []string) []string {
	t.Helper()
	ns := newNamespace(t)
	track := newTrack(ns, "shop", repo.Name())
	track.Spec.Source.Ref.Branch = ns
	if w.track != nil {
		w.track(track)
	}
	if len(w.before) > 0 {
		before := startOperator(t, operatorOptions{ownOutbox: true}, ns)
		for i, id := range w.before {
			branch(t, repo, ns, id)
			if i == 0 {
				create(t, track.DeepCopy())
			} else {
				poke(t, ns, "shop")
			}
			untilLive(t, ns, "shop", id)
		}
		until(t, patience, func(ctx context.Context) error { return settledState(ctx, ns, w.before) })
		before.stop(t)
		w.act(t, ns)
	} else {
		w.act(t, ns)
		create(t, track)
	}
	op := startOperator(t, operatorOptions{transport: line.wrap, ownOutbox: true}, ns)
	if line.fault == killedBefore || line.fault == killedAfter {
		// A life may get by with fewer writes than another: then it ends well without the fault.
		until(t, patience, func(ctx context.Context) error {
			select {
			case <-line.dead:
				return nil
			default:
				return line.tell(w.done(ctx, ns))
			}
		})
		op.stop(t)
		startOperator(t, operatorOptions{ownOutbox: true}, ns)
	}
	var end []string
	until(t, patience, func(ctx context.Context) error {
		if err := w.done(ctx, ns); err != nil {
			return line.tell(err)
		}
		var err error
		if end, err = endState(ctx, ns); err != nil || want == nil {
			return err
		}
		if diff := cmp.Diff(want, end); diff != "" {
			return line.tell(fmt.Errorf("end state differs (-without fault +with):\n%s", diff))
		}
		return nil
	})
	return end
}

func branch(t *testing.T, repo *gitserver.Repo, name, id string) {
	t.Helper()
	if err := repo.Branch(name, id); err != nil {
		t.Fatal(err)
	}
}

// settledState: the last release is Active, all others are Retired and swept.
func settledState(ctx context.Context, ns string, commits []string) error {
	for i, c := range commits {
		rel, err := getRelease(ctx, ns, releaseOf("shop", c))
		if err != nil {
			return err
		}
		want := v1alpha1.PhaseRetired
		if i == len(commits)-1 {
			want = v1alpha1.PhaseActive
		}
		if rel.Status.Phase != want {
			return fmt.Errorf("release %s is %s, want %s: %s", rel.Name, rel.Status.Phase, want, describe(rel.Status.Conditions))
		}
		if want == v1alpha1.PhaseRetired && !isTrue(rel.Status.Conditions, v1alpha1.DeletableCondition) {
			return fmt.Errorf("release %s is not swept: %s", rel.Name, describe(rel.Status.Conditions))
		}
	}
	return nil
}

// endState lists everything of a namespace and its archives, without what differs from one life to the next.
func endState(ctx context.Context, ns string) ([]string, error) {
	var out []string
	say := func(format string, args ...any) {
		out = append(out, strings.ReplaceAll(fmt.Sprintf(format, args...), ns, "NS"))
	}
	track, err := getTrack(ctx, ns, "shop")
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	say("track finalizers %v, observed %s, head %s, target %s, active %s", track.Finalizers, track.Status.ObservedRevision, track.Status.HeadRelease,
		track.Status.TargetRelease, track.Status.ActiveRelease)
	for _, c := range track.Status.Conditions {
		say("track %s=%s %s", c.Type, c.Status, c.Reason)
	}
	var releases v1alpha1.ImmutableReleaseList
	var deployments appsv1.DeploymentList
	var pods corev1.PodList
	var services corev1.ServiceList
	var configs corev1.ConfigMapList
	var secrets, archives corev1.SecretList
	var endpoints discoveryv1.EndpointSliceList
	var jobs batchv1.JobList
	var cronJobs batchv1.CronJobList
	for _, list := range []client.ObjectList{&releases, &deployments, &pods, &services, &configs, &secrets, &endpoints, &jobs, &cronJobs} {
		if err := suite.api.List(ctx, list, client.InNamespace(ns)); err != nil {
			return nil, err
		}
	}
	if err := suite.api.List(ctx, &archives, client.InNamespace(operatorNamespace)); err != nil {
		return nil, err
	}
	for _, r := range releases.Items {
		previous := ""
		if r.Spec.Previous != nil {
			previous = r.Spec.Previous.Name
		}
		say("release %s sequence %d previous %q workloadsFrom %q finalizers %v", r.Name, r.Spec.Sequence, previous, r.Spec.WorkloadsFrom, r.Finalizers)
		say("release %s phase %s run %d activeRun %d outcome %q observation %q jobs %d replicas %v", r.Name, r.Status.Phase, r.Status.Run, r.Status.ActiveRun,
			r.Status.Outcome, r.Status.Observation, len(r.Status.Jobs), r.Status.Replicas)
		for _, c := range r.Status.Conditions {
			say("release %s %s=%s %s", r.Name, c.Type, c.Status, c.Reason)
		}
	}
	for _, d := range deployments.Items {
		say("Deployment %s of %s generation %d", named(&d), runLabels(d.Labels), d.Generation)
	}
	for _, p := range pods.Items {
		say("Pod %s of %s", named(&p), runLabels(p.Labels))
	}
	for _, j := range jobs.Items {
		say("Job %s of %s", named(&j), runLabels(j.Labels))
	}
	for _, c := range cronJobs.Items {
		say("CronJob %s of %s", named(&c), runLabels(c.Labels))
	}
	for _, s := range services.Items {
		say("Service %s selects %s, overlap %q", s.Name, runLabels(s.Spec.Selector), s.Annotations[v1alpha1.OverlapAnnotation])
	}
	for _, c := range configs.Items {
		if c.Labels[v1alpha1.OutboxLabel] == v1alpha1.OutboxEntry {
			continue
		}
		say("ConfigMap %s of %s: %v immutable %v", named(&c), runLabels(c.Labels), c.Data, c.Immutable != nil && *c.Immutable)
	}
	for _, s := range secrets.Items {
		say("Secret %s", s.Name)
	}
	for _, s := range endpoints.Items {
		say("EndpointSlice %s with %d endpoints", s.Name, len(s.Endpoints))
	}
	for _, a := range archives.Items {
		if strings.HasPrefix(a.Name, "archive."+ns+".") {
			// The digest is over objects with the namespace in them.
			parts := strings.Split(a.Name, ".")
			say("archive of %s chunk %s", parts[2], parts[4])
		}
	}
	entries, err := recorded(configs.Items)
	for _, e := range entries {
		say("%s", e)
	}
	slices.Sort(out)
	return out, err
}

// named is the name of an object; what the UID of its release has put into it is left out.
func named(obj client.Object) string {
	if obj.GetLabels()[v1alpha1.RunLabel] == "1" {
		return obj.GetName()
	}
	return regexp.MustCompile(`-[0-9a-f]{10}\b`).ReplaceAllString(obj.GetName(), "-UID")
}

// The poor man's Sieve: the operator is killed before and after every single write of what it does, or gets a bad answer to it. A
// new life (or the same one) must arrive at the very state of a life without faults.
func TestFaultAtEveryWrite(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "sweep")
	first := commit(t, repo, with(shop("web", "1"), "deploy/gone.yaml", service("gone")))
	second := commit(t, repo, with(shop("web", "2"), "deploy/new.yaml", service("new")), gitserver.Delete("deploy/gone.yaml"))
	release := func(id string) func(*testing.T, string) {
		return func(t *testing.T, ns string) {
			t.Helper()
			branch(t, repo, ns, id)
		}
	}
	live := func(commits ...string) func(context.Context, string) error {
		return func(ctx context.Context, ns string) error {
			if err := isLive(ctx, ns, "shop", commits[len(commits)-1]); err != nil {
				return err
			}
			return settledState(ctx, ns, commits)
		}
	}
	batch := map[string]string{"deploy/migrate.yaml": job("migrate", "1"), "deploy/report.yaml": cronJob("report", "1")}
	third := commit(t, repo, batch)
	fourth := commit(t, repo, map[string]string{"deploy/migrate.yaml": job("migrate", "2"), "deploy/report.yaml": cronJob("report", "2")})
	rollout := func(change func(*v1alpha1.Rollout)) func(*v1alpha1.ReleaseTrack) {
		return func(track *v1alpha1.ReleaseTrack) { change(&track.Spec.Rollout) }
	}
	sweeps := map[string]*sweep{
		"Jobs and CronJobs": {killed: true, before: []string{third}, act: release(fourth), done: live(third, fourth)},
		"overlap": {killed: true, before: []string{first}, act: release(second), done: live(first, second),
			track: rollout(func(r *v1alpha1.Rollout) { r.Overlap = metav1.Duration{Duration: 300 * time.Millisecond} })},
		"promotion": {killed: true, before: []string{first}, done: promoteWhatStandsBy(live(first, second)), act: func(t *testing.T, ns string) {
			updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Rollout.Promotion = v1alpha1.PromotionManual })
			release(second)(t, ns)
		}},
		"observation": {killed: true, before: []string{first}, act: release(second), done: spoilWhatIsObserved(first, second),
			track: rollout(func(r *v1alpha1.Rollout) { r.Observe = metav1.Duration{Duration: time.Minute} })},
		"first release":  {act: release(first), done: live(first)},
		"second release": {before: []string{first}, act: release(second), done: live(first, second)},
		"rollback": {before: []string{first, second}, done: live(second, first), act: func(t *testing.T, ns string) {
			updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = releaseOf("shop", first) })
		}},
		"deletion": {before: []string{first}, done: trackGone, act: func(t *testing.T, ns string) {
			if err := suite.api.Delete(t.Context(), newTrack(ns, "shop", "sweep")); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for name, w := range sweeps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calm := newWire("", 0)
			w.life(t, repo, calm, nil)
			writes := calm.requests()
			settled()
			want := w.life(t, repo, newWire("", 0), nil)
			if len(writes) < 4 {
				t.Fatalf("only %d writes: %v", len(writes), writes)
			}
			t.Logf("%d writes:\n%s", len(writes), strings.Join(writes, "\n"))
			each, oneInThree := []fault{killedBefore, killedAfter, answerLost}, []fault{conflict, unavailable, answerLost}
			if w.killed {
				each, oneInThree = []fault{killedAfter}, []fault{conflict}
			}
			for _, f := range each {
				for n := 1; n <= len(writes); n++ {
					t.Run(fmt.Sprintf("%s %d", f, n), func(t *testing.T) {
						t.Parallel()
						w.life(t, repo, newWire(f, n), want)
					})
				}
			}
			for _, f := range oneInThree {
				t.Run(fmt.Sprintf("%s one in three", f), func(t *testing.T) {
					t.Parallel()
					line := newWire(f, 0)
					line.luck = rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in every run
					w.life(t, repo, line, want)
				})
			}
		})
	}
}

// promoteWhatStandsBy is a person who lets whatever stands by take the traffic.
func promoteWhatStandsBy(done func(context.Context, string) error) func(context.Context, string) error {
	return func(ctx context.Context, ns string) error {
		var releases v1alpha1.ImmutableReleaseList
		if err := suite.api.List(ctx, &releases, client.InNamespace(ns)); err != nil {
			return err
		}
		for _, r := range releases.Items {
			if r.Status.Phase != v1alpha1.PhaseStandby {
				continue
			}
			track, err := getTrack(ctx, ns, "shop")
			if err != nil {
				return err
			}
			if track.Spec.Promote != r.Name {
				track.Spec.Promote = r.Name
				return errors.Join(errors.New("promoted just now"), suite.api.Update(ctx, track))
			}
		}
		return done(ctx, ns)
	}
}

// spoilWhatIsObserved: the pods of a release are unready from the moment in which it is observed; the one before comes back.
func spoilWhatIsObserved(good, bad string) func(context.Context, string) error {
	return func(ctx context.Context, ns string) error {
		r, err := getRelease(ctx, ns, releaseOf("shop", bad))
		if err != nil {
			return err
		}
		if r.Status.Observation == v1alpha1.ObservationRunning {
			var pods corev1.PodList
			if err := suite.api.List(ctx, &pods, client.InNamespace(ns), client.MatchingLabels{v1alpha1.ReleaseLabel: r.Name}); err != nil {
				return err
			}
			for _, p := range pods.Items {
				if p.Annotations[readyAnnotation] != "false" {
					metav1.SetMetaDataAnnotation(&p.ObjectMeta, readyAnnotation, "false")
					if err := suite.api.Update(ctx, &p); err != nil {
						return err
					}
				}
			}
		}
		if r.Status.Phase != v1alpha1.PhaseFailed || !isTrue(r.Status.Conditions, v1alpha1.DeletableCondition) {
			return fmt.Errorf("release %s is %s: %s", r.Name, r.Status.Phase, describe(r.Status.Conditions))
		}
		back, err := getRelease(ctx, ns, releaseOf("shop", good))
		if err == nil && back.Status.Phase != v1alpha1.PhaseActive {
			err = fmt.Errorf("release %s is %s: %s", back.Name, back.Status.Phase, describe(back.Status.Conditions))
		}
		return err
	}
}

func trackGone(ctx context.Context, ns string) error {
	track, err := getTrack(ctx, ns, "shop")
	if apierrors.IsNotFound(err) {
		return nil
	}
	return errors.Join(fmt.Errorf("the track is there still: %s", describe(track.Status.Conditions)), err)
}

// roundTripper is a function as a way to the API server.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// New commits cannot be archived: they wait, and what is asked of older releases is done all the same.
func TestRollbackWhileNothingCanBeArchived(t *testing.T) {
	t.Parallel()
	var closed atomic.Bool
	ns := newNamespace(t)
	repo := newRepo(t, ns)
	first := commit(t, repo, shop("web", "1"))
	startOperator(t, operatorOptions{transport: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if closed.Load() && req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/namespaces/"+operatorNamespace+"/secrets") {
				return answer(req, http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"exceeded quota: archives"}`), nil
			}
			return next.RoundTrip(req)
		})
	}}, ns)
	create(t, newTrack(ns, "shop", ns))
	untilLive(t, ns, "shop", first)
	second := commit(t, repo, shop("web", "2"))
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	untilPhase(t, ns, releaseOf("shop", first), v1alpha1.PhaseRetired)

	closed.Store(true)
	third := commit(t, repo, shop("web", "3"))
	poke(t, ns, "shop")
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.InternalErrorReason, "exceeded quota: archives", releaseOf("shop", third))
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = releaseOf("shop", first) })
	until(t, patience, func(ctx context.Context) error {
		run, err := selected(ctx, ns, "web")
		if want := releaseOf("shop", first) + "/2"; err == nil && run != want {
			return fmt.Errorf("the Service selects %s, want %s", run, want)
		}
		return err
	})
	untilPhase(t, ns, releaseOf("shop", second), v1alpha1.PhaseRetired)

	closed.Store(false)
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Pin = "" })
	untilLive(t, ns, "shop", third)
}
