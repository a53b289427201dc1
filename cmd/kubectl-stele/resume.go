package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		a := &acting{shell: s}
		return a.acts(&cobra.Command{
			Use: "resume TRACK", Short: "Let a track go on with Git, after a rollback or suspend",
			Long: "Let a track go on with Git: take away the pin of a rollback, and follow Git again where it was suspended.\n\n" +
				"It says what runs next, and follows until that runs. The pin needs the ClusterRole stele-oncall or stele-edit in the namespace; the end of a suspension needs stele-edit.",
			Example:           "  kubectl stele resume shop -n shop\n  kubectl stele resume shop -n shop --dry-run=client    # what would run?",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeArg(s.completeTracks()),
			RunE:              func(cmd *cobra.Command, args []string) error { return a.resume(cmd.Context(), args[0]) },
		})
	}, func(s *shell) *cobra.Command {
		a := &acting{shell: s}
		return a.acts(&cobra.Command{
			Use: "suspend TRACK", Short: "Stop following Git; what runs goes on",
			Long: "Stop following Git: no new commit is looked for until 'kubectl stele resume'. What runs goes on, a rollout under way finishes, and rollback works.\n\n" +
				"To stop commits that are known already, roll back to what runs. It needs the ClusterRole stele-edit in the namespace.",
			Example:           "  kubectl stele suspend shop -n shop",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeArg(s.completeTracks()),
			RunE:              func(cmd *cobra.Command, args []string) error { return a.suspend(cmd.Context(), args[0]) },
		})
	})
}

func (a *acting) resume(ctx context.Context, track string) error {
	s, err := a.look(ctx, track)
	if err != nil {
		return err
	}
	if s.track.Spec.Pin == "" && !s.track.Spec.Suspend {
		a.say("Track %s is neither pinned nor suspended. Nothing was changed.", s.track.Name)
		return a.showTrack(s.track)
	}
	now := s.track
	if s.track.Spec.Pin != "" {
		free := s.track.DeepCopy()
		free.Spec.Pin = ""
		a.say("Track %s: let go of %s%s; %s", s.track.Name, s.track.Spec.Pin, a.dry(), afterwards(scene{track: free, releases: s.releases}))
		if now, err = ask(ctx, a, now, wishes, func(t *v1alpha1.ReleaseTrack) { t.Spec.Pin = "" }); err != nil {
			return err
		}
		if heldByGit(s.track, "pin") {
			a.say("Careful: somebody else applies this track with a pin of its own, as a tool does that syncs it from Git. Take spec.pin out of that manifest, or the next sync brings it back.")
		}
	}
	if now.Spec.Suspend {
		a.say("Track %s: follow Git again%s", s.track.Name, a.dry())
		if now, err = ask(ctx, a, now, wishes, func(t *v1alpha1.ReleaseTrack) { t.Spec.Suspend = false }); err != nil {
			if s.track.Spec.Pin != "" && apierrors.IsForbidden(err) {
				return exitf(exitRefused, "the pin is gone, but the track stays suspended: new commits are not looked for.\n%w", err)
			}
			return err
		}
		if heldByGit(s.track, "suspend") {
			a.say("Careful: somebody else applies this track with a suspend of its own, as a tool does that syncs it from Git. Change it there too, or the next sync brings it back.")
		}
	}
	if a.wait && a.dryRun == dryRunNone {
		generation := now.Generation
		if err := a.until(ctx, s.track.Name, func(s scene) verdict { return resumed(s, generation) }, "The pin is gone, and the operator goes on."); err != nil {
			return err
		}
	}
	return a.showTrack(now)
}

// afterwards says what runs when the wishes are as they are in this scene.
func afterwards(s scene) string {
	active, next := s.active(), s.next()
	manual := s.track.Spec.Rollout.Promotion == v1alpha1.PromotionManual
	switch {
	case next == nil:
		return "no release is known to run next"
	case next == active:
		return fmt.Sprintf("%s goes on: nothing newer may run", of(next))
	case manual && next.Status.Times.Activated == nil && next.Name != s.track.Spec.Promote:
		return fmt.Sprintf("next is %s, which waits on standby for its promotion", of(next))
	}
	return fmt.Sprintf("next is %s, now %s", of(next), state(next))
}

// resumed judges whether what should run does, after a track was let go.
func resumed(s scene, generation int64) verdict {
	t := s.track
	if t.Status.ObservedGeneration < generation {
		return unseen(notSeen)
	}
	target := s.named(t.Status.TargetRelease)
	switch {
	case t.Spec.Pin != "":
		return verdict{failed: exitf(exitRefused, "somebody has pinned the track to %s meanwhile", t.Spec.Pin)}
	case target == nil:
		return verdict{done: fmt.Sprintf("Track %s follows Git; no release runs yet.", t.Name)}
	case release.IsStandby(target):
		return verdict{done: fmt.Sprintf("%s is on standby, and takes the traffic when it is promoted.", of(target))}
	}
	v := toRun{release: target.Name, generation: generation}.judge(s)
	if v.done != "" {
		if c := s.stalled(); c != nil {
			v.done += " The track says: " + c.Message
		}
	}
	return v
}

func (a *acting) suspend(ctx context.Context, track string) error {
	s, err := a.look(ctx, track)
	if err != nil {
		return err
	}
	now := s.track
	if now.Spec.Suspend {
		a.say("Track %s is suspended already. Nothing was changed.", now.Name)
		return a.showTrack(now)
	}
	a.say("Track %s: stop following Git; what runs goes on%s", now.Name, a.dry())
	if now, err = ask(ctx, a, now, wishes, func(t *v1alpha1.ReleaseTrack) { t.Spec.Suspend = true }); err != nil {
		return err
	}
	if heldByGit(s.track, "suspend") {
		a.say("Careful: somebody else applies this track with a suspend of its own, as a tool does that syncs it from Git. Change it there too, or the next sync undoes this.")
	}
	if a.wait && a.dryRun == dryRunNone {
		generation := now.Generation
		err := a.until(ctx, now.Name, func(s scene) verdict { return suspended(s, generation) }, "The track stays suspended.")
		if err != nil {
			return err
		}
	}
	a.say("To follow Git again: %s", a.command("resume %s", now.Name))
	return a.showTrack(now)
}

// suspended judges whether the operator knows of it, and tells what it finishes.
func suspended(s scene, generation int64) verdict {
	if s.track.Status.ObservedGeneration < generation {
		return unseen(notSeen)
	}
	text := fmt.Sprintf("Track %s looks for no new commits.", s.track.Name)
	for _, r := range s.releases {
		if release.IsStaging(r) || release.IsPending(r) && r.Name == s.track.Status.TargetRelease {
			text += fmt.Sprintf(" %s is on its way still and goes on (%s).", of(r), release.Phase(r))
		}
	}
	return verdict{done: text}
}
