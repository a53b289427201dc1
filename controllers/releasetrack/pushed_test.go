package releasetrack

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
	"github.com/stele-dev/stele/internal/webhook"
)

// told is what reconciles do with a follower, and what a receiver sees of it: status, some time after it was written.
type told struct {
	*past
	mu    sync.Mutex
	cache string
	wrote sync.WaitGroup
	pause func()
}

func (w *told) reconcile() {
	if l := w.f.take(shopKey); l != nil && l.err == nil {
		w.req.observed, w.req.complete = l.found.revision, true
		w.wrote.Wait() // the cache is late, and in order
		w.wrote.Go(func() {
			w.pause()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.cache = l.found.revision.String()
		})
	}
	if now, _ := w.f.due(shopKey, w.req.asked); now {
		w.f.start(w.Context(), w.req)
	}
}

// deliver is the receiver.
func (w *told) deliver(commit string) {
	w.mu.Lock()
	observed := w.cache
	w.mu.Unlock()
	push := webhook.Push{Changes: []webhook.Change{{Ref: "refs/heads/main", After: commit}}}
	concern := push.Concerns(v1alpha1.TrackSource{Ref: v1alpha1.GitRef{Branch: "main"}}, observed)
	if concern == webhook.Look || concern == webhook.Seen && !w.f.Settled(shopKey, observed) {
		w.f.Pushed(shopKey)
	}
}

// Commits and their contraries are pushed at random moments, and each push is told of, early or late: in the end the last one is observed,
// without a poll, because the clock stands still.
func TestNoPushIsLost(t *testing.T) {
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // the same in every run
		var mu sync.Mutex
		pause := func() {
			mu.Lock()
			d := time.Duration(random.IntN(12)) * time.Millisecond
			mu.Unlock()
			time.Sleep(d)
		}
		w := &told{past: newPast(t), pause: pause}
		w.req.history, w.req.interval, w.req.asked = v1alpha1.RewrittenHistoryFollow, time.Hour, "a"
		commits := []string{w.commit("1"), w.commit("2"), w.commit("3")}
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for w.reconcile(); ; w.reconcile() {
				select {
				case <-w.f.Events():
				case <-stop:
					return
				}
			}
		}()
		var deliveries sync.WaitGroup
		last := commits[2]
		for range 40 {
			pause()
			mu.Lock()
			last = commits[random.IntN(len(commits))]
			mu.Unlock()
			if err := w.repo.SetRef("refs/heads/main", last); err != nil {
				t.Fatal(err)
			}
			commit := last
			deliveries.Go(func() {
				pause()
				w.deliver(commit)
			})
		}
		deliveries.Wait()
		want := gitsource.Revision{Ref: "main", Commit: last}.String()
		for deadline := time.Now().Add(20 * time.Second); !w.f.Settled(shopKey, want) && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		close(stop)
		<-ended
		w.wrote.Wait()
		if got := w.req.observed.String(); got != want {
			t.Fatalf("seed %d: observed %s, but the last push was %s", seed, got, want)
		}
	}
}
