package release

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestStories plays what happens to a track and compares the transcript with one that was reviewed. Left: time since the
// start. Indented: steps of a plan. Marked "|": what people see.
func TestStories(t *testing.T) {
	plain := func() *Content { return &Content{Workloads: []ObjectKey{web}, Services: []string{"web"}} }
	recreate := func() *Content {
		return &Content{Workloads: []ObjectKey{web}, Recreate: []ObjectKey{worker}, Services: []string{"web"}}
	}
	stories := map[string]func(s *story){
		"two_commits": func(s *story) {
			s.push("a", plain(), fateHealthy)
			s.play(time.Minute)
			s.push("b", plain(), fateHealthy)
			s.play(2 * time.Minute)
		},
		"never_healthy": func(s *story) {
			s.push("a", plain(), fateHealthy)
			s.play(time.Minute)
			s.push("b", plain(), fateNever)
			s.play(12 * time.Minute)
			s.push("c", plain(), fateHealthy)
			s.play(2 * time.Minute)
		},
		"rollback_and_back": func(s *story) {
			s.push("a", plain(), fateHealthy)
			s.play(time.Minute)
			s.push("b", plain(), fateHealthy)
			s.play(2 * time.Minute)
			s.setPin("a")
			s.play(2 * time.Minute)
			s.push("c", plain(), fateHealthy)
			s.push("d", plain(), fateHealthy)
			s.play(time.Minute)
			s.setPin("")
			s.play(2 * time.Minute)
		},
		"recreate": func(s *story) {
			s.push("a", recreate(), fateHealthy)
			s.play(time.Minute)
			s.push("b", recreate(), fateHealthy)
			s.play(2 * time.Minute)
			s.pushBadWorker("c", recreate())
			s.play(15 * time.Minute)
		},
		"preemption": func(s *story) {
			s.push("a", plain(), fateHealthy)
			s.play(time.Minute)
			s.push("b", plain(), fateNever)
			s.play(time.Minute)
			s.push("c", plain(), fateCrash)
			s.play(6 * time.Minute)
			s.push("d", plain(), fateHealthy)
			s.play(2 * time.Minute)
		},
		"manual_promotion": func(s *story) {
			s.m.track.Manual = true
			s.push("a", plain(), fateHealthy)
			s.play(20 * time.Minute)
			s.promote("a")
			s.play(time.Minute)
			s.push("b", plain(), fateHealthy)
			s.play(time.Minute)
			s.push("c", plain(), fateHealthy)
			s.play(time.Minute)
			s.promote("c")
			s.play(2 * time.Minute)
			s.promote("a")
			s.play(2 * time.Minute)
		},
		"observed_and_rolled_back": func(s *story) {
			s.m.track.Observe = 5 * time.Minute
			s.push("a", plain(), fateHealthy)
			s.play(6 * time.Minute)
			s.push("b", plain(), fateHealthy)
			s.play(2 * time.Minute)
			s.fallIll("b")
			s.play(2 * time.Minute)
			s.push("c", plain(), fateHealthy)
			s.play(7 * time.Minute)
		},
		"overlap": func(s *story) {
			s.m.track.Overlap = 20 * time.Second
			s.push("a", plain(), fateHealthy)
			s.play(time.Minute)
			s.push("b", plain(), fateHealthy)
			s.play(2 * time.Minute)
		},
		"rejected": func(s *story) {
			s.push("a", plain(), fateHealthy)
			s.play(time.Minute)
			s.push("b", plain(), fateHealthy)
			s.play(2 * time.Minute)
			s.m.logf("a person rejects b")
			s.m.track.Rejected = map[string]bool{"b": true}
			s.play(2 * time.Minute)
		},
		"restart": func(s *story) {
			s.push("a", plain(), fateHealthy)
			s.play(time.Minute)
			s.m.logf("a person asks for a restart")
			s.m.track.Restart = "now"
			s.play(2 * time.Minute)
		},
		"job": func(s *story) {
			s.push("a", &Content{Workloads: []ObjectKey{web}, Jobs: []ObjectKey{migrate}, Services: []string{"web"}}, fateHealthy)
			s.play(2 * time.Minute)
			s.m.badJobs["b"] = true
			s.push("b", &Content{Workloads: []ObjectKey{web}, Jobs: []ObjectKey{migrate}, Services: []string{"web"}}, fateHealthy)
			s.play(2 * time.Minute)
		},
		"kept_failed": func(s *story) {
			s.m.track.KeepFailed = 30 * time.Minute
			s.push("a", plain(), fateHealthy)
			s.play(time.Minute)
			s.push("b", plain(), fateCrash)
			s.play(45 * time.Minute)
		},
	}
	for name, tell := range stories {
		t.Run(name, func(t *testing.T) {
			s := &story{m: newModel(nil), seen: map[string]string{}}
			tell(s)
			if len(s.m.violations) > 0 {
				t.Errorf("what must be true was not: %v", s.m.violations)
			}
			if rest := stepStrings(Decide(s.m.view()).Steps); rest != nil {
				t.Errorf("the story ends with steps to do: %v", rest)
			}
			compareGolden(t, name, strings.Join(s.m.log, "\n")+"\n")
		})
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the transcript changed; look at it, then run with -update (-want +got):\n%s", diff)
	}
}

// TestEveryGoldenFileHasItsStory keeps files of stories that are no longer told from lying around.
func TestEveryGoldenFileHasItsStory(t *testing.T) {
	got, err := filepath.Glob(filepath.Join("testdata", "*.golden"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = strings.TrimSuffix(filepath.Base(got[i]), ".golden")
	}
	want := []string{"job", "kept_failed", "manual_promotion", "never_healthy", "observed_and_rolled_back", "overlap", "preemption", "recreate",
		"rejected", "restart", "rollback_and_back", "two_commits"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// story drives a model in which nothing is left to chance.
type story struct {
	m    *model
	seen map[string]string
	// worker, when set, is the fate of the Recreate workload of the newest commit.
	worker fate
}

func (s *story) push(name string, content *Content, f fate) {
	s.m.logf("commit %s; its pods are %s", name, f)
	s.m.commit(name, content, f)
}

// pushBadWorker pushes a commit whose Recreate workload never becomes ready; its other pods are healthy.
func (s *story) pushBadWorker(name string, content *Content) {
	s.m.logf("commit %s; its worker is %s", name, fateNever)
	s.m.commit(name, content, fateHealthy)
	s.worker = fateNever
}

func (s *story) setPin(name string) {
	if name == "" {
		s.m.logf("a person removes the pin")
	} else {
		s.m.logf("a person pins %s", name)
	}
	s.m.track.Pin, s.m.track.PinSince = name, s.m.now
}

func (s *story) promote(name string) {
	s.m.logf("a person promotes %s", name)
	s.m.track.Promote, s.m.promoteSince, s.m.agreed[name] = name, s.m.now, true
}

// fallIll: all pods of a release are unready from now on.
func (s *story) fallIll(name string) {
	s.m.logf("the pods of %s fall ill", name)
	for _, p := range s.m.runs[RunKey{name, 1}].pods {
		p.unwell = true
	}
}

// play lets time go by, with a look at the world every five seconds, and after every plan that had steps.
func (s *story) play(d time.Duration) {
	for end := s.m.now.Add(d); s.m.now.Before(end); {
		if s.worker != "" {
			s.spoilWorker()
		}
		plan := s.m.reconcile()
		s.tell(plan)
		s.m.check()
		if len(plan.Steps) == 0 {
			s.m.pass(5 * time.Second)
		}
	}
}

// spoilWorker gives the Recreate workload of the newest commit its fate.
func (s *story) spoilWorker() {
	for key, run := range s.m.runs {
		if w := run.workloads[worker]; w != nil && key.Release == s.m.track.Head {
			w.fate = s.worker
			for _, p := range run.pods {
				if p.owner == worker {
					p.readyAt = time.Time{}
				}
			}
		}
	}
}

// tell says what has changed in what people see.
func (s *story) tell(plan Plan) {
	for _, r := range s.m.releases {
		line := string(r.Status.Phase)
		if w, ok := plan.Waiting[r.Name]; ok {
			line += ", " + w.Message
		}
		s.changed(r.Name, line)
	}
	names := make([]string, 0, len(s.m.services))
	for name := range s.m.services {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		selects := "selects " + s.m.services[name].selects.String()
		if to := s.m.services[name].overlap; to != (RunKey{}) {
			selects = "selects any run, on its way to " + to.String()
		}
		s.changed("Service "+name, selects)
	}
}

func (s *story) changed(what, line string) {
	if s.seen[what] != line {
		s.seen[what] = line
		s.m.logf("    | %s: %s", what, line)
	}
}
