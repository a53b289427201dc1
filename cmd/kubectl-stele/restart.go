package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		a := &acting{shell: s}
		return a.acts(&cobra.Command{
			Use: "restart TRACK", Short: "Run the active release again, with new pods",
			Long: "Run the active release again: new pods beside the old ones, then the switch, then the end of the old ones, as for a commit. Jobs run again; " +
				"StatefulSets and DaemonSets are not touched.\n\nIt needs the ClusterRole stele-edit in the namespace.",
			Example:           "  kubectl stele restart shop -n shop",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeArg(s.completeTracks()),
			RunE:              func(cmd *cobra.Command, args []string) error { return a.restart(cmd.Context(), args[0]) },
		})
	}, func(s *shell) *cobra.Command {
		a := &acting{shell: s}
		return a.acts(&cobra.Command{
			Use: "reconcile TRACK", Short: "Look at Git now",
			Long:              "Look at Git now, and say what was found. It needs the ClusterRole stele-edit in the namespace.",
			Example:           "  kubectl stele reconcile shop -n shop",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeArg(s.completeTracks()),
			RunE:              func(cmd *cobra.Command, args []string) error { return a.reconcile(cmd.Context(), args[0]) },
		})
	})
}

// token is a value that nobody has asked with before.
func (a *acting) token() string { return a.now().UTC().Format(time.RFC3339Nano) }

func (a *acting) restart(ctx context.Context, track string) error {
	s, err := a.look(ctx, track)
	if err != nil {
		return err
	}
	active := s.active()
	if active == nil {
		return exitf(exitRefused, "no release of track %s takes the traffic, so there is nothing to run again. %s shows why", s.track.Name, a.command("status"))
	}
	value := a.token()
	a.say("Track %s: run %s again, as run %d%s", s.track.Name, of(active), active.Status.Run+1, a.dry())
	now, err := ask(ctx, a, s.track, nothingElse, func(t *v1alpha1.ReleaseTrack) { annotate(t, v1alpha1.RestartAnnotation, value) })
	if err != nil {
		return err
	}
	if a.wait && a.dryRun == dryRunNone {
		until := time.Now().Add(a.timeout)
		if err := a.until(ctx, now.Name, func(s scene) verdict { return restarted(s, value) }, "The restart stays asked for."); err != nil {
			return err
		}
		if err := a.oldRunsEnd(ctx, active.Name, until); err != nil {
			return err
		}
	}
	return a.showTrack(now)
}

// restarted judges whether the active release has answered a restart. What is under way when it is asked for comes first.
func restarted(s scene, value string) verdict {
	if s.track.Annotations[v1alpha1.RestartAnnotation] != value {
		return verdict{failed: exitf(exitRefused, "somebody else has asked for another restart meanwhile")}
	}
	active := s.active()
	if active == nil {
		return goingOn("no release takes the traffic")
	}
	if c := s.stalled(); c != nil && c.Reason == v1alpha1.RestartFailedReason {
		return verdict{failed: exitf(exitFailed, "the new run did not get healthy, and the old one serves on: %s", safe(c.Message))}
	}
	answered := s.track.Status.LastHandledRestartAt == value
	if !answered && active.Status.Restart != value {
		return unseen("waiting for the new run of %s to begin", active.Name)
	}
	if active.Status.Restart != value { // a commit has come instead, or one that failed
		return verdict{failed: exitf(exitFailed, "the restart was answered by another release; %s takes the traffic: %s", active.Name, orElse(healthOf(active), state(active)))}
	}
	return toRun{release: active.Name, restart: value}.judge(s)
}

// oldRunsEnd waits until the pods of earlier runs of a release are gone. Who may not list pods does not wait.
func (a *acting) oldRunsEnd(ctx context.Context, name string, until time.Time) error {
	r, err := a.release(ctx, a.api, name)
	if err != nil {
		return err
	}
	of, err := labels.Parse(fmt.Sprintf("%s=%s,%s!=%d", v1alpha1.ReleaseLabel, r.Name, v1alpha1.RunLabel, r.Status.ActiveRun))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	last := -1
	for {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
		err := a.api.List(ctx, &list, client.InNamespace(a.ns), client.MatchingLabelsSelector{Selector: of})
		switch left := len(list.Items); {
		case apierrors.IsForbidden(err):
			a.say("The pods of the run before end now; you have no right to list pods, so this is not followed.")
			return nil
		case err == nil && left == 0:
			a.say("No pod of an earlier run is left.")
			return nil
		case err == nil && left != last:
			last = left
			a.say("%s of earlier runs of %s left", podCount(int32(left)), r.Name)
		}
		select {
		case <-ctx.Done():
			return exitf(exitTimeout, "pods of earlier runs of %s are not seen to be gone. The operator goes on; %s shows how", r.Name, a.command("status -w"))
		case <-time.After(time.Second):
		}
	}
}

func (a *acting) reconcile(ctx context.Context, track string) error {
	s, err := a.look(ctx, track)
	if err != nil {
		return err
	}
	if s.track.Spec.Suspend {
		return exitf(exitRefused, "track %s is suspended and looks at nothing. First: %s", s.track.Name, a.command("resume %s", s.track.Name))
	}
	value := a.token()
	a.say("Track %s: look at %s now%s", s.track.Name, safe(s.track.Spec.Source.URL), a.dry())
	now, err := write(ctx, a, s.track, nothingElse, func(t *v1alpha1.ReleaseTrack) { annotate(t, v1alpha1.ReconcileRequestAnnotation, value) })
	if err != nil {
		return err
	}
	if a.wait && a.dryRun == dryRunNone {
		uid := now.UID
		if err := a.until(ctx, now.Name, func(s scene) verdict { return looked(s, uid, value) }, "The look stays asked for."); err != nil {
			return err
		}
	}
	return a.showTrack(now)
}

// looked judges whether Git was looked at, and says what was found.
func looked(s scene, uid types.UID, value string) verdict {
	t := s.track
	switch {
	case t.UID != uid:
		return verdict{failed: exitf(exitFailed, "track %s was made anew meanwhile", t.Name)}
	case t.Spec.Suspend:
		return verdict{failed: exitf(exitRefused, "somebody has suspended the track meanwhile")}
	case t.Status.LastHandledReconcileAt != value && t.Annotations[v1alpha1.ReconcileRequestAnnotation] != value:
		return verdict{failed: exitf(exitRefused, "somebody else has asked for another look meanwhile")}
	case t.Status.LastHandledReconcileAt != value:
		return unseen("waiting until the operator looks at Git")
	}
	if c := apimeta.FindStatusCondition(t.Status.Conditions, v1alpha1.SourceFetchedCondition); c == nil || c.Status != "True" {
		why := "the look did not succeed"
		if c != nil {
			why = c.Reason + ": " + safe(c.Message)
		}
		return verdict{failed: exitf(exitFailed, "%s. What runs goes on", why)}
	}
	text := "Git was looked at: " + t.Status.ObservedRevision
	if head := s.named(t.Status.HeadRelease); head != nil {
		text += fmt.Sprintf(". The newest commit that changes the path is %s, %s", of(head), state(head))
	}
	return verdict{done: text + "."}
}
