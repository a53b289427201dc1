package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		a := &acting{shell: s}
		return a.acts(&cobra.Command{
			Use: "purge RELEASE", Short: "Delete the archive of a release that holds a leaked secret",
			Long: "Delete the archive of a release for good, because of what it holds. The release never runs again, nor does any other of its commit; it stays as a record without content, " +
				"and the ledger says that it was purged.\n\n" +
				"A release that takes the traffic, or is on its way, is not purged: go back to another first. Git still holds what was committed: change the secret wherever it is used. " +
				"This cannot be taken back. It needs the ClusterRole stele-purge in the namespace.",
			Example: "  kubectl stele purge shop-7c5bcc8a41 -n shop --dry-run=server    # may I, and can it be?\n" +
				"  kubectl stele purge shop-7c5bcc8a41 -n shop",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeArg(s.completeReleases(nil, func(r *v1alpha1.ImmutableRelease) bool { return r.Spec.Archive != nil && r.Status.ActiveRun == 0 })),
			RunE:              func(cmd *cobra.Command, args []string) error { return a.purge(cmd.Context(), args[0]) },
		})
	})
}

const gitStillHoldsIt = "Git still holds what was committed, and so does whoever has fetched it: change the secret wherever it is used."

func (a *acting) purge(ctx context.Context, name string) error {
	r, err := a.release(ctx, a.api, name)
	if err != nil {
		return err
	}
	s, err := a.look(ctx, r.Spec.Track)
	if err != nil {
		return err
	}
	t := s.track
	if release.IsPurged(r) {
		a.say("%s was purged already.", of(r))
	} else {
		if why := cannotPurge(s, r); why != "" {
			return exitf(exitRefused, "release %s cannot be purged: %s.\nTo go back to another: %s", r.Name, why, a.command("rollback %s", t.Name))
		}
		a.say("Track %s: delete the archive of %s for good%s", t.Name, of(r), a.dry())
		if t, err = ask(ctx, a, t, wishes, func(t *v1alpha1.ReleaseTrack) { annotate(t, v1alpha1.PurgeAnnotation, r.Name) }); err != nil {
			return err
		}
	}
	if a.wait && a.dryRun == dryRunNone {
		p := toPurge{release: r.Name}
		if last := s.track.Status.LastPurge; last != nil {
			p.after = last.Time.Time
		}
		if err := a.until(ctx, t.Name, p.judge, "The purge stays asked for."); err != nil {
			return err
		}
	}
	a.say("%s", gitStillHoldsIt)
	return a.showTrack(t)
}

// cannotPurge says why a release cannot be purged now, as the operator would; "": it can.
func cannotPurge(s scene, r *v1alpha1.ImmutableRelease) string {
	t := s.track
	if other := t.Annotations[v1alpha1.PurgeAnnotation]; other != "" && other != r.Name {
		return fmt.Sprintf("a purge of %s is asked for already; wait until it is done", safe(other))
	}
	view := release.Track{Pin: t.Spec.Pin, Purged: map[string]bool{}}
	for _, p := range t.Status.Purged {
		view.Purged[p.Release] = true
	}
	if p := t.Status.Promotion; p == nil || p.Release != t.Spec.Promote || p.Handled == nil {
		view.Promote = t.Spec.Promote
	}
	return release.PurgeProblem(r.Name, r, view)
}

// toPurge judges whether a release was purged.
type toPurge struct {
	release string
	// after is when the operator had answered a purge last, before this one was asked for.
	after time.Time
}

func (p toPurge) judge(s scene) verdict {
	t, r := s.track, s.named(p.release)
	answer := t.Status.LastPurge
	answered := answer != nil && answer.Release == p.release && answer.Time.After(p.after)
	switch {
	case r != nil && release.IsPurged(r) && r.Status.Purged.Done != nil:
		text := "its archive was deleted for good, and it never runs again"
		if c := apimeta.FindStatusCondition(r.Status.Conditions, v1alpha1.PurgedCondition); c != nil && c.Message != "" {
			text = c.Message
		}
		return verdict{done: fmt.Sprintf("%s: %s.", of(r), strings.TrimSuffix(text, "."))}
	case answered && answer.Refused != "":
		return verdict{failed: exitf(exitRefused, "%s", safe(answer.Refused))}
	case r == nil && !purgedBefore(t, p.release):
		return verdict{failed: exitf(exitFailed, "release %s is gone, and nothing says that it was purged", p.release)}
	case r == nil:
		return verdict{done: fmt.Sprintf("Release %s was purged, and is gone.", p.release)}
	case release.IsPurged(r):
		return goingOn("%s never runs again; its archive is being deleted", r.Name)
	}
	return unseen(notSeen)
}

func purgedBefore(t *v1alpha1.ReleaseTrack, name string) bool {
	for _, p := range t.Status.Purged {
		if p.Release == name {
			return true
		}
	}
	return false
}
