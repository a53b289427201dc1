package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const doesItRun = " Does it run? kubectl -n " + operatorIn + " get pods"

// silence is how long the operator may take to show that it has seen a wish before people are told to look at it.
const silence = 10 * time.Second

// until follows a track until judge says that what was asked for is done, or will not be. stays says what remains asked for when nobody waits
// any more.
func (a *acting) until(ctx context.Context, track string, judge func(scene) verdict, stays string) error {
	waiting, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	p := &progress{acting: a, began: a.now()}
	hint := time.AfterFunc(silence, p.silent)
	defer hint.Stop()
	done := false
	err := a.follow(waiting, a.api, a.ns, func(w *world) (bool, error) {
		t := w.tracks[client.ObjectKey{Namespace: a.ns, Name: track}]
		if t == nil {
			return false, exitf(exitFailed, "track %s is gone", track)
		}
		v := judge(newScene(t, w.releasesOf(track)))
		p.tell(v)
		done = v.done != ""
		return done, v.failed
	})
	switch {
	case err != nil || done:
		return err
	case ctx.Err() != nil:
		return exitf(exitTimeout, "interrupted. %s\n%s shows how it goes on.", stays, a.command("status -w"))
	}
	return exitf(exitTimeout, "not seen to be done within %s: %s\n%s\n%s shows how it goes on.", a.timeout, p.last(), stays, a.command("status -w"))
}

// progress writes what is new of what goes on.
type progress struct {
	*acting
	began time.Time

	mu     sync.Mutex
	lines  []string
	unseen bool
}

func (p *progress) tell(v verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range v.lines {
		if line != notSeen && !slices.Contains(p.lines, line) {
			p.line(line)
		}
	}
	p.unseen = v.unseen
	if p.lines = v.lines; v.done != "" {
		p.line(v.done)
	}
}

func (p *progress) line(text string) {
	p.say("%5s  %s", p.now().Sub(p.began).Round(time.Second), safe(text))
}

// silent says where to look when the operator shows nothing.
func (p *progress) silent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) == 0 || p.unseen {
		p.line(notSeen + "." + doesItRun)
	}
}

func (p *progress) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := safe(strings.Join(p.lines, "; "))
	if p.unseen {
		text += ". The operator has shown nothing of it." + doesItRun
	}
	return text
}
