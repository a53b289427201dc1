package gitsource

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stele-dev/stele/internal/gitsource/wire"
)

// asker counts questions, and answers each when it is told to.
type asker struct{ answers []chan error }

func (a *asker) ask() func() ([]wire.Ref, error) {
	return func() ([]wire.Ref, error) {
		c := make(chan error)
		a.answers = append(a.answers, c)
		return nil, <-c
	}
}

func (a *asker) join(ls *listings, maxAge time.Duration) *listing {
	l := ls.join("refs/heads/main", time.Now().Add(-maxAge), a.ask())
	synctest.Wait()
	return l
}

func (a *asker) answer(i int, err error) {
	a.answers[i] <- err
	synctest.Wait()
}

// Who asks for a fresh listing never gets one that began before; who waits for a place shares the next one.
func TestListingsAreFreshAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ls := &asker{}, &listings{}
		first := a.join(ls, 0)
		time.Sleep(time.Second)
		second := a.join(ls, 0)
		if first == second || len(a.answers) != 2 {
			t.Fatalf("a listing that began a second before is taken for a fresh one (%d questions)", len(a.answers))
		}
		time.Sleep(time.Second)
		third, fourth := a.join(ls, 0), a.join(ls, 0)
		if third != fourth || third == second || len(a.answers) != 2 {
			t.Fatalf("two that wait for a place do not share the next listing (%d questions)", len(a.answers))
		}
		if old := a.join(ls, 5*time.Second); old != second {
			t.Error("one that is content with an older answer does not get the latest that is under way")
		}
		a.answer(0, nil)
		if len(a.answers) != 3 {
			t.Fatalf("%d questions: the next one does not begin when there is room", len(a.answers))
		}
		a.answer(1, nil)
		a.answer(2, nil)
		<-third.done
		time.Sleep(time.Second)
		if kept := a.join(ls, 5*time.Second); kept != third {
			t.Error("the answer is not kept")
		}
		time.Sleep(listingKept)
		synctest.Wait()
		if len(ls.of) != 0 {
			t.Errorf("%d questions are remembered for ever", len(ls.of))
		}
	})
}

func TestListingsThatFailAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ls := &asker{}, &listings{}
		l := a.join(ls, 0)
		if joined := a.join(ls, time.Second); joined != l {
			t.Error("it is not shared while it is under way")
		}
		a.answer(0, errors.New("down"))
		if <-l.done; l.err == nil {
			t.Error("the error is lost")
		}
		if again := a.join(ls, time.Second); again == l {
			t.Error("a failure is kept")
		}
		a.answer(1, nil)
		time.Sleep(listingKept + time.Second)
		synctest.Wait()
		if len(ls.of) != 0 {
			t.Errorf("%d questions are remembered for ever", len(ls.of))
		}
	})
}

// A panic over what a server has answered is an error for those who asked, and the place is given back.
func TestListingsThatPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := &listings{}
		for range 2 * maxListings {
			l := ls.join("refs/heads/main", time.Now(), func() ([]wire.Ref, error) { panic("hostile answer") })
			if <-l.done; l.err == nil {
				t.Error("no error")
			}
			synctest.Wait()
		}
		ls.mu.Lock()
		running := ls.of["refs/heads/main"].running
		ls.mu.Unlock()
		if running != 0 {
			t.Errorf("%d listings are under way for ever", running)
		}
		time.Sleep(listingKept + time.Second)
		synctest.Wait()
	})
}

// Who is in a hurry does not fail the question of who has time, and who has time does not keep the others waiting.
func TestListingsAreSharedByThoseWithTheSameTimeout(t *testing.T) {
	store, err := NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	short, long := Remote{URL: "https://git.example/shop.git", Timeout: time.Second}, Remote{URL: "https://git.example/shop.git", Timeout: time.Minute}
	ref := Ref{Branch: "main"}
	if store.Listing(short, ref) == store.Listing(long, ref) {
		t.Error("tracks with different timeouts share a listing")
	}
	long.Timeout, short.Timeout = 0, defaultTimeout
	if store.Listing(short, ref) != store.Listing(long, ref) {
		t.Error("tracks with the same timeout do not")
	}
	if (&Store{}).Listing(short, Ref{Commit: strings.Repeat("1", 40)}) != "" {
		t.Error("a commit is listed")
	}
}
