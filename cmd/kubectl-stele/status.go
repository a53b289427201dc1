package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// statusView is what status tells programs.
type statusView struct {
	metav1.TypeMeta `json:",inline"`
	Items           []trackView `json:"items"`
	// Ledger is absent where the caller may not read it, or there is none.
	Ledger *ledgerView `json:"ledger,omitempty"`
}

// trackView is a track: what runs, and what waits and why.
type trackView struct {
	metav1.TypeMeta `json:",inline"`

	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Ready is the status of the condition Ready; Reason and Message are its own.
	Ready   metav1.ConditionStatus `json:"ready"`
	Reason  string                 `json:"reason,omitempty"`
	Message string                 `json:"message,omitempty"`
	// Revision is the tip of Git that was looked at last.
	Revision string       `json:"revision,omitempty"`
	Active   *releaseView `json:"active,omitempty"`
	// Waiting are the releases that are on their way or wait, newest first.
	Waiting   []releaseView `json:"waiting"`
	Pin       string        `json:"pin,omitempty"`
	Suspended bool          `json:"suspended,omitempty"`
	// Notes are what is not as usual: Suspended, Deleting, Unprotected, types of conditions, reasons of Git.
	Notes []string `json:"notes"`
	// Conditions of the track that are worth words, by type.
	Protected *conditionView `json:"protected,omitempty"`
	Source    *conditionView `json:"source,omitempty"`
	Drift     *conditionView `json:"drift,omitempty"`
}

// releaseView is a release in a few words.
type releaseView struct {
	Name   string                `json:"name"`
	Commit string                `json:"commit"`
	Phase  v1alpha1.ReleasePhase `json:"phase,omitempty"`
	Run    int32                 `json:"run"`
	// Since is when it took the traffic, or when its run was begun, or when it was made.
	Since   *metav1.MicroTime `json:"since,omitempty"`
	Ready   int32             `json:"ready"`
	Desired int32             `json:"desired"`
	// Reason and Message say why it waits.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// conditionView is a condition without its type.
type conditionView struct {
	Status  metav1.ConditionStatus `json:"status"`
	Reason  string                 `json:"reason"`
	Message string                 `json:"message,omitempty"`
	Since   metav1.Time            `json:"since"`
}

// ledgerView is the audit ledger in a few words.
type ledgerView struct {
	Size     int64                  `json:"size"`
	Backlog  int32                  `json:"backlog"`
	Ready    metav1.ConditionStatus `json:"ready"`
	Problems []conditionView        `json:"problems"`
}

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

// viewOf puts tracks and their releases together, by namespace and name.
func viewOf(tracks []v1alpha1.ReleaseTrack, releases []v1alpha1.ImmutableRelease) *statusView {
	sortReleases(releases)
	out := &statusView{TypeMeta: metav1.TypeMeta{APIVersion: viewVersion, Kind: "TrackStatusList"}, Items: []trackView{}}
	for i := range tracks {
		out.Items = append(out.Items, viewOfTrack(&tracks[i], releases))
	}
	slices.SortFunc(out.Items, func(a, b trackView) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out
}

func viewOfTrack(t *v1alpha1.ReleaseTrack, releases []v1alpha1.ImmutableRelease) trackView {
	ready := find(t.Status.Conditions, v1alpha1.ReadyCondition)
	out := trackView{TypeMeta: metav1.TypeMeta{APIVersion: viewVersion, Kind: "TrackStatus"}, Namespace: t.Namespace, Name: t.Name, Ready: ready.Status, Reason: ready.Reason, Message: ready.Message, Revision: t.Status.ObservedRevision,
		Pin: t.Spec.Pin, Suspended: t.Spec.Suspend, Waiting: []releaseView{}}
	if out.Ready == "" {
		out.Ready, out.Message = metav1.ConditionUnknown, "no operator has looked at this track yet"
	}
	var active *v1alpha1.ImmutableRelease
	for i := range releases {
		r := &releases[i]
		if r.Namespace != t.Namespace || r.Spec.Track != t.Name {
			continue
		}
		switch {
		case r.Name == t.Status.ActiveRelease:
			active = r
		case waits(r):
			view := viewOfRelease(r)
			if view.Reason, view.Message = why(r); view.Message == "" {
				view.Reason, view.Message = waitsFor(t)
			}
			out.Waiting = append(out.Waiting, view)
		}
	}
	if active != nil {
		view := viewOfRelease(active)
		out.Active = &view
		out.Drift = worded(active.Status.Conditions, v1alpha1.DriftedCondition)
	} else if t.Status.ActiveRelease != "" {
		out.Active = &releaseView{Name: t.Status.ActiveRelease, Message: "the release is not there"}
	}
	out.Notes = notes(t, active)
	out.Protected = worded(t.Status.Conditions, v1alpha1.ProtectedCondition)
	out.Source = worded(t.Status.Conditions, v1alpha1.SourceFetchedCondition)
	return out
}

// waitsFor says why a release waits of which nothing is said: by the track.
func waitsFor(t *v1alpha1.ReleaseTrack) (reason, message string) {
	if t.Spec.Pin != "" {
		return v1alpha1.PinnedReason, fmt.Sprintf("the track is pinned to %s; kubectl stele resume %s lets it go on", t.Spec.Pin, t.Name)
	}
	return v1alpha1.WaitingReason, "it waits for its turn"
}

func viewOfRelease(r *v1alpha1.ImmutableRelease) releaseView {
	out := releaseView{Name: r.Name, Commit: r.Spec.Source.Commit, Phase: r.Status.Phase, Run: r.Status.Run,
		Ready: r.Status.Replicas.Ready, Desired: r.Status.Replicas.Desired}
	switch times := r.Status.Times; {
	case r.Status.ActiveRun > 0 && times.Activated != nil:
		out.Since = times.Activated
	case times.Standby != nil:
		out.Since = times.Standby
	case times.Staged != nil:
		out.Since = times.Staged
	case times.Created != nil:
		out.Since = times.Created
	default:
		made := metav1.NewMicroTime(r.CreationTimestamp.Time)
		out.Since = &made
	}
	return out
}

func worded(conditions []metav1.Condition, kind string) *conditionView {
	c := find(conditions, kind)
	if c.Type == "" {
		return nil
	}
	return &conditionView{Status: c.Status, Reason: c.Reason, Message: c.Message, Since: c.LastTransitionTime}
}

// ledger is nil where there is none, or it is not ours to read.
func (s *shell) ledger(ctx context.Context, c client.Client) (*ledgerView, error) {
	var l v1alpha1.AuditLedger
	err := c.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, &l)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apimeta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &ledgerView{Size: l.Status.Size, Backlog: l.Status.Backlog, Ready: find(l.Status.Conditions, v1alpha1.ReadyCondition).Status, Problems: []conditionView{}}
	if out.Ready == "" {
		out.Ready = metav1.ConditionUnknown
		out.Problems = append(out.Problems, conditionView{Status: metav1.ConditionUnknown, Reason: "NotStarted", Since: l.CreationTimestamp,
			Message: "nothing has written it yet, and entries wait; when they have waited for " + l.Spec.BacklogDeadline.Duration.String() + ", new commits wait too. " +
				"Does the pod of StatefulSet stele-ledger run, and has its claim a volume?"})
	}
	seen := map[string]bool{}
	for _, c := range l.Status.Conditions {
		abnormal := c.Type == v1alpha1.StalledCondition
		if (abnormal && isTrue(c) || !abnormal && c.Type != v1alpha1.ReconcilingCondition && isFalse(c)) && !seen[c.Reason+c.Message] {
			seen[c.Reason+c.Message] = true
			out.Problems = append(out.Problems, *worded(l.Status.Conditions, c.Type))
		}
	}
	return out, nil
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

// followTracks writes a line for each change of a track that people care for.
func (c *statusCommand) followTracks(ctx context.Context, api client.WithWatch, namespace, only string) error {
	out := c.tables(c.out)
	said := map[string]string{}
	return c.follow(ctx, api, namespace, func(w *world) (bool, error) {
		var tracks []v1alpha1.ReleaseTrack
		for t := range maps.Values(w.tracks) {
			if only == "" || t.Name == only {
				tracks = append(tracks, *t)
			}
		}
		view := viewOf(tracks, w.releasesOf(""))
		t := table{columns: columns("Time Namespace Name Status Release Pods Waiting Message")}
		there := map[string]bool{}
		for _, v := range view.Items {
			key, line := v.Namespace+"/"+v.Name, c.lineOf(v)
			there[key] = true
			if said[key] == strings.Join(line, "\x00") {
				continue
			}
			said[key] = strings.Join(line, "\x00")
			if !c.out.forPeople() {
				if err := c.writeNext(c.out, v, trackResource+v.Name); err != nil {
					return true, err
				}
				continue
			}
			t.rows = append(t.rows, append([]string{c.clock()}, line...))
		}
		for key := range said {
			if !there[key] {
				delete(said, key)
				namespace, name, _ := strings.Cut(key, "/")
				t.rows = append(t.rows, []string{c.clock(), namespace, name, "Deleted", "", "", "", ""})
			}
		}
		if len(t.rows) == 0 || !c.out.forPeople() {
			return false, nil
		}
		return false, out.write(t)
	})
}

func (c *statusCommand) lineOf(v trackView) []string {
	line := []string{v.Namespace, v.Name, statusWord(v), "", "", "", cut(c.named(v.Message), 100)}
	if v.Active != nil {
		line[3], line[4] = v.Active.Name, fmt.Sprintf("%d/%d", v.Active.Ready, v.Active.Desired)
	}
	if len(v.Waiting) > 0 {
		line[5] = fmt.Sprintf("%s %s", v.Waiting[0].Name, v.Waiting[0].Phase)
	}
	return line
}

// short is the beginning of a commit's id, or nothing.
func short(commit string) string { return release.Short(commit) }
