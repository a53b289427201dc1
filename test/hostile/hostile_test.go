package hostile

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

// files are those of a scripted repository; each track has objects of its own.
func files(name string) map[string]string {
	return map[string]string{"settings.yaml": configMap("settings", name), "more.yaml": configMap("more", name)}
}

// short is a deadline that lets a hanging look end within a test.
const short = 3

// TestHostileInputs lets one operator follow everything that is hostile, at the same time: each track ends as it should, nothing of it is
// applied, and the healthy tracks beside it get their commits.
func TestHostileInputs(t *testing.T) {
	healthy := newHealthy(t)
	healthy.push(t)
	var ended sync.WaitGroup
	t.Cleanup(ended.Wait)
	scripted(t, &ended)
	real := followReal(t)
	healthy.push(t)
	real.turnHostile(t)
	healthy.push(t)
	ended.Wait()
	healthy.push(t)

	if n := suite.strayed.Load(); n > 0 {
		t.Errorf("%d requests went to where a redirect led", n)
	}
	stillThere(t)
	nothingLeaks(t)
}

// scripted makes a track for each script, and checks how it ends beside the caller.
func scripted(t *testing.T, ended *sync.WaitGroup) {
	t.Helper()
	cases := map[string]map[string]hostileserver.Case{
		"transport": hostileserver.Transport(files), "packs": hostileserver.Packs(files), "trees": hostileserver.Trees(files), "http": hostileserver.HTTP(),
	}
	maps.Copy(cases["http"], hostileserver.Redirects(map[string]string{
		"host": suite.elsewhere.URL, "file": "file:///etc/passwd", "ssh": "ssh://git@" + suite.elsewhere.Listener.Addr().String(), "metadata": "http://169.254.169.254/latest",
	}, files))
	cases["packs"]["two-gibibytes"] = hostileserver.Case{Script: hostileserver.HugeBlob(2 << 30), Reason: v1alpha1.GitLimitReason, Refused: true,
		Says: []string{"deploy/web.yaml", fmt.Sprint(2 << 30)}}
	many := cases["trees"]["200000-files"]
	many.Says = []string{"deploy", "more than 20000 entries", "200000"}
	cases["trees"]["200000-files"] = many
	for group, list := range cases {
		ns := "hostile-" + group
		makeNamespace(t, ns)
		for i, name := range slices.Sorted(maps.Keys(list)) {
			c := list[name]
			suite.hostile.Add(name, c.Script)
			track := newTrack(ns, "t-"+name, suite.hostile.URL(name), []string{"basic", "bearer"}[i%2])
			if group != "http" && i%3 == 0 { // both ways in meet every class
				track.Spec.Source.URL, track.Spec.Source.SecretRef.Name = suite.git.SSHURL(name), "ssh"
			}
			if c.Hangs {
				track.Spec.Timeout.Duration = short * 1e9
			}
			create(t, track)
			ended.Go(func() { endsAs(t, track, c) })
		}
	}
}

// endsAs waits until a track says what is expected of it, and looks for what it has applied.
func endsAs(t *testing.T, track *v1alpha1.ReleaseTrack, c hostileserver.Case) {
	t.Helper()
	switch {
	case c.Reason == "":
		live(t, track.Namespace, track.Name, c.Head)
		return
	case c.Refused:
		rejected(t, track.Namespace, track.Name, c.Head, c.Reason, c.Says...)
	default:
		sourceFails(t, track.Namespace, track.Name, c.Reason, c.Says...)
	}
	if made := appliedOf(t, track.Namespace, track.Name); made != "" {
		t.Errorf("%s/%s: applied: %s", track.Namespace, track.Name, made)
	}
}

// healthy are tracks that nobody may hold up: over HTTP and over SSH, from a server that is honest.
type healthy struct {
	repos  map[string]*gitserver.Repo // by namespace
	pushes int
}

func newHealthy(t *testing.T) *healthy {
	t.Helper()
	h := &healthy{repos: map[string]*gitserver.Repo{}}
	for _, ns := range []string{"healthy-http", "healthy-ssh"} {
		makeNamespace(t, ns)
		repo, err := suite.git.CreateRepo(ns)
		must(t, err)
		h.repos[ns] = repo
	}
	return h
}

// push makes a commit in each repository and waits until it runs.
func (h *healthy) push(t *testing.T) {
	t.Helper()
	h.pushes++
	for ns, repo := range h.repos {
		id, err := repo.Commit(shop(fmt.Sprint(h.pushes)))
		must(t, err)
		if h.pushes == 1 {
			track := newTrack(ns, "shop", suite.git.HTTPURL(ns), "")
			if ns == "healthy-ssh" {
				track = newTrack(ns, "shop", suite.git.SSHURL(ns), "ssh")
			}
			create(t, track)
		} else {
			poke(t, ns, "shop", fmt.Sprint(h.pushes))
		}
		live(t, ns, "shop", id)
	}
}

// TestHangingServersHoldUpNobody: more servers hang, each at another place, than there are workers, for longer than this test lasts. The
// commits of healthy tracks go live all the same, while all the looks that hang are still under way.
func TestHangingServersHoldUpNobody(t *testing.T) {
	const ns = "hanging"
	makeNamespace(t, ns)
	healthyNS := "beside-hanging"
	makeNamespace(t, healthyNS)
	repo, err := suite.git.CreateRepo(healthyNS)
	must(t, err)
	hold := []string{"hang-after-headers", "hang-in-listing", "hang-in-pack", "drip-advertisement", "drip-listing", "drip-pack"}
	scripts := hostileserver.Transport(files)
	names := map[string]int{} // requests so far, when it hangs
	for i, script := range append(hold, hold...) {
		name := fmt.Sprintf("hold-%d", i)
		suite.hostile.Add(name, scripts[script].Script)
		track := newTrack(ns, name, suite.hostile.URL(name), "basic")
		if i >= len(hold) {
			track = newTrack(ns, name, suite.git.SSHURL(name), "ssh")
		}
		track.Spec.Timeout.Duration = 600e9
		create(t, track)
		names[name] = 0
	}
	if len(names) <= 2*gitWorkers {
		t.Fatalf("%d servers that hang are too few for %d workers", len(names), gitWorkers)
	}
	for name := range names {
		eventuallyHangs(t, name)
		names[name] = suite.hostile.Seen(name)
	}
	for n := 1; n <= 2; n++ {
		id, err := repo.Commit(shop(fmt.Sprint(n)))
		must(t, err)
		if n == 1 {
			create(t, newTrack(healthyNS, "shop", suite.git.HTTPURL(healthyNS), ""))
		} else {
			poke(t, healthyNS, "shop", "2")
		}
		live(t, healthyNS, "shop", id)
	}
	for name, seen := range names {
		if suite.hostile.Open(name) == 0 || suite.hostile.Seen(name) != seen {
			t.Errorf("%s: the look that hangs has ended: %d requests, %d before", name, suite.hostile.Seen(name), seen)
		}
	}
	// A user who gives up on them is not held up either: the tracks go.
	for name := range names {
		must(t, suite.cluster.Client.Delete(t.Context(), &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}))
	}
	stillThere(t)
}

// stillThere: it is the process that was started, it has never had more memory than config/default gives it, and nothing in it has panicked.
func stillThere(t *testing.T) {
	t.Helper()
	if code := suite.operator.ExitCode(); code != -1 {
		t.Fatalf("the operator ended with %d", code)
	}
	peak := peakMemory(t)
	t.Logf("the operator had %d MiB at most", peak>>20)
	if peak >= memory {
		t.Errorf("the operator had %d MiB, at most %d are given to it", peak>>20, int64(memory)>>20)
	}
	for line := range strings.Lines(operatorLog()) {
		if strings.Contains(line, "panic") || strings.Contains(line, "internal error") {
			t.Errorf("the operator says: %s", line)
		}
	}
}

// nothingLeaks looks for credentials and personal data in everything that the operator tells.
func nothingLeaks(t *testing.T) {
	t.Helper()
	kubectl := func(args ...string) string {
		out, err := suite.cluster.Kubectl(t.Context(), args...)
		must(t, err)
		return out
	}
	places := map[string]string{
		"log":                 operatorLog(),
		"metrics":             metrics(t),
		"events":              kubectl("get", "events.events.k8s.io", "-A", "-o", "yaml"),
		"tracks and releases": kubectl("get", "rtrack,irel", "-A", "-o", "yaml", "--show-managed-fields"),
		"kubectl get":         kubectl("get", "rtrack,irel", "-A", "-o", "wide"),
		"leases":              kubectl("get", "leases", "-n", "stele-system", "-o", "yaml"),
	}
	values := maps.Clone(canaries)
	values["authorization header"] = base64.StdEncoding.EncodeToString([]byte(canaries["user name"] + ":" + canaries["password"]))
	for place, text := range places {
		if len(text) < 10 {
			t.Errorf("%s: nothing was found to look at", place)
		}
		for what, value := range values {
			if strings.Contains(text, value) {
				t.Errorf("%s is in %s", what, place)
			}
		}
	}
}

func metrics(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, suite.operator.MetricsURL, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(body)
}
