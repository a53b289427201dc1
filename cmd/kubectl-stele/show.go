package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

type showCommand struct {
	*shell
	out *output
}

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		c := &showCommand{shell: s}
		cmd := &cobra.Command{
			Use: "show RELEASE", GroupID: groupSee, Short: "Show all that is known of a release",
			Long: "Show all that is known of a release: its commit and who signed it, objects, images, findings of the gates, times, conditions, and the release\n" +
				"before it. The release is named, or the beginning of its commit.",
			Example: "  kubectl stele show shop-0ec84d9953\n" +
				"  kubectl stele show 0ec84d9953            # by its commit\n" +
				"  kubectl stele show shop-0ec84d9953 -o wide     # with digests of objects",
			Args: cobra.ExactArgs(1), ValidArgsFunction: completeArg(s.completeRelease()),
			RunE: c.run,
		}
		c.out = newOutput(cmd, outputWide, outputJSON, outputYAML, outputName)
		return cmd
	})
}

func (c *showCommand) run(cmd *cobra.Command, args []string) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	r, err := c.release(cmd.Context(), api, args[0])
	if err != nil {
		return err
	}
	if !c.out.forPeople() {
		seal(r)
		return c.write(c.out, r, releaseResource+r.Name)
	}
	p := c.paragraphs()
	c.head(p, r)
	c.times(p, r)
	c.objects(p, r)
	c.findings(p, r)
	c.drift(p, r)
	c.conditions(p, r)
	return p.flush()
}

func (c *showCommand) head(p *paragraphs, r *v1alpha1.ImmutableRelease) {
	s := r.Spec
	p.line("Release", "%s in namespace %s", r.Name, r.Namespace)
	p.line("Track", "%s, release number %d", s.Track, s.Sequence)
	p.line("Phase", "%s", strings.TrimSuffix(phaseWord(r)+", "+outcomeWord(r), ", "))
	if _, message := why(r); r.Status.ActiveRun == 0 || !isTrue(find(r.Status.Conditions, v1alpha1.ReadyCondition)) {
		p.line("", "%s", c.named(message))
	}
	if r.Status.Run > 0 {
		p.line("Run", "%d%s", r.Status.Run, activeRun(r))
		p.line("Pods", "%d of %d ready, %d remain; %d were seen to end, %d went unseen", r.Status.Replicas.Ready, r.Status.Replicas.Desired,
			r.Status.Replicas.Remaining, r.Status.Terminated.Confirmed, r.Status.Terminated.Unconfirmed)
	}
	p.line("Repository", "%s, path %s", s.Source.URL, s.Source.Path)
	p.line("Commit", "%s of %s%s", s.Source.Commit, s.Source.Revision, c.when(", committed ", s.Source.CommitTime))
	p.line("Tree", "%s", s.Source.Tree)
	if v := s.Verification; v == nil {
		p.line("Signature", "not asked for")
	} else {
		p.line("Signature", "%s by key %s%s", v.Mode, v.KeyFingerprint, c.when(", checked ", v.VerifiedAt))
		if v.TagKeyFingerprint != "" {
			p.line("", "tag by key %s", v.TagKeyFingerprint)
		}
		if v.Ancestors > 0 {
			p.line("", "and %d commits before it", v.Ancestors)
		}
	}
	p.line("Content", "%s", s.Source.ContentDigest)
	p.line("Rendered", "%s", s.Digest)
	for i, in := range s.Inputs {
		p.line(first(i, "Inputs"), "%s %s", in.Name, in.Digest)
	}
	if s.Previous == nil {
		p.line("Before it", "nothing: it is the first release")
	} else {
		p.line("Before it", "%s, whose spec has the digest %s", s.Previous.Name, s.Previous.Digest)
	}
	p.line("Own digest", "%s", release.SpecDigest(&s))
	if s.WorkloadsFrom != "" {
		p.line("Workloads", "those of %s: only Stable objects differ, or nothing", s.WorkloadsFrom)
	}
	if s.Archive != nil {
		p.line("Archive", "%d bytes in %s", s.Archive.Size, count(int(s.Archive.Chunks), "Secret"))
	} else {
		p.line("Archive", "none: nothing was rendered, it cannot run")
	}
}

func activeRun(r *v1alpha1.ImmutableRelease) string {
	switch {
	case r.Status.ActiveRun == r.Status.Run:
		return ", which takes the traffic"
	case r.Status.ActiveRun > 0:
		return fmt.Sprintf("; run %d takes the traffic", r.Status.ActiveRun)
	}
	return ""
}

// first gives a title to the first of several lines.
func first(i int, title string) string {
	if i == 0 {
		return title
	}
	return ""
}

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func (s *shell) when(before string, t metav1.Time) string {
	if t.IsZero() {
		return ""
	}
	return before + s.age(t.Time) + " ago (" + exact(t.Time) + ")"
}

func (c *showCommand) times(p *paragraphs, r *v1alpha1.ImmutableRelease) {
	times := r.Status.Times
	began := false
	for _, each := range []struct {
		word string
		at   *metav1.MicroTime
	}{{"made", times.Created}, {"left by Git", times.Left}, {"begun", times.Staged}, {"healthy, waiting for a person", times.Standby}, {"promoted", times.Promoted},
		{"took the traffic", times.Activated}, {"decided to end", times.Superseded}, {"seen to be gone", times.Retired}} {
		if each.at == nil {
			continue
		}
		if !began {
			p.section("Times of the last run")
			began = true
		}
		p.line("  "+each.word, "%s (%s ago)", each.at.UTC().Format("2006-01-02T15:04:05.000Z"), c.age(each.at.Time))
	}
}

func (c *showCommand) objects(p *paragraphs, r *v1alpha1.ImmutableRelease) {
	if len(r.Spec.Objects) > 0 {
		p.section(fmt.Sprintf("Objects (%d)", len(r.Spec.Objects)))
		t := table{columns: columns("Kind Name Class +Group +Digest")}
		for _, o := range r.Spec.Objects {
			t.rows = append(t.rows, []string{o.Kind, o.Name, string(o.Class), o.Group, o.Digest})
		}
		p.table(t, c.out.wide())
	}
	if len(r.Spec.Ignored) > 0 {
		p.section(fmt.Sprintf("Left out by spec.ignore of the track (%d)", len(r.Spec.Ignored)))
		t := table{columns: columns("Kind Name File +Group")}
		for _, o := range r.Spec.Ignored {
			t.rows = append(t.rows, []string{o.Kind, o.Name, o.File, o.Group})
		}
		p.table(t, c.out.wide())
	}
	if images := release.Images(r); len(images) > 0 {
		p.section(fmt.Sprintf("Images (%d)", len(images)))
		t := table{columns: columns("Name Tag Digest")}
		for _, i := range images {
			digest := i.Digest
			if !c.out.wide() {
				digest = cut(digest, 22)
			}
			t.rows = append(t.rows, []string{i.Name, i.Tag, digest})
		}
		p.table(t, c.out.wide())
	}
	if len(r.Status.Jobs) > 0 {
		p.section(fmt.Sprintf("Jobs that have ended (%d)", len(r.Status.Jobs)))
		t := table{columns: columns("Name Run Result Age +Time")}
		for _, j := range r.Status.Jobs {
			t.rows = append(t.rows, []string{j.Name, fmt.Sprint(j.Run), string(j.Result), c.age(j.Seen.Time), exact(j.Seen.Time)})
		}
		p.table(t, c.out.wide())
	}
}

func (c *showCommand) findings(p *paragraphs, r *v1alpha1.ImmutableRelease) {
	if len(r.Spec.Findings) == 0 {
		return
	}
	p.section(fmt.Sprintf("Findings of the gates (%d)", len(r.Spec.Findings)))
	for _, f := range r.Spec.Findings {
		var place []string
		for _, each := range []string{f.File, f.Object, f.Field} {
			if each != "" {
				place = append(place, each)
			}
		}
		fix := ""
		if f.Fix != "" {
			fix = " (" + f.Fix + ")"
		}
		p.line("  "+safe(string(f.Severity)), "%s: %s%s", f.Gate, strings.Join(append(place, f.Message), ": "), fix)
	}
}

func (c *showCommand) drift(p *paragraphs, r *v1alpha1.ImmutableRelease) {
	if len(r.Status.Drift) == 0 {
		return
	}
	p.section(fmt.Sprintf("Changed behind the operator's back (%d)", len(r.Status.Drift)))
	t := table{columns: columns("Age Run What Answer +Time")}
	for i := len(r.Status.Drift) - 1; i >= 0; i-- {
		d := r.Status.Drift[i]
		t.rows = append(t.rows, []string{c.age(d.Seen.Time), fmt.Sprint(d.Run), release.DescribeDrift(d), string(d.Answer), exact(d.Seen.Time)})
	}
	p.table(t, c.out.wide())
}

func (c *showCommand) conditions(p *paragraphs, r *v1alpha1.ImmutableRelease) {
	if len(r.Status.Conditions) == 0 {
		return
	}
	p.section("Conditions")
	t := table{columns: columns("Type Status Age Reason Message +Since")}
	for _, d := range r.Status.Conditions {
		message := d.Message
		if !c.out.wide() {
			message = cut(message, 60)
		}
		t.rows = append(t.rows, []string{d.Type, string(d.Status), c.age(d.LastTransitionTime.Time), d.Reason, message, exact(d.LastTransitionTime.Time)})
	}
	p.table(t, c.out.wide())
}
