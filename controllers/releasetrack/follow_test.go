package releasetrack

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
)

var shopKey = key("shop", "shop")

// ask is the request of a look at a port of this machine on which nobody listens: it fails at once.
func ask(k types.NamespacedName, asked string) lookRequest {
	return lookRequest{track: k, asked: asked, interval: time.Minute, path: "deploy", ref: gitsource.Ref{Branch: "main"},
		remote: gitsource.Remote{URL: "http://127.0.0.1:1/shop.git", Timeout: 5 * time.Second}}
}

func newFollower(t *testing.T, workers int) (*Follower, *setClock) {
	t.Helper()
	store, err := gitsource.NewStore(t.TempDir(), gitsource.WithDialer(onLoopback()))
	if err != nil {
		t.Fatal(err)
	}
	clock := &setClock{present}
	return NewFollower(store, clock, workers), clock
}

func due(f *Follower, asked string) (bool, time.Duration) { return f.due(shopKey, asked) }

func nextEvent(t *testing.T, f *Follower) string {
	t.Helper()
	select {
	case e := <-f.Events():
		return e.Object.GetNamespace() + "/" + e.Object.GetName()
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
	}
	return ""
}

// A track is looked at when it is new, when its interval is over, and when it is asked for something else; never twice at a time.
func TestDue(t *testing.T) {
	f, clock := newFollower(t, 2)
	if now, _ := due(f, "a"); !now {
		t.Fatal("a new track is not due")
	}
	f.start(t.Context(), ask(shopKey, "a"))
	if now, _ := due(f, "b"); now && f.tracks[shopKey].running {
		t.Error("two looks at a time")
	}
	if got := nextEvent(t, f); got != "shop/shop" {
		t.Errorf("event of %s", got)
	}
	if now, _ := due(f, "a"); now {
		t.Error("due before the last look was taken")
	}
	if now, _ := due(f, "b"); !now {
		t.Error("an answer that nobody has taken keeps another question from being asked")
	}
	l := f.take(shopKey)
	if l == nil || l.request.asked != "a" || l.err == nil {
		t.Fatalf("the look is %+v", l)
	}
	if f.take(shopKey) != nil {
		t.Error("a look is taken twice")
	}
	if now, _ := due(f, "b"); !now {
		t.Error("another request is not due")
	}
	// It has failed: it is repeated after a tenth of the interval.
	now, wait := due(f, "a")
	if now || wait != 6*time.Second {
		t.Errorf("due %v, in %s", now, wait)
	}
	clock.now = clock.now.Add(6 * time.Second)
	if now, _ := due(f, "a"); !now {
		t.Error("not due when its time has come")
	}
	s := f.state(shopKey)
	if !s.looked || s.read || sourceReason(s.problem) != v1alpha1.GitUnreachableReason {
		t.Errorf("state is %+v", s)
	}
}

// The interval is counted from the start of a look, less a jitter of up to a tenth.
func TestJitter(t *testing.T) {
	var shortest, longest time.Duration
	for range 300 {
		wait := jittered(time.Minute)
		if shortest == 0 || wait < shortest {
			shortest = wait
		}
		longest = max(longest, wait)
	}
	if shortest < 54*time.Second || longest > time.Minute || longest-shortest < 3*time.Second {
		t.Errorf("intervals of 1m last from %s to %s", shortest, longest)
	}
}

func TestRetryAfter(t *testing.T) {
	for interval, want := range map[time.Duration][]time.Duration{
		time.Second:      {time.Second, time.Second, time.Second},
		5 * time.Second:  {5 * time.Second, 5 * time.Second},
		30 * time.Second: {5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second},
		time.Minute:      {6 * time.Second, 12 * time.Second, 24 * time.Second, 48 * time.Second, time.Minute, time.Minute},
		time.Hour:        {6 * time.Minute, 12 * time.Minute},
	} {
		for i, w := range want {
			if got := retryAfter(interval, i+1); got != w {
				t.Errorf("%s, after %d failures: %s, want %s", interval, i+1, got, w)
			}
		}
		if got := retryAfter(interval, 1_000_000); got != interval {
			t.Errorf("%s, after many failures: %s", interval, got)
		}
	}
}

// Tracks that would ask the same server for the same soon look together.
func TestMates(t *testing.T) {
	f, clock := newFollower(t, 1)
	now := clock.now
	put := func(name, listing string, next time.Duration) *following {
		u := &following{listing: listing, next: now.Add(next), interval: time.Minute}
		f.tracks[key("shop", name)] = u
		return u
	}
	me := put("me", "a", 0)
	soon := put("soon", "a", 20*time.Second)
	later := put("later", "a", 40*time.Second)
	other := put("other", "b", 20*time.Second)
	due := put("due", "a", 0)
	running := put("running", "a", 20*time.Second)
	running.running = true
	got := f.mates(me, now)
	if len(got) != 1 || got[0] != key("shop", "soon") || !soon.next.Equal(now) {
		t.Errorf("mates are %v", got)
	}
	for name, u := range map[string]*following{"one of another listing": other, "one that has just looked": later, "one that looks": running} {
		if u.next.Equal(now) {
			t.Errorf("%s looks as well", name)
		}
	}
	if !due.next.Equal(now) || len(f.mates(me, now)) != 0 {
		t.Error("mates are woken twice")
	}
	me.listing = ""
	later.listing = ""
	if len(f.mates(me, now)) != 0 {
		t.Error("tracks that ask nobody have mates")
	}
}

// A push is looked for afresh, at once, and once more when it came while a look was under way.
func TestPushed(t *testing.T) {
	f, _ := newFollower(t, 1)
	f.Pushed(shopKey) // nothing is known of it: it will be looked at anyway
	if len(f.tracks) != 0 {
		t.Error("a track that does not exist is remembered")
	}
	f.start(t.Context(), ask(shopKey, "a"))
	f.Pushed(shopKey)
	nextEvent(t, f)
	for running := true; running; {
		f.mu.Lock()
		running = f.tracks[shopKey].running
		f.mu.Unlock()
	}
	l := f.take(shopKey)
	if now, _ := due(f, "a"); !now || l == nil || !l.request.fresh {
		t.Fatalf("due %v, after the look %+v", now, l)
	}
	f.start(t.Context(), ask(shopKey, "a"))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tracks[shopKey].fresh {
		t.Error("it is asked for afresh for ever")
	}
}

// What was asked for before is polled; what is asked for newly, or after a push, has to be fresh.
func TestFresh(t *testing.T) {
	f, _ := newFollower(t, 1)
	look := func(asked string) bool {
		f.start(t.Context(), ask(shopKey, asked))
		nextEvent(t, f)
		return f.take(shopKey).request.fresh
	}
	if !look("a") || look("a") || !look("b") || look("b") {
		t.Error("the first look, or another request, is not fresh; or a poll is")
	}
	if (lookRequest{fresh: true, interval: time.Hour}).maxAge() != 0 || (lookRequest{interval: time.Hour}).maxAge() != 5*time.Second ||
		(lookRequest{interval: time.Second}).maxAge() != 100*time.Millisecond {
		t.Error("how old a listing may be")
	}
}

// A panic over hostile input is an error of that one track.
func TestSafely(t *testing.T) {
	_, err := safely(func() (*found, error) {
		var nothing *found
		return nothing, errors.New(nothing.revision.Commit)
	})
	if err == nil || !strings.Contains(err.Error(), "internal error while reading the repository") || sourceReason(err) != v1alpha1.GitFailedReason {
		t.Errorf("got %v", err)
	}
	want := &found{unchanged: true}
	if got, err := safely(func() (*found, error) { return want, nil }); got != want || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// A look whose releases could not be written is put back; a newer one, or another request, stands.
func TestPutBack(t *testing.T) {
	f, _ := newFollower(t, 1)
	old := &look{request: ask(shopKey, "a")}
	f.mu.Lock()
	f.of(shopKey).asked = "a"
	f.mu.Unlock()
	f.putBack(old)
	if f.take(shopKey) != old {
		t.Error("it is lost")
	}
	newer := &look{request: ask(shopKey, "a")}
	f.tracks[shopKey].last = newer
	f.putBack(old)
	if f.take(shopKey) != newer {
		t.Error("the newer one is lost")
	}
	f.tracks[shopKey].asked = "b"
	f.putBack(old)
	if f.take(shopKey) != nil {
		t.Error("an answer to an earlier request came back")
	}
}

// A track that is deleted, or deleted and made again, while it is looked at gets nothing of it.
func TestForgetWhileLooking(t *testing.T) {
	f, _ := newFollower(t, 1)
	f.start(t.Context(), ask(shopKey, "first"))
	f.Forget(shopKey)
	select { // it may have ended before
	case <-f.Events():
	default:
	}
	f.start(t.Context(), ask(shopKey, "second"))
	nextEvent(t, f)
	l := f.take(shopKey)
	if l == nil || l.request.asked != "second" {
		t.Errorf("the look is %+v", l)
	}
	select {
	case e := <-f.Events():
		t.Errorf("another event, of %s", e.Object.GetName())
	case <-time.After(50 * time.Millisecond):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tracks[shopKey].running {
		t.Error("it is running still")
	}
}

// Credentials that cannot be read are a failed look, without a look.
func TestRefuse(t *testing.T) {
	f, clock := newFollower(t, 1)
	problem := &sourceError{v1alpha1.GitSecretReason, "no such Secret"}
	f.refuse(ask(shopKey, "a"), problem)
	if s := f.state(shopKey); !s.looked || !errors.Is(s.problem, problem) {
		t.Errorf("state is %+v", s)
	}
	if now, wait := due(f, "a"); now || wait != 6*time.Second {
		t.Errorf("due %v, in %s", now, wait)
	}
	clock.now = clock.now.Add(time.Minute)
	if now, _ := due(f, "a"); !now {
		t.Error("not asked again")
	}
}

// Workers are bounded, and all tracks have their turn.
func TestManyTracks(t *testing.T) {
	f, _ := newFollower(t, 3)
	var wg sync.WaitGroup
	names := map[string]bool{}
	for i := range 40 {
		name := "t" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		names["shop/"+name] = true
		wg.Go(func() { f.start(t.Context(), ask(key("shop", name), "a")) })
	}
	wg.Wait()
	for range 40 {
		delete(names, nextEvent(t, f))
	}
	if len(names) != 0 {
		t.Errorf("no event of %v", names)
	}
}
