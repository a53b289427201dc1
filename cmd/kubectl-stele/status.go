package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

type statusCommand struct {
	*shell
	out   *output
	all   bool
	watch bool
}

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		c := &statusCommand{shell: s}
		cmd := &cobra.Command{
			Use: "status [TRACK]", GroupID: groupSee, Short: "Show what runs, since when, and what waits and why",
			Long: "Show what runs, since when, and what waits and why: all tracks of a namespace, or one in more words.\n\n" +
				"NOTES tell what is not as usual: Suspended, NotTakenUp (the operator has not looked at the last change of the track yet), Pinned, Drifted, HistoryRewritten, Unprotected (the admission policies are not in force), reasons of Git.",
			Example: "  kubectl stele status             # the tracks of this namespace\n" +
				"  kubectl stele status -A          # of all namespaces\n" +
				"  kubectl stele status shop        # one, in more words\n" +
				"  kubectl stele status shop -w     # a line for each change, until Ctrl-C",
			Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeArg(s.completeTracks()),
			RunE: c.run,
		}
		c.out = newOutput(cmd, outputWide, outputJSON, outputYAML, outputName)
		cmd.Flags().BoolVarP(&c.all, "all-namespaces", "A", false, "tracks of all namespaces")
		cmd.Flags().BoolVarP(&c.watch, "watch", "w", false, "go on with a line for each change, until Ctrl-C")
		return cmd
	})
}

func (c *statusCommand) run(cmd *cobra.Command, args []string) error {
	if c.all && len(args) > 0 {
		return usagef("a track has one namespace: name it with -n instead of -A")
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	if c.all {
		namespace = ""
	}
	var tracks []v1alpha1.ReleaseTrack
	if len(args) > 0 {
		t, err := c.track(ctx, api, args[0])
		if err != nil {
			return err
		}
		tracks = append(tracks, *t)
	}
	if c.watch {
		only := ""
		if len(args) > 0 {
			only = tracks[0].Name
		}
		return c.followTracks(ctx, api, namespace, only)
	}
	if len(args) == 0 {
		var list v1alpha1.ReleaseTrackList
		if err := api.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return err
		}
		tracks = list.Items
	}
	releases, err := listReleases(ctx, api, namespace, "")
	if err != nil {
		return err
	}
	view := viewOf(tracks, releases)
	if view.Ledger, err = c.ledger(ctx, api); err != nil {
		return err
	}
	switch {
	case !c.out.forPeople():
		return c.write(c.out, view, namesOf(tracks)...)
	case len(view.Items) == 0:
		c.noTracks(namespace)
		return nil
	case len(args) > 0:
		return c.tell(&tracks[0], view)
	}
	return c.list(view)
}

func namesOf(tracks []v1alpha1.ReleaseTrack) []string {
	var out []string
	for _, t := range tracks {
		out = append(out, trackResource+t.Name)
	}
	return out
}

// noTracks says what to do next.
func (s *shell) noTracks(namespace string) {
	if namespace == "" {
		s.notef("No tracks in any namespace that you can see.\nApply one: docs/install.md, onboarding a namespace, shows how.\n")
		return
	}
	s.notef("No tracks in namespace %s.\nLook in all namespaces with -A, choose another with -n, or apply one: docs/install.md, onboarding a namespace, shows how.\n", safe(namespace))
}

// list writes the table, and below it what is wrong or waits.
func (c *statusCommand) list(view *statusView) error {
	t := table{columns: columns("Namespace Name Status Release Since Pods Waiting Notes +Commit +Activated +Revision")}
	for _, v := range view.Items {
		row := []string{v.Namespace, v.Name, statusWord(v), "", "", "", "", strings.Join(v.Notes, ","), "", "", v.Revision}
		if a := v.Active; a != nil {
			row[3], row[8] = a.Name, a.Commit
			if a.Since != nil {
				row[4], row[5], row[9] = c.age(a.Since.Time), fmt.Sprintf("%d/%d", a.Ready, a.Desired), exact(a.Since.Time)
			}
		}
		if len(v.Waiting) > 0 {
			row[6] = v.Waiting[0].Name
			if more := len(v.Waiting) - 1; more > 0 {
				row[6] += fmt.Sprintf(" +%d", more)
			}
		}
		t.rows = append(t.rows, row)
	}
	if !c.all {
		t.columns = t.columns[1:]
		for i := range t.rows {
			t.rows[i] = t.rows[i][1:]
		}
	}
	if err := c.tables(c.out).write(t); err != nil || c.out.noHeaders {
		return err
	}
	blank := "\n"
	for _, v := range view.Items {
		text := v.Message
		if v.Ready == metav1.ConditionTrue {
			if len(v.Waiting) == 0 {
				continue
			}
			text = fmt.Sprintf("%s waits: %s", v.Waiting[0].Name, v.Waiting[0].Message)
		}
		name := v.Name
		if c.all {
			name = v.Namespace + "/" + v.Name
		}
		c.printf("%s%s: %s\n", blank, safe(name), safe(c.named(text)))
		blank = ""
	}
	c.tellLedger(view.Ledger, blank+"Audit ledger: ")
	return nil
}

func (s *shell) tellLedger(l *ledgerView, title string) {
	if l == nil {
		return
	}
	for _, p := range l.Problems {
		s.printf("%s%s: %s\n", title, safe(p.Reason), safe(p.Message))
		title = strings.TrimLeft(title, "\n")
	}
}

func statusWord(v trackView) string {
	switch {
	case v.Ready == metav1.ConditionTrue:
		return "Ready"
	case v.Reason != "":
		return v.Reason
	}
	return string(v.Ready)
}

// tell writes one track in words.
func (c *statusCommand) tell(t *v1alpha1.ReleaseTrack, view *statusView) error {
	v := view.Items[0]
	p := c.paragraphs()
	p.line("Track", "%s in namespace %s", v.Name, v.Namespace)
	p.line("Status", "%s", statusWord(v))
	p.line("", "%s", c.named(v.Message))
	if a := v.Active; a == nil {
		p.line("Runs", "nothing")
	} else {
		p.line("Runs", "%s", a.Name)
		p.line("", "commit %s, run %d, %d of %d pods ready%s", a.Commit, a.Run, a.Ready, a.Desired, c.since(", since ", a.Since))
	}
	for i, w := range v.Waiting {
		title := "Waits"
		if i > 0 {
			title = ""
		}
		p.line(title, "%s (%s%s): %s", w.Name, w.Phase, c.since(", since ", w.Since), c.named(w.Message))
	}
	p.line("Notes", "%s", strings.Join(v.Notes, ", "))
	if slices.Contains(v.Notes, notTakenUp) {
		p.line("", "the operator has not looked at the last change of this track yet.%s", doesItRun)
	}
	if v.Pin != "" {
		p.line("Pinned to", "%s%s; new commits wait until: kubectl stele resume %s", v.Pin, c.pinnedSince(t), v.Name)
	}
	p.line("Repository", "%s, %s, path %s", t.Spec.Source.URL, refOf(t), t.Spec.Source.Path)
	p.line("Looked up to", "%s", v.Revision)
	c.tellCondition(p, "Git", v.Source)
	c.tellCondition(p, "Signatures", worded(t.Status.Conditions, v1alpha1.SourceVerifiedCondition))
	c.tellCondition(p, "Protection", v.Protected)
	c.tellCondition(p, "Drift", v.Drift)
	if err := p.flush(); err != nil {
		return err
	}
	c.tellLedger(view.Ledger, "Audit ledger: ")
	return nil
}

func (c *statusCommand) pinnedSince(t *v1alpha1.ReleaseTrack) string {
	if t.Status.Pinned == nil || t.Status.Pinned.Release != t.Spec.Pin {
		return ""
	}
	return c.since(", since ", &t.Status.Pinned.Since)
}

func (s *shell) tellCondition(p *paragraphs, title string, v *conditionView) {
	if v == nil {
		return
	}
	word := v.Reason
	if v.Status == metav1.ConditionTrue && word == v1alpha1.SucceededReason {
		p.line(title, "%s", v.Message)
		return
	}
	p.line(title, "%s: %s", word, v.Message)
}

// since is an age with its exact time.
func (s *shell) since(before string, t *metav1.MicroTime) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return before + s.age(t.Time) + " (" + exact(t.Time) + ")"
}

// refOf says which ref a track follows.
func refOf(t *v1alpha1.ReleaseTrack) string {
	switch ref := t.Spec.Source.Ref; {
	case ref.Commit != "":
		return "commit " + ref.Commit
	case ref.Name != "":
		return ref.Name
	case ref.SemVer != "":
		return "tags " + ref.SemVer
	case ref.Tag != "":
		return "tag " + ref.Tag
	case ref.Branch != "":
		return "branch " + ref.Branch
	}
	return "branch master"
}

// short is the beginning of a commit's id, or nothing.
func short(commit string) string { return release.Short(commit) }
