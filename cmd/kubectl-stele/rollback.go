package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		a, to := &acting{shell: s}, ""
		cmd := a.acts(&cobra.Command{
			Use: "rollback TRACK", Short: "Go back to an earlier release, and hold it",
			Long: "Go back to an earlier release of a track, and hold it until 'kubectl stele resume' lets it go: no commit and no sync undoes it.\n\n" +
				"Without --to it is the last good one: of the releases before the active one, the one that took the traffic last and was not left for an earlier one itself. " +
				"The release runs from its archive, so Git is not needed. What runs serves until the other is healthy.\n\n" +
				"The wish (spec.pin) is written as field manager " + fieldManager + " with your user name; it needs the ClusterRole stele-oncall or stele-edit in the namespace.",
			Example: "  kubectl stele rollback shop -n shop                     # to the last good release\n" +
				"  kubectl stele rollback shop -n shop --to 7c5bcc8a41     # to that of a commit\n" +
				"  kubectl stele rollback shop -n shop --dry-run=server    # what would be done, and may I?",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeArg(s.completeTracks()),
			RunE:              func(cmd *cobra.Command, args []string) error { return a.rollback(cmd.Context(), args[0], to) },
		})
		cmd.Flags().StringVar(&to, "to", "", "release to go back to: its name, or at least 7 characters of its commit")
		_ = cmd.RegisterFlagCompletionFunc("to", s.completeReleases(firstArg, runnable)) // the flag is there
		return cmd
	})
}

// firstArg is the track of the command line.
func firstArg(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// runnable: it can be run by its name.
func runnable(r *v1alpha1.ImmutableRelease) bool { return release.CannotRun(r, nil) == "" }

func (a *acting) rollback(ctx context.Context, track, to string) error {
	s, err := a.look(ctx, track)
	if err != nil {
		return err
	}
	r, err := toPin(s, to)
	if err != nil {
		return err
	}
	active, pinned := s.active(), s.track
	asked := toRun{release: r.Name, generation: s.track.Generation, field: "pin"}
	if active != nil && active != r {
		asked.from = active.Name
	}
	if s.track.Spec.Pin == r.Name {
		a.sayPinned(s, r, active == r && to == "")
	} else if pinned, err = a.pin(ctx, s, r, to == ""); err != nil {
		return err
	}
	if a.dryRun != dryRunNone {
		return a.showTrack(pinned)
	}
	resume := a.command("resume %s", s.track.Name)
	if a.wait {
		asked.generation = pinned.Generation
		stays := fmt.Sprintf("The pin stays, and the operator goes on. To take it back: %s", resume)
		if err := a.until(ctx, s.track.Name, asked.judge, stays); err != nil {
			return err
		}
	}
	a.say("It is held until you let the track go on with Git: %s", resume)
	return a.showTrack(pinned)
}

// sayPinned: there is nothing to ask for. Who named no release and already has it is told how to go further back.
func (a *acting) sayPinned(s scene, r *v1alpha1.ImmutableRelease, further bool) {
	a.say("Track %s is pinned to %s already%s.", s.track.Name, of(r), since(s.track))
	if further {
		a.say("Nothing was changed. To go further back: %s", a.command("rollback %s --to RELEASE", s.track.Name))
		a.say("%s", s.choices())
	}
}

// pin says what is about to happen, and asks for it.
func (a *acting) pin(ctx context.Context, s scene, r *v1alpha1.ImmutableRelease, besides bool) (*v1alpha1.ReleaseTrack, error) {
	a.say("Track %s: %s%s", s.track.Name, intention(s.active(), r), a.dry())
	if besides {
		a.sayBesides(s, r)
	}
	pinned, err := ask(ctx, a, s.track, wishes, func(t *v1alpha1.ReleaseTrack) { t.Spec.Pin = r.Name })
	if err == nil && heldByGit(s.track, "pin") {
		a.say("Careful: somebody else applies this track with a pin of its own, as a tool does that syncs it from Git. Take spec.pin out of that manifest, or the next sync undoes this.")
	}
	return pinned, err
}

// toPin is the release that is to be pinned. Who names none gets the last good one; and where somebody has gone back already, that one: two
// people who have the same trouble go back once.
func toPin(s scene, to string) (*v1alpha1.ImmutableRelease, error) {
	rejected := s.rejected()
	if to != "" {
		r, err := s.find(bareName(to))
		if err != nil {
			return nil, exitf(exitFailed, "%w.\n%s", err, s.choices())
		}
		if why := release.CannotRun(r, rejected); why != "" {
			return nil, exitf(exitRefused, "release %s %s.\n%s", r.Name, why, s.choices())
		}
		if s.track.Spec.Pin == r.Name && release.IsFailed(r) {
			return nil, exitf(exitRefused, "release %s is pinned already and its run has failed (%s). It is not tried again while the pin stays: choose another, or take the pin away and ask again.\n%s",
				r.Name, orElse(healthOf(r), state(r)), s.choices())
		}
		return r, nil
	}
	if r := s.named(s.track.Spec.Pin); r != nil && release.CannotRun(r, rejected) == "" && !release.IsFailed(r) {
		return r, nil
	}
	if r := release.LastGood(s.releases, s.active(), rejected); r != nil {
		return r, nil
	}
	return nil, exitf(exitRefused, "track %s has no earlier release that has worked and that nobody has gone back from. Name one with --to.\n%s", s.track.Name, s.choices())
}

// intention says what is about to be done.
func intention(active, r *v1alpha1.ImmutableRelease) string {
	never := ""
	switch {
	case r.Status.ActiveRun > 0:
	case release.IsFailed(r):
		never = fmt.Sprintf("; careful: its last run has failed (%s)", safe(orElse(healthOf(r), state(r))))
	case r.Status.Times.Activated == nil:
		never = "; it has never taken the traffic"
	}
	switch {
	case active == nil:
		return fmt.Sprintf("run %s; nothing takes the traffic now%s", of(r), never)
	case active == r:
		return fmt.Sprintf("hold %s, which takes the traffic", of(r))
	case r.Spec.Sequence < active.Spec.Sequence:
		return fmt.Sprintf("back from %s to %s%s", of(active), of(r), never)
	}
	return fmt.Sprintf("from %s to the newer %s%s", of(active), of(r), never)
}

// sayBesides tells who has named no release what else ends: it may be only that which was meant.
func (a *acting) sayBesides(s scene, r *v1alpha1.ImmutableRelease) {
	active, other := s.active(), onItsWay(s)
	if active != nil && active != r && other != nil && other != r {
		a.say("%s, which is on its way, is ended too. To end only that, and keep what runs: %s", of(other), a.command("rollback %s --to %s", s.track.Name, active.Name))
	}
}

// onItsWay is the release that is about to replace the active one; nil: none.
func onItsWay(s scene) *v1alpha1.ImmutableRelease {
	for _, r := range slices.Backward(s.releases) {
		if release.IsStaging(r) && r.Status.ActiveRun == 0 {
			return r
		}
	}
	return nil
}

// since says since when the operator knows of the pin.
func since(t *v1alpha1.ReleaseTrack) string {
	if p := t.Status.Pinned; p != nil && p.Release == t.Spec.Pin {
		return ", since " + exact(p.Since.Time)
	}
	return ""
}
