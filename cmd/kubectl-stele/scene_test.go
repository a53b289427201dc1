package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// The releases of these tables are of track shop, named after the letter that their commits repeat.

func commitID(letter string) string { return strings.Repeat(letter, 40) }

func releaseID(letter string) string { return "shop-" + strings.Repeat(letter, 10) }

func micro(minutes int) *metav1.MicroTime {
	t := metav1.NewMicroTime(time.Date(2026, time.March, 3, 3, minutes, 0, 0, time.UTC))
	return &t
}

// rel makes a release that can run and has not.
func rel(letter string, sequence int64, options ...func(*v1alpha1.ImmutableRelease)) *v1alpha1.ImmutableRelease {
	r := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: releaseID(letter)}}
	r.Spec.Track, r.Spec.Sequence, r.Spec.Source.Commit = "shop", sequence, commitID(letter)
	r.Spec.Archive = &v1alpha1.ReleaseArchive{Chunks: 1}
	for _, o := range options {
		o(r)
	}
	return r
}

// serving takes the traffic with two pods.
func serving(r *v1alpha1.ImmutableRelease) {
	r.Status.Run, r.Status.ActiveRun = 1, 1
	r.Status.Times.Activated = micro(int(r.Spec.Sequence))
	r.Status.Replicas = v1alpha1.ReleaseReplicas{Desired: 2, Ready: 2, Remaining: 2}
}

// begun has a first run that takes no traffic yet.
func begun(r *v1alpha1.ImmutableRelease) { r.Status.Run, r.Status.Times.Staged = 1, micro(40) }

// replaced took the traffic, and so many pods of it are left.
func replaced(pods int32, outcome v1alpha1.ReleaseOutcome) func(*v1alpha1.ImmutableRelease) {
	return func(r *v1alpha1.ImmutableRelease) {
		serving(r)
		r.Status.ActiveRun, r.Status.Outcome, r.Status.Times.Superseded = 0, outcome, micro(30)
		if r.Status.Replicas.Remaining = pods; pods == 0 {
			r.Status.Times.Retired = micro(31)
		}
	}
}

func refusedRelease(r *v1alpha1.ImmutableRelease) {
	r.Spec.Refusal, r.Spec.Archive = &v1alpha1.ReleaseRefusal{Reason: "InvalidYAML", Message: "line 1"}, nil
}

func says(kind string, status bool, reason, message string) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message}
	if status {
		c.Status = metav1.ConditionTrue
	}
	return c
}

// onTrack makes a scene; the last active release is what the track says that runs.
func onTrack(change func(*v1alpha1.ReleaseTrack), releases ...*v1alpha1.ImmutableRelease) scene {
	t := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", Generation: 7}}
	t.Status.ObservedGeneration = 7
	for _, r := range releases {
		if t.Status.HeadRelease = r.Name; r.Status.ActiveRun > 0 {
			t.Status.ActiveRelease = r.Name
		}
	}
	if change != nil {
		change(t)
	}
	return scene{track: t, releases: releases}
}

func pinnedTo(letter string) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) { t.Spec.Pin = releaseID(letter) }
}

// codeOf is the exit code of an error; 0: none.
func codeOf(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	}
	return exitFailed
}

func TestFindsWhatPeopleMean(t *testing.T) {
	again := rel("b", 4)
	again.Name += "-1a2b"
	gone := rel("b", 5, refusedRelease)
	gone.Name += "-3c4d"
	near := rel("c", 6)
	near.Name, near.Spec.Source.Commit = "shop-cccccccd00", "cccccccd"+commitID("0")[8:]
	s := onTrack(nil, rel("a", 1), rel("b", 2), rel("c", 3), again, gone, near)
	cases := map[string]struct {
		word, want, problem string
	}{
		"its name":                               {word: releaseID("a"), want: releaseID("a")},
		"its whole commit":                       {word: commitID("a"), want: releaseID("a")},
		"the beginning of its commit":            {word: "aaaaaaa", want: releaseID("a")},
		"the beginning of its name":              {word: "shop-aaaaaaaa", want: releaseID("a")},
		"of one commit, the newest that can run": {word: "bbbbbbb", want: releaseID("b") + "-1a2b"},
		"too short":                              {word: "aaaaaa", problem: "at least 7"},
		"no commit":                              {word: "nonsense", problem: "has no release nonsense"},
		"of two commits":                         {word: "ccccccc", problem: "the beginning of 2 commits"},
		"an escape is shown and not obeyed":      {word: "\x1b[2J", problem: `\x1b[2J`},
		"a wildcard is none":                     {word: "a.*", problem: "has no release"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := s.find(tc.word)
			switch {
			case tc.problem == "" && (err != nil || r.Name != tc.want):
				t.Errorf("want %s, got %v, %v", tc.want, r, err)
			case tc.problem != "" && (err == nil || !strings.Contains(err.Error(), tc.problem)):
				t.Errorf("want %q, got %v", tc.problem, err)
			}
		})
	}
}

func TestWhichCommitIsRejected(t *testing.T) {
	other := rel("b", 1)
	other.Spec.Track = "api"
	releases := []v1alpha1.ImmutableRelease{*rel("a", 1), *rel("b", 2), *other}
	near := rel("a", 3)
	near.Name, near.Spec.Source.Commit = "shop-aaaaaaab00", "aaaaaaab"+commitID("0")[8:]
	cases := map[string]struct {
		word, track           string
		wantTrack, wantCommit string
		code                  int
		with                  []v1alpha1.ImmutableRelease
	}{
		"the beginning of a commit":           {word: "aaaaaaa", wantTrack: "shop", wantCommit: commitID("a")},
		"a release":                           {word: releaseID("a"), wantTrack: "shop", wantCommit: commitID("a")},
		"of two tracks":                       {word: "bbbbbbb", code: exitUsage},
		"the beginning of two commits":        {word: "aaaaaaa", code: exitUsage, with: []v1alpha1.ImmutableRelease{*near}},
		"that has not come yet, with a track": {word: commitID("f"), track: "shop", wantTrack: "shop", wantCommit: commitID("f")},
		"that has not come yet, without":      {word: commitID("f"), code: exitUsage},
		"the beginning of an unknown one":     {word: "fffffff", track: "shop", code: exitFailed},
		"too short":                           {word: "aaaaaa", code: exitFailed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			track, commit, err := whichCommit(append(tc.with, releases...), tc.word, tc.track)
			if track != tc.wantTrack || commit != tc.wantCommit || codeOf(err) != tc.code {
				t.Errorf("got %s %s %v", track, commit, err)
			}
		})
	}
}

func TestToPin(t *testing.T) {
	failing := func(r *v1alpha1.ImmutableRelease) {
		begun(r)
		r.Status.Outcome, r.Status.Times.Superseded = v1alpha1.OutcomeProgressDeadlineExceeded, micro(50)
	}
	superseded := replaced(0, v1alpha1.OutcomeSuperseded)
	cases := map[string]struct {
		s    scene
		to   string
		want string
		code int
	}{
		"the last good one":                                {s: onTrack(nil, rel("a", 1, superseded), rel("b", 2, serving)), want: "a"},
		"nothing came before":                              {s: onTrack(nil, rel("b", 2, serving)), code: exitRefused},
		"somebody has gone back already, and it runs":      {s: onTrack(pinnedTo("b"), rel("a", 1, superseded), rel("b", 2, serving), rel("c", 3, replaced(0, v1alpha1.OutcomeRolledBack))), want: "b"},
		"somebody has gone back already, it is on its way": {s: onTrack(pinnedTo("b"), rel("a", 1, superseded), rel("b", 2, begun), rel("c", 3, serving)), want: "b"},
		"what is pinned has failed":                        {s: onTrack(pinnedTo("b"), rel("a", 1, superseded), rel("b", 2, failing), rel("c", 3, serving)), want: "a"},
		"what is pinned does not exist":                    {s: onTrack(pinnedTo("f"), rel("a", 1, superseded), rel("b", 2, serving)), want: "a"},
		"further back, by its commit":                      {s: onTrack(pinnedTo("b"), rel("a", 1, superseded), rel("b", 2, serving)), to: "aaaaaaa", want: "a"},
		"one that was refused":                             {s: onTrack(nil, rel("a", 1, refusedRelease), rel("b", 2, serving)), to: "aaaaaaa", code: exitRefused},
		"one that is not there":                            {s: onTrack(nil, rel("b", 2, serving)), to: "aaaaaaa", code: exitFailed},
		"one whose pin has failed is not tried by itself":  {s: onTrack(pinnedTo("a"), rel("a", 1, failing), rel("b", 2, serving)), to: "aaaaaaa", code: exitRefused},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := toPin(tc.s, tc.to)
			if codeOf(err) != tc.code || err == nil && r.Name != releaseID(tc.want) {
				t.Errorf("want %s, code %d; got %v %v", tc.want, tc.code, r, err)
			}
			if err != nil && !strings.Contains(err.Error(), "an run") {
				t.Errorf("it does not say what can run: %v", err)
			}
		})
	}
}

func TestAfterwards(t *testing.T) {
	manual := func(t *v1alpha1.ReleaseTrack) { t.Spec.Rollout.Promotion = v1alpha1.PromotionManual }
	back := replaced(0, v1alpha1.OutcomeRolledBack)
	cases := map[string]struct {
		s    scene
		want string
	}{
		"the newest":            {onTrack(nil, rel("a", 1, serving), rel("b", 2, back), rel("c", 3)), "next is shop-cccccccccc (commit cccccccccc), now Pending"},
		"the one left":          {onTrack(nil, rel("a", 1, serving), rel("b", 2, back)), "next is shop-bbbbbbbbbb (commit bbbbbbbbbb), now Retired, RolledBack"},
		"what runs":             {onTrack(nil, rel("a", 1, serving)), "shop-aaaaaaaaaa (commit aaaaaaaaaa) goes on"},
		"nothing":               {onTrack(nil), "no release is known"},
		"with manual promotion": {onTrack(manual, rel("a", 1, serving), rel("c", 3)), "standby"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := afterwards(tc.s); !strings.Contains(got, tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

func TestConsequence(t *testing.T) {
	rejecting := func(letter string, s scene) scene {
		after := scene{track: s.track.DeepCopy(), releases: s.releases}
		after.track.Spec.Rejected = []string{commitID(letter)}
		return after
	}
	superseded := replaced(0, v1alpha1.OutcomeSuperseded)
	cases := map[string]struct {
		letter, want string
		s            scene
	}{
		"what runs gives way":    {"b", "runs now and gives way to shop-aaaaaaaaaa", onTrack(nil, rel("a", 1, superseded), rel("b", 2, serving))},
		"what runs has no other": {"b", "serves on", onTrack(nil, rel("b", 2, serving))},
		"what is on its way":     {"c", "is ended", onTrack(nil, rel("b", 2, serving), rel("c", 3, begun))},
		"what waits":             {"c", "is Pending and does not run", onTrack(nil, rel("b", 2, serving), rel("c", 3))},
		"what has not come":      {"f", "no release was made of it yet", onTrack(nil, rel("b", 2, serving))},
		"what is pinned":         {"b", "cannot be obeyed any more", onTrack(pinnedTo("b"), rel("b", 2, serving))},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := consequence(tc.s, rejecting(tc.letter, tc.s), commitID(tc.letter)); !strings.Contains(got, tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

func TestIntention(t *testing.T) {
	failed := func(r *v1alpha1.ImmutableRelease) {
		replaced(0, v1alpha1.OutcomeProgressDeadlineExceeded)(r)
		r.Status.Conditions = append(r.Status.Conditions, says(v1alpha1.HealthyCondition, false, "Failed", "web \x1b[2J crashes"))
	}
	got := intention(rel("b", 2, serving), rel("a", 1, failed))
	if !strings.Contains(got, "careful") || !strings.Contains(got, `web \x1b[2J crashes`) {
		t.Errorf("nothing is said of the run that has failed: %q", got)
	}
	if got := intention(rel("b", 2, serving), rel("a", 1, replaced(0, v1alpha1.OutcomeSuperseded))); strings.Contains(got, "careful") {
		t.Error(got)
	}
}

func TestOnItsWay(t *testing.T) {
	if got := onItsWay(onTrack(nil, rel("a", 1, replaced(0, v1alpha1.OutcomeSuperseded)), rel("b", 2, serving))); got != nil {
		t.Errorf("%s is on its way", got.Name)
	}
	if got := onItsWay(onTrack(nil, rel("a", 1, replaced(0, v1alpha1.OutcomeSuperseded)), rel("b", 2, serving), rel("c", 3, begun))); got == nil || got.Name != releaseID("c") {
		t.Errorf("got %v, want c", got)
	}
}

// A status of before the last change does not look as if all were well.
func TestNotTakenUp(t *testing.T) {
	track := onTrack(pinnedTo("a")).track
	if got := notes(track, nil); len(got) > 0 {
		t.Errorf("notes of a track that was looked at: %q", got)
	}
	track.Generation++
	if got := notes(track, nil); !slices.Contains(got, notTakenUp) {
		t.Errorf("a pin that the operator does not know of yet is not noted: %q", got)
	}
}

func TestHeldByGit(t *testing.T) {
	entry := func(manager, operation, fields string) metav1.ManagedFieldsEntry {
		f := &metav1.FieldsV1{}
		if err := f.UnmarshalJSON([]byte(fields)); err != nil {
			t.Fatal(err)
		}
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationType(operation), FieldsV1: f}
	}
	cases := map[string]struct {
		entry metav1.ManagedFieldsEntry
		want  bool
	}{
		"a sync that holds it":         {entry("kustomize-controller", "Apply", `{"f:spec":{"f:pin":{}}}`), true},
		"a sync that leaves it out":    {entry("kustomize-controller", "Apply", `{"f:spec":{"f:source":{"f:pin":{}}}}`), false},
		"somebody who patched it once": {entry("kubectl-patch", "Update", `{"f:spec":{"f:pin":{}}}`), false},
		"ourselves":                    {entry(fieldManager, "Apply", `{"f:spec":{"f:pin":{}}}`), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			track := &v1alpha1.ReleaseTrack{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{tc.entry}}}
			if got := heldByGit(track, "pin"); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
