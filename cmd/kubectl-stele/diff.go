package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/render"
)

// diffView is what diff tells programs.
type diffView struct {
	metav1.TypeMeta `json:",inline"`
	From            diffSide `json:"from"`
	To              diffSide `json:"to"`
	// Fields: Compared, or NotCompared because the archives could not be read; FieldsMessage says why.
	Fields        string         `json:"fields"`
	FieldsMessage string         `json:"fieldsMessage,omitempty"`
	Objects       []objectChange `json:"objects"`
	Images        []imageChange  `json:"images"`
}

type diffSide struct {
	Namespace string                `json:"namespace"`
	Track     string                `json:"track"`
	Release   string                `json:"release"`
	Commit    string                `json:"commit"`
	Phase     v1alpha1.ReleasePhase `json:"phase,omitempty"`
	Digest    string                `json:"digest,omitempty"`
}

const (
	fieldsCompared    = "Compared"
	fieldsNotCompared = "NotCompared"
)

type diffCommand struct {
	*shell
	out      *output
	operator *string
}

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		c := &diffCommand{shell: s}
		cmd := &cobra.Command{
			Use: "diff RELEASE [RELEASE]", GroupID: groupSee, Short: "Show which objects and fields differ between two releases",
			Long: "Show which objects and fields differ from the first release to the second. With one release: from the one that takes the traffic of its track\n" +
				"to it, that is what would change if it took over.\n\n" +
				"Fields are compared from the archives, which are Secrets of the operator's namespace. Who may not read them sees which objects differ, by\n" +
				"their digests. Values of Secrets are never shown.",
			Example: "  kubectl stele diff shop-0ec84d9953                     # against what runs\n" +
				"  kubectl stele diff shop-7c5bcc8a41 shop-0ec84d9953",
			Args: cobra.RangeArgs(1, 2), ValidArgsFunction: completeArg(s.completeRelease(), s.completeRelease()),
			RunE: c.run,
		}
		c.out = newOutput(cmd, outputJSON, outputYAML)
		c.operator = operatorNamespace(cmd)
		return cmd
	})
}

// operatorNamespace adds the flag that says where the operator keeps archives and the ledger.
func operatorNamespace(cmd *cobra.Command) *string {
	return cmd.Flags().String("operator-namespace", "stele-system", "namespace of the operator")
}

func (c *diffCommand) run(cmd *cobra.Command, args []string) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	from, to, err := c.sides(ctx, api, args)
	if err != nil {
		return err
	}
	view := &diffView{TypeMeta: metav1.TypeMeta{APIVersion: viewVersion, Kind: "ReleaseDiff"}, From: sideOf(from), To: sideOf(to), Fields: fieldsCompared,
		Objects: compareObjects(from.Spec.Objects, to.Spec.Objects), Images: compareImages(from, to)}
	if hasChanged(view.Objects) {
		if err := c.fields(ctx, api, from, to, view.Objects); err != nil {
			view.Fields, view.FieldsMessage = fieldsNotCompared, err.Error()
		}
	}
	if !c.out.forPeople() {
		return c.write(c.out, view)
	}
	c.tell(view)
	return nil
}

// sides are the releases to compare.
func (c *diffCommand) sides(ctx context.Context, api client.Client, args []string) (from, to *v1alpha1.ImmutableRelease, err error) {
	if from, err = c.release(ctx, api, args[0]); err != nil {
		return nil, nil, err
	}
	if len(args) == 2 {
		to, err = c.release(ctx, api, args[1])
		return from, to, err
	}
	to = from
	track, err := c.track(ctx, api, to.Spec.Track)
	if err != nil {
		return nil, nil, err
	}
	if track.Status.ActiveRelease == "" {
		return nil, nil, exitf(exitFailed, "nothing runs on track %s, so there is nothing to compare %s with\nName two releases; %s releases %s lists them.",
			safe(track.Name), safe(to.Name), c.called, safe(track.Name))
	}
	from, err = c.release(ctx, api, track.Status.ActiveRelease)
	return from, to, err
}

func sideOf(r *v1alpha1.ImmutableRelease) diffSide {
	return diffSide{Namespace: r.Namespace, Track: r.Spec.Track, Release: r.Name, Commit: r.Spec.Source.Commit, Phase: r.Status.Phase, Digest: r.Spec.Digest}
}

func hasChanged(objects []objectChange) bool {
	for _, o := range objects {
		if o.Change == changed {
			return true
		}
	}
	return false
}

// fields compares them from the archives. An error says why it could not be done.
func (c *diffCommand) fields(ctx context.Context, api client.Client, from, to *v1alpha1.ImmutableRelease, changes []objectChange) error {
	old, err := c.load(ctx, api, from)
	if err != nil {
		return err
	}
	young, err := c.load(ctx, api, to)
	if err != nil {
		return err
	}
	compareFields(changes, old, young)
	return nil
}

// load reads the archive of a release, and trusts it as little as the operator does.
func (c *diffCommand) load(ctx context.Context, api client.Client, r *v1alpha1.ImmutableRelease) (*render.Bundle, error) {
	if r.Spec.Archive == nil {
		return nil, fmt.Errorf("release %s has no archive", r.Name)
	}
	store := archive.Store{Client: api, Namespace: *c.operator}
	stored, err := store.Load(ctx, archive.Key{Namespace: r.Namespace, Track: r.Spec.Track, Release: r.Name, Digest: r.Spec.Digest}, r.Spec.Archive)
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("that takes the right to get Secrets in namespace %s, where the archives are", *c.operator)
	case errors.Is(err, archive.ErrMissing):
		return nil, fmt.Errorf("%w; --operator-namespace names the namespace that the archives are in", err)
	case err != nil:
		return nil, err
	}
	bundle, err := render.Decode(stored.Data)
	if err == nil && bundle.Digest != r.Spec.Digest {
		err = render.ErrArchiveDigest
	}
	if err != nil {
		return nil, fmt.Errorf("the archive of release %s is not what was stored (%w); do not trust it", r.Name, err)
	}
	return bundle, nil
}

func (c *diffCommand) tell(view *diffView) {
	p := c.paragraphs()
	for i, side := range []diffSide{view.From, view.To} {
		p.line([]string{"From", "To"}[i], "%s (%s), commit %s", side.Release, side.Phase, side.Commit)
	}
	_ = p.flush()
	if len(view.Objects)+len(view.Images) == 0 {
		c.printf("\nNo object differs.\n")
		return
	}
	if view.Fields == fieldsNotCompared {
		c.printf("\nFields are not compared: %s.\n", safe(view.FieldsMessage))
	}
	c.printf("\n")
	for _, o := range view.Objects {
		c.tellObject(o)
	}
	if len(view.Images) > 0 {
		c.printf("\nImages:\n")
	}
	for _, i := range view.Images {
		switch {
		case i.From == "":
			c.printf("  + %s %s\n", safe(i.Name), safe(i.To))
		case i.To == "":
			c.printf("  - %s %s\n", safe(i.Name), safe(i.From))
		default:
			c.printf("  ~ %s\n      - %s\n      + %s\n", safe(i.Name), safe(i.From), safe(i.To))
		}
	}
}

var marks = map[change]string{added: "+", removed: "-", changed: "~"}

func (c *diffCommand) tellObject(o objectChange) {
	class := string(o.FromClass)
	switch {
	case o.FromClass == "":
		class = string(o.ToClass)
	case o.ToClass != "" && o.ToClass != o.FromClass:
		class += " -> " + string(o.ToClass)
	}
	c.printf("%s %s %s (%s)\n", marks[o.Change], safe(o.Kind), safe(o.Name), safe(class))
	for _, f := range o.Fields {
		c.tellField(f)
	}
}

func (c *diffCommand) tellField(f fieldChange) {
	path := safe(f.Path)
	from, isText := f.From.(string)
	to, areBoth := f.To.(string)
	switch {
	case f.Masked:
		c.printf("    %s %s: (secret)\n", marks[f.Change], path)
	case f.Change == added:
		c.printf("    + %s: %s\n", path, shown(f.To))
	case f.Change == removed:
		c.printf("    - %s: %s\n", path, shown(f.From))
	case isText && areBoth && (strings.Contains(from, "\n") || strings.Contains(to, "\n")):
		c.tellLines(path, from, to)
	default:
		c.printf("    ~ %s: %s -> %s\n", path, shown(f.From), shown(f.To))
	}
}

func (c *diffCommand) tellLines(path, from, to string) {
	lines := compareLines(from, to)
	if lines == nil {
		c.printf("    ~ %s: %d lines -> %d lines\n", path, strings.Count(from, "\n")+1, strings.Count(to, "\n")+1)
		return
	}
	c.printf("    ~ %s:\n", path)
	for _, line := range lines {
		mark, text := line[:2], line[2:]
		c.printf("        %s%s\n", mark, safeLines(strings.ReplaceAll(text, "\t", "    ")))
	}
}

// shown is a value on one line: text as it is, everything else as JSON, and nothing without end.
func shown(value any) string {
	const longest = 200
	if text, ok := value.(string); ok && text != "" && !strings.ContainsAny(text, "\n\t") {
		return cut(text, longest)
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("(%T)", value)
	}
	return cut(string(safeJSON(data)), longest)
}
