package dryrun

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/render"
)

// Report is what a release of a folder would be.
type Report struct {
	Track     string `json:"track"`
	Namespace string `json:"namespace"`
	// Path within the repository.
	Path string `json:"path"`
	// BelowFloor says which gates of the track are weaker than the floor of the cluster.
	BelowFloor string `json:"belowFloor,omitempty"`
	// Objects that would be created, in this order; none when a gate fails.
	Objects []Object `json:"objects"`
	// Images as they are written.
	Images []v1alpha1.ReleaseImage `json:"images"`
	// Ignored are objects that spec.ignore leaves out.
	Ignored []v1alpha1.IgnoredObject `json:"ignored,omitempty"`
	// Gates in their order.
	Gates []Gate `json:"gates"`
	// Omitted problems: there are more than anybody would read.
	Omitted int `json:"omitted,omitempty"`
}

// Object is an object of the release.
type Object struct {
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	// Name in the cluster; <commit> stands for the first 10 digits of the commit.
	Name  string               `json:"name"`
	Class v1alpha1.ObjectClass `json:"class"`
	When  string               `json:"when"`
}

// Gate is the verdict of one gate.
type Gate struct {
	ID       string                    `json:"id"`
	Verdict  policy.Outcome            `json:"verdict"`
	Note     string                    `json:"note,omitempty"`
	Findings []v1alpha1.ReleaseFinding `json:"findings,omitempty"`
}

// newReport renders the folder for the track. An error comes from reading the folder.
func newReport(repo fs.FS, path string, track *v1alpha1.ReleaseTrack) (*Report, error) {
	opt := render.OptionsOf(track.Namespace, track.Name, track.Spec.Ignore, track.Spec.NameReferences, track.Spec.Gates)
	r := &Report{Track: track.Name, Namespace: track.Namespace, Path: policy.Printable(path), Objects: []Object{}, Images: []v1alpha1.ReleaseImage{}}
	bundle, err := render.Build(repo, path, opt)
	var refused *render.Error
	var findings []policy.Finding
	switch {
	case errors.As(err, &refused):
		findings, r.Omitted = refused.Findings(), refused.Omitted
	case err != nil:
		return nil, err
	default:
		findings = bundle.Warnings
		r.describe(bundle)
	}
	for _, v := range policy.Judge(findings, track.Spec.Gates) {
		r.Gates = append(r.Gates, Gate{ID: v.Gate.ID, Verdict: v.Outcome, Note: v.Note, Findings: policy.API(v.Findings, policy.MaxOfGate)})
	}
	return r, nil
}

func (r *Report) describe(b *render.Bundle) {
	for _, o := range b.Objects {
		gvk := o.Object.GroupVersionKind()
		r.Objects = append(r.Objects, Object{Group: gvk.Group, Kind: gvk.Kind, Name: nameInCluster(o), Class: o.Class, When: when(o)})
	}
	for _, i := range b.Images {
		r.Images = append(r.Images, v1alpha1.ReleaseImage{Name: i.Name, Tag: i.Tag, Digest: i.Digest})
	}
	for _, o := range b.Ignored {
		r.Ignored = append(r.Ignored, v1alpha1.IgnoredObject{Group: o.Group, Kind: o.Kind, Name: o.Name, File: policy.Printable(o.File)})
	}
}

// placeholder is an identity whose suffix is ten zeros.
var placeholder = render.Identity{Track: "t", Release: "t-0000000000", Commit: strings.Repeat("0", 40), Run: 1}

func versioned(o render.Object) bool {
	return o.Class == v1alpha1.ClassVersioned || o.Class == v1alpha1.ClassRecreate
}

func nameInCluster(o render.Object) string {
	name := o.Object.GetName()
	if !versioned(o) {
		return name
	}
	return strings.TrimSuffix(render.StampedName(o.Object.GetKind(), name, placeholder), placeholder.Suffix()) + "<commit>"
}

// when says at which step of a rollout an object is made.
func when(o render.Object) string {
	switch {
	case o.AtSwitch:
		return "at the switch"
	case o.Class == v1alpha1.ClassRecreate:
		return "staged, when the old one is gone"
	case o.Class == v1alpha1.ClassInPlace:
		return "in place, when the others are healthy"
	case o.Class == v1alpha1.ClassStable:
		return "staged when new; changes at the switch"
	default:
		return "staged"
	}
}

// count is the number of gates with a verdict.
func (r *Report) count(v policy.Outcome) int {
	n := 0
	for _, g := range r.Gates {
		if g.Verdict == v {
			n++
		}
	}
	return n
}

// Refused: a gate fails, or the track is below the floor of the cluster.
func (r *Report) Refused() bool { return r.BelowFloor != "" || r.count(policy.Failed) > 0 }

func (r *Report) exitCode() int {
	if r.Refused() {
		return exitRefused
	}
	return exitAccepted
}

// conclusion is the last line.
func (r *Report) conclusion() string {
	warned := ""
	if n := r.count(policy.Warned); n > 0 {
		warned = fmt.Sprintf("; %s", plural(n, "gate warns", "gates warn"))
	}
	switch n := r.count(policy.Failed); {
	case n > 0:
		return fmt.Sprintf("refused: %s%s", plural(n, "gate fails", "gates fail"), warned)
	case r.BelowFloor != "":
		return "refused: the track is below the floor of the cluster" + warned
	}
	return "no gate fails" + warned
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
