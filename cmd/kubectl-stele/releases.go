package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

type releasesCommand struct {
	*shell
	out   *output
	watch bool
}

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		c := &releasesCommand{shell: s}
		cmd := &cobra.Command{
			Use: "releases TRACK", Aliases: []string{"history"}, GroupID: groupSee, Short: "Show the releases of a track, newest first",
			Long: "Show the releases of a track, newest first: what became of every commit. Those that were rendered can run again, from their archives.",
			Example: "  kubectl stele releases shop\n" +
				"  kubectl stele releases shop -o wide     # full commits and keys, exact times\n" +
				"  kubectl stele releases shop -w          # a line for each change, until Ctrl-C",
			Args: cobra.ExactArgs(1), ValidArgsFunction: completeArg(s.completeTracks()),
			RunE: c.run,
		}
		c.out = newOutput(cmd, outputWide, outputJSON, outputYAML, outputName)
		cmd.Flags().BoolVarP(&c.watch, "watch", "w", false, "go on with a line for each change, until Ctrl-C")
		return cmd
	})
}

func (c *releasesCommand) run(cmd *cobra.Command, args []string) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	releases, err := c.listReleases(cmd.Context(), api, args[0])
	if err != nil {
		return err
	}
	// The releases of a track that was deleted with deletionPolicy Orphan are still there.
	if len(releases) == 0 {
		track, err := c.track(cmd.Context(), api, args[0])
		if err != nil {
			return err
		}
		if !c.watch && c.out.forPeople() {
			_, message := trackWord(track)
			c.notef("Track %s has no releases yet: %s\n", safe(track.Name), safe(message))
			return nil
		}
	}
	if c.watch {
		return c.followReleases(cmd.Context(), api, bareName(args[0]))
	}
	if !c.out.forPeople() {
		var names []string
		for i := range releases {
			seal(&releases[i])
			names = append(names, releaseResource+releases[i].Name)
		}
		list := &v1alpha1.ImmutableReleaseList{TypeMeta: kind("ImmutableReleaseList"), Items: releases}
		if list.Items == nil {
			list.Items = []v1alpha1.ImmutableRelease{}
		}
		return c.write(c.out, list, names...)
	}
	t := table{columns: releaseColumns}
	for i := range releases {
		t.rows = append(t.rows, c.releaseRow(&releases[i]))
	}
	return c.tables(c.out).write(t)
}

// trackWord says how a track is.
func trackWord(t *v1alpha1.ReleaseTrack) (status, message string) {
	v := viewOfTrack(t, nil)
	return statusWord(v), v.Message
}

// kind of this API.
func kind(name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: name}
}

// seal makes an object of the API what kubectl get -o yaml shows: with its kind, without the owners of its fields, some of which are names of
// people.
func seal(o client.Object) {
	o.SetManagedFields(nil)
	switch o := o.(type) {
	case *v1alpha1.ImmutableRelease:
		o.TypeMeta = kind(v1alpha1.ImmutableReleaseKind)
	case *v1alpha1.ReleaseTrack:
		o.TypeMeta = kind(v1alpha1.ReleaseTrackKind)
	}
}

var releaseColumns = columns("Release Commit Phase Outcome Run Activated Ended Signer +Seq +Pods +Created +Digest")

func (c *releasesCommand) releaseRow(r *v1alpha1.ImmutableRelease) []string {
	row := []string{r.Name, short(r.Spec.Source.Commit), phaseWord(r), outcomeWord(r), "", "", "", cut(signer(r), 16),
		fmt.Sprint(r.Spec.Sequence), pods(r), exact(r.CreationTimestamp.Time), r.Spec.Digest}
	if r.Status.Run > 0 {
		row[4] = fmt.Sprint(r.Status.Run)
	}
	if activated, end := at(r.Status.Times.Activated), ended(r); c.out.wide() {
		row[1], row[5], row[6], row[7] = r.Spec.Source.Commit, exact(activated), exact(end), signer(r)
	} else {
		row[5], row[6] = c.age(activated), c.age(end)
	}
	return row
}

func phaseWord(r *v1alpha1.ImmutableRelease) string {
	if r.Status.Phase == "" {
		return "New"
	}
	return string(r.Status.Phase)
}

// outcomeWord is why it ended, or why it was refused.
func outcomeWord(r *v1alpha1.ImmutableRelease) string {
	if r.Status.Outcome == "" && r.Spec.Refusal != nil {
		return r.Spec.Refusal.Reason
	}
	return string(r.Status.Outcome)
}

// signer is the fingerprint of the key that signed the commit.
func signer(r *v1alpha1.ImmutableRelease) string {
	if r.Spec.Verification == nil {
		return ""
	}
	return r.Spec.Verification.KeyFingerprint
}

// followReleases writes a line for each change of a release that people care for.
func (c *releasesCommand) followReleases(ctx context.Context, api client.WithWatch, track string) error {
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	out, said := c.tables(c.out), map[string]string{}
	return c.follow(ctx, api, namespace, func(w *world) (bool, error) {
		t := table{columns: columns("Time Release Phase Outcome Run Pods Remaining Message")}
		releases, there := w.releasesOf(track), map[string]bool{}
		for i := len(releases) - 1; i >= 0; i-- { // as it happened
			r := &releases[i]
			there[r.Name] = true
			_, message := why(r)
			line := []string{r.Name, phaseWord(r), outcomeWord(r), fmt.Sprint(r.Status.Run), pods(r), fmt.Sprint(r.Status.Replicas.Remaining), cut(c.named(message), 80)}
			if said[r.Name] == strings.Join(line, "\x00") {
				continue
			}
			said[r.Name] = strings.Join(line, "\x00")
			if !c.out.forPeople() {
				seal(r)
				if err := c.writeNext(c.out, r, releaseResource+r.Name); err != nil {
					return true, err
				}
				continue
			}
			t.rows = append(t.rows, append([]string{c.clock()}, line...))
		}
		for name := range said {
			if !there[name] {
				delete(said, name)
				t.rows = append(t.rows, []string{c.clock(), name, "Deleted", "", "", "", "", ""})
			}
		}
		if len(t.rows) == 0 || !c.out.forPeople() {
			return false, nil
		}
		return false, out.write(t)
	})
}
