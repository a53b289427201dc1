package main

import (
	"fmt"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// scene is a track with its releases, oldest first, as they were seen last.
type scene struct {
	track    *v1alpha1.ReleaseTrack
	releases []*v1alpha1.ImmutableRelease
}

func newScene(t *v1alpha1.ReleaseTrack, releases []v1alpha1.ImmutableRelease) scene {
	s := scene{track: t}
	for i := range releases {
		s.releases = append(s.releases, &releases[i])
	}
	slices.SortFunc(s.releases, func(a, b *v1alpha1.ImmutableRelease) int { return int(a.Spec.Sequence - b.Spec.Sequence) })
	return s
}

// named is a release; nil: there is none of this name.
func (s scene) named(name string) *v1alpha1.ImmutableRelease {
	for _, r := range s.releases {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// active is the release that takes the traffic; nil: none does.
func (s scene) active() *v1alpha1.ImmutableRelease { return release.ActiveOf(s.releases) }

// rejected are the commits that the track never runs.
func (s scene) rejected() map[string]bool {
	out := map[string]bool{}
	for _, commit := range s.track.Spec.Rejected {
		out[commit] = true
	}
	return out
}

// stalled is why the track goes nowhere by itself; nil: it does, or the operator has not said so of this generation.
func (s scene) stalled() *metav1.Condition {
	if s.track.Status.ObservedGeneration < s.track.Generation || !apimeta.IsStatusConditionTrue(s.track.Status.Conditions, v1alpha1.StalledCondition) {
		return nil
	}
	return apimeta.FindStatusCondition(s.track.Status.Conditions, v1alpha1.ReadyCondition)
}

// next is the release that the track would go to, with the wishes that its spec has now; nil: none, or none that is known yet.
func (s scene) next() *v1alpha1.ImmutableRelease {
	t := s.track
	view := release.View{Releases: s.releases, Track: release.Track{
		Name: t.Name, Pin: t.Spec.Pin, Manual: t.Spec.Rollout.Promotion == v1alpha1.PromotionManual, Rejected: s.rejected(),
		Verify: t.Spec.Source.Verify != nil, Head: t.Status.HeadRelease, Active: t.Status.ActiveRelease,
	}}
	if p := t.Status.Promotion; p == nil || p.Release != t.Spec.Promote || p.Handled == nil {
		view.Track.Promote = t.Spec.Promote
	}
	return s.named(release.Wanted(view))
}

// find is the release that people mean: by its name, or by the beginning of its name or commit, long enough to be no accident. Of several
// releases of one commit it is the newest that can run.
func (s scene) find(word string) (*v1alpha1.ImmutableRelease, error) {
	if r := s.named(word); r != nil {
		return r, nil
	}
	prefix := strings.TrimPrefix(word, s.track.Name+"-")
	var found []*v1alpha1.ImmutableRelease
	if commitForm.MatchString(prefix) {
		for _, r := range s.releases {
			if strings.HasPrefix(r.Spec.Source.Commit, prefix) {
				found = append(found, r)
			}
		}
	}
	commits := commitsOf(found)
	switch len(commits) {
	case 0:
		return nil, fmt.Errorf("track %s has no release %s. Name a release, or at least 7 characters of its commit", s.track.Name, safe(word))
	case 1:
	default:
		return nil, fmt.Errorf("%s is the beginning of %d commits: %s. Write more of it", safe(word), len(commits), strings.Join(commits, ", "))
	}
	rejected, best := s.rejected(), found[len(found)-1]
	for _, r := range found {
		if release.CannotRun(r, rejected) == "" {
			best = r
		}
	}
	return best, nil
}

// commitsOf lists the different commits of releases.
func commitsOf(releases []*v1alpha1.ImmutableRelease) []string {
	var out []string
	for _, r := range releases {
		if !slices.Contains(out, r.Spec.Source.Commit) {
			out = append(out, r.Spec.Source.Commit)
		}
	}
	return out
}

// choices names the releases that can run besides the active one, newest first; at most five.
func (s scene) choices() string {
	var out []string
	for _, r := range slices.Backward(s.releases) {
		if r.Status.ActiveRun == 0 && release.CannotRun(r, s.rejected()) == "" && len(out) < 5 {
			out = append(out, fmt.Sprintf("%s (%s)", r.Name, state(r)))
		}
	}
	if len(out) == 0 {
		return "No other release of this track can run."
	}
	return "Those that can run: " + strings.Join(out, ", ") + "."
}

// state is the phase of a release, and why it ended.
func state(r *v1alpha1.ImmutableRelease) string {
	text := string(release.Phase(r))
	if r.Status.Outcome != "" && r.Status.ActiveRun == 0 {
		text += ", " + string(r.Status.Outcome)
	}
	return text
}

// of is a release with its commit.
func of(r *v1alpha1.ImmutableRelease) string {
	return fmt.Sprintf("%s (commit %s)", r.Name, release.Short(r.Spec.Source.Commit))
}
