package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		a, to := &acting{shell: s}, ""
		cmd := a.acts(&cobra.Command{
			Use: "promote TRACK", Short: "Let the release on standby take the traffic",
			Long: "Let a release take the traffic, on a track with rollout.promotion Manual.\n\n" +
				"Without --to it is the one on standby, or else the newest that has not had the traffic yet. An earlier release can be promoted, too. It is obeyed once. " +
				"It needs the ClusterRole stele-oncall or stele-edit in the namespace.",
			Example:           "  kubectl stele promote shop -n shop",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeArg(s.completeTracks()),
			RunE:              func(cmd *cobra.Command, args []string) error { return a.promote(cmd.Context(), args[0], to) },
		})
		cmd.Flags().StringVar(&to, "to", "", "release to promote: its name, or at least 7 characters of its commit")
		_ = cmd.RegisterFlagCompletionFunc("to", s.completeReleases(firstArg, runnable)) // the flag is there
		return cmd
	})
}

func (a *acting) promote(ctx context.Context, track, to string) error {
	s, err := a.look(ctx, track)
	if err != nil {
		return err
	}
	r, err := a.toPromote(s, to)
	if err != nil {
		return err
	}
	active, promoted := s.active(), s.track
	asked := toRun{release: r.Name, field: "promote", generation: s.track.Generation}
	if active != nil && active != r {
		asked.from = active.Name
	}
	switch {
	case active == r:
		a.say("%s takes the traffic already. Nothing was changed.", of(r))
		return a.showTrack(s.track)
	case s.track.Spec.Promote == r.Name:
		a.say("%s is promoted already.", of(r))
	default:
		a.say("Track %s: %s%s", s.track.Name, intention(active, r), a.dry())
		promoted, err = ask(ctx, a, s.track, wishes, func(t *v1alpha1.ReleaseTrack) { t.Spec.Promote = r.Name })
		if err != nil {
			return err
		}
	}
	if a.wait && a.dryRun == dryRunNone {
		asked.generation = promoted.Generation
		if err := a.until(ctx, s.track.Name, asked.judge, "The promotion stays, and the operator goes on."); err != nil {
			return err
		}
	}
	return a.showTrack(promoted)
}

// toPromote is the release that is to take the traffic; an error says why there is none.
func (a *acting) toPromote(s scene, to string) (*v1alpha1.ImmutableRelease, error) {
	t := s.track
	switch {
	case t.Spec.Rollout.Promotion != v1alpha1.PromotionManual:
		return nil, exitf(exitRefused, "track %s has rollout.promotion Automatic: a release takes the traffic as soon as it is healthy. To choose one: %s",
			t.Name, a.command("rollback %s --to RELEASE", t.Name))
	case t.Spec.Pin != "":
		return nil, exitf(exitRefused, "track %s is pinned to %s, which comes before a promotion. To run another: %s. To let it go on with Git: %s",
			t.Name, t.Spec.Pin, a.command("rollback %s --to RELEASE", t.Name), a.command("resume %s", t.Name))
	}
	r := release.ToPromote(s.releases, s.rejected())
	if to != "" {
		var err error
		if r, err = s.find(bareName(to)); err != nil {
			return nil, exitf(exitFailed, "%w.\n%s", err, s.choices())
		}
	}
	if r == nil {
		return nil, exitf(exitRefused, "no release of track %s waits for its promotion. To promote an earlier one, name it with --to.\n%s", t.Name, s.choices())
	}
	if why := release.CannotRun(r, s.rejected()); why != "" {
		return nil, exitf(exitRefused, "release %s %s.\n%s", r.Name, why, s.choices())
	}
	if p := t.Status.Promotion; t.Spec.Promote == r.Name && p != nil && p.Release == r.Name && p.Handled != nil && r.Status.ActiveRun == 0 {
		return nil, exitf(exitRefused, "%s was promoted already, and each promotion is obeyed once. To run it again: %s, and then %s", r.Name,
			a.command("rollback %s --to %s", t.Name, r.Name), a.command("resume %s", t.Name))
	}
	return r, nil
}
