package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		a, track, undo := &acting{shell: s}, "", false
		cmd := a.acts(&cobra.Command{
			Use: "reject COMMIT", Short: "Never run a commit",
			Long: "Never run a commit. One that is being staged is ended; one that runs gives way to a newer one, or else to the newest earlier release that has worked.\n\n" +
				"The commit is its full id, or at least 7 characters of it where a release was made of it. It needs the ClusterRole stele-oncall or stele-edit in the namespace.",
			Example: "  kubectl stele reject 7c5bcc8a41 -n shop\n" +
				"  kubectl stele reject 7c5bcc8a41 -n shop --undo    # it may run again",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeArg(s.completeCommits(func([]string) string { return track })),
			RunE:              func(cmd *cobra.Command, args []string) error { return a.reject(cmd.Context(), args[0], track, undo) },
		})
		cmd.Flags().StringVarP(&track, "track", "t", "", "track that never runs it; needed where several tracks have the commit, or none yet")
		cmd.Flags().BoolVar(&undo, "undo", false, "take the commit from the list: it can run again")
		_ = cmd.RegisterFlagCompletionFunc("track", s.completeTracks()) // the flag is there
		return cmd
	})
}

// maxRejected is how many commits a track can reject (the maximum of spec.rejected).
const maxRejected = 100

func (a *acting) reject(ctx context.Context, word, track string, undo bool) error {
	all, err := a.listReleases(ctx, a.api, track)
	if err != nil {
		return err
	}
	track, commit, err := whichCommit(all, strings.ToLower(word), bareName(track))
	if err != nil {
		return err
	}
	s, err := a.look(ctx, track)
	if err != nil {
		return err
	}
	now := s.track
	has := slices.Contains(now.Spec.Rejected, commit)
	switch {
	case undo && !has:
		a.say("Commit %s is not rejected on track %s. Nothing was changed.", commit, track)
		return a.showTrack(now)
	case !undo && has:
		// Who asks second wants to know, too, whether it is gone.
		a.say("Commit %s is rejected on track %s already. Nothing was changed.", commit, track)
		return a.rejected(ctx, now, commit, undo)
	case !undo && len(now.Spec.Rejected) >= maxRejected:
		return exitf(exitRefused, "track %s rejects %d commits, and more is not possible. Take one out that cannot come back: %s", track, maxRejected,
			a.command("reject %s -t %s --undo", now.Spec.Rejected[0], track))
	}
	edit := func(t *v1alpha1.ReleaseTrack) {
		t.Spec.Rejected = slices.DeleteFunc(slices.Clone(t.Spec.Rejected), func(c string) bool { return c == commit })
		if !undo {
			t.Spec.Rejected = append(t.Spec.Rejected, commit)
		}
	}
	after := now.DeepCopy()
	edit(after)
	if undo {
		a.say("Track %s: commit %s can run again%s; %s", track, commit, a.dry(), afterwards(scene{after, s.releases}))
	} else {
		a.say("Track %s: never run commit %s%s%s", track, commit, a.dry(), consequence(s, scene{after, s.releases}, commit))
	}
	if now, err = ask(ctx, a, now, nothingElse, edit); err != nil {
		return err
	}
	return a.rejected(ctx, now, commit, undo)
}

// rejected follows what becomes of a commit.
func (a *acting) rejected(ctx context.Context, now *v1alpha1.ReleaseTrack, commit string, undo bool) error {
	if a.wait && a.dryRun == dryRunNone {
		generation := now.Generation
		err := a.until(ctx, now.Name, func(s scene) verdict { return rejectedNow(s, generation, commit, undo) }, "The wish stays, and the operator goes on.")
		if err != nil {
			return err
		}
	}
	return a.showTrack(now)
}

// whichCommit finds the one commit, and the one track, that people mean.
func whichCommit(releases []v1alpha1.ImmutableRelease, word, track string) (string, string, error) {
	var commits, tracks []string
	for _, r := range releases {
		commit := r.Spec.Source.Commit
		if r.Name != word && (!commitForm.MatchString(word) || !strings.HasPrefix(commit, word)) {
			continue
		}
		if !slices.Contains(commits, commit) {
			commits = append(commits, commit)
		}
		if !slices.Contains(tracks, r.Spec.Track) {
			tracks = append(tracks, r.Spec.Track)
		}
	}
	full := len(word) == 40 && commitForm.MatchString(word)
	slices.Sort(tracks)
	switch {
	case len(commits) > 1:
		return "", "", usagef("%s is the beginning of %d commits: %s. Write more of it", safe(word), len(commits), strings.Join(commits, ", "))
	case len(commits) == 1 && len(tracks) == 1:
		return tracks[0], commits[0], nil
	case len(commits) == 1:
		return "", "", usagef("commit %s is on several tracks: %s. Say which with --track", commits[0], strings.Join(tracks, ", "))
	case full && track != "":
		return track, word, nil
	case full:
		return "", "", usagef("no release was made of commit %s. To reject it before it comes, say on which track with --track", word)
	}
	return "", "", exitf(exitFailed, "no release was made of commit %s. Write at least 7 characters of a commit that has one, or its full id and --track", safe(word))
}

// consequence says what a rejection changes of what runs.
func consequence(before, after scene, commit string) string {
	var mine *v1alpha1.ImmutableRelease
	for _, r := range before.releases {
		if r.Spec.Source.Commit == commit && (mine == nil || r.Status.ActiveRun > 0 || release.IsStaging(r)) {
			mine = r
		}
	}
	switch {
	case mine == nil:
		return "; no release was made of it yet"
	case before.track.Spec.Pin == mine.Name:
		return fmt.Sprintf("; %s is pinned, and that pin cannot be obeyed any more", mine.Name)
	case mine.Status.ActiveRun > 0 && after.next() != nil && after.next() != mine:
		return fmt.Sprintf("; %s runs now and gives way to %s", mine.Name, of(after.next()))
	case mine.Status.ActiveRun > 0:
		return fmt.Sprintf("; %s runs now and serves on, because no other release may run. The next commit takes over", mine.Name)
	case release.IsStaging(mine):
		return fmt.Sprintf("; %s is on its way and is ended", mine.Name)
	}
	return fmt.Sprintf("; %s is %s and does not run", mine.Name, release.Phase(mine))
}

// rejectedNow judges whether the track has done what follows from a changed list.
func rejectedNow(s scene, generation int64, commit string, undo bool) verdict {
	t := s.track
	if t.Status.ObservedGeneration < generation {
		return unseen(notSeen)
	}
	if undo {
		return verdict{done: fmt.Sprintf("Commit %s can run again when it is wanted.", commit)}
	}
	if !slices.Contains(t.Spec.Rejected, commit) {
		return verdict{failed: exitf(exitRefused, "somebody has taken commit %s from the list meanwhile", commit)}
	}
	for _, r := range s.releases {
		if r.Spec.Source.Commit != commit || r.Status.ActiveRun == 0 && !release.IsStaging(r) && release.Phase(r) != v1alpha1.PhaseDraining {
			continue
		}
		target := s.named(t.Status.TargetRelease)
		if c := s.stalled(); c != nil || target == r {
			return verdict{failed: exitf(exitFailed, "%s serves on: %s", r.Name, stalledText(s))}
		}
		if target != nil && r.Status.ActiveRun > 0 {
			return toRun{release: target.Name, from: r.Name, generation: generation}.judge(s)
		}
		return goingOn("%s is %s: %s left", r.Name, release.Phase(r), podCount(r.Status.Replicas.Remaining))
	}
	done := fmt.Sprintf("Commit %s does not run, and will not", commit)
	if r := s.active(); r != nil {
		done += fmt.Sprintf("; %s takes the traffic", r.Name)
	}
	return verdict{done: done + "."}
}

// stalledText is what the track says of why it goes nowhere.
func stalledText(s scene) string {
	if c := s.stalled(); c != nil {
		return c.Reason + ": " + safe(c.Message)
	}
	return "no other release may run"
}
