package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// treeView is what tree tells programs.
type treeView struct {
	metav1.TypeMeta `json:",inline"`
	Namespace       string `json:"namespace"`
	Track           string `json:"track"`
	// Runs that something is there of; the one that takes the traffic first, then the newest.
	Runs []runView `json:"runs"`
	// Shared are the objects that belong to no run: Stable and InPlace ones.
	Shared []nodeView `json:"shared"`
	// Unread are kinds that could not be listed, with why.
	Unread map[string]string `json:"unread,omitempty"`
}

type runView struct {
	Release string                `json:"release"`
	Run     int32                 `json:"run"`
	Phase   v1alpha1.ReleasePhase `json:"phase,omitempty"`
	// Active: it takes the traffic.
	Active  bool       `json:"active,omitempty"`
	Objects []nodeView `json:"objects"`
}

// nodeView is an object with what controllers made of it.
type nodeView struct {
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	// Health: Healthy, Progressing, Failing, Succeeded, Deleting, Missing.
	Health  string `json:"health"`
	Message string `json:"message,omitempty"`
	// Ready pods of those that are wanted: 2/3.
	Ready    string       `json:"ready,omitempty"`
	Created  *metav1.Time `json:"created,omitempty"`
	Node     string       `json:"node,omitempty"`
	Children []nodeView   `json:"children,omitempty"`
}

type treeCommand struct {
	*shell
	out         *output
	replicaSets bool
}

func init() {
	commands = append(commands, func(s *shell) *cobra.Command {
		c := &treeCommand{shell: s}
		cmd := &cobra.Command{
			Use: "tree TRACK", GroupID: groupSee, Short: "Show the objects and pods of a track, and how they are",
			Long: "Show the objects of a track as they are in the cluster, with their pods and how they are: by release and run, the one that takes the traffic\n" +
				"first. Objects of no run are Stable or InPlace: each release changes them.",
			Example: "  kubectl stele tree shop\n" +
				"  kubectl stele tree shop --replicasets -o wide",
			Args: cobra.ExactArgs(1), ValidArgsFunction: completeArg(s.completeTracks()),
			RunE: c.run,
		}
		c.out = newOutput(cmd, outputWide, outputJSON, outputYAML)
		cmd.Flags().BoolVar(&c.replicaSets, "replicasets", false, "show ReplicaSets between Deployments and pods")
		return cmd
	})
}

func (c *treeCommand) run(cmd *cobra.Command, args []string) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	track, err := c.track(ctx, api, args[0])
	if err != nil {
		return err
	}
	releases, err := listReleases(ctx, api, track.Namespace, track.Name)
	if err != nil {
		return err
	}
	live, err := readLive(ctx, api, track.Namespace, track.Name, releases)
	if err != nil {
		return err
	}
	view := c.view(track, releases, live)
	if !c.out.forPeople() {
		return c.write(c.out, view)
	}
	return c.tell(view)
}

func (c *treeCommand) view(track *v1alpha1.ReleaseTrack, releases []v1alpha1.ImmutableRelease, l *live) *treeView {
	byName := map[string]*v1alpha1.ImmutableRelease{}
	for i := range releases {
		byName[releases[i].Name] = &releases[i]
	}
	var active release.RunKey
	if r := byName[track.Status.ActiveRelease]; r != nil && r.Status.ActiveRun > 0 {
		active = release.ActiveKey(r)
	}
	runs := l.runs()
	if active.Release != "" {
		runs[active] = true
	}
	view := &treeView{TypeMeta: metav1.TypeMeta{APIVersion: viewVersion, Kind: "TrackTree"}, Namespace: track.Namespace, Track: track.Name, Unread: l.unread,
		Runs: []runView{}, Shared: c.nodes(l, l.roots("", 0))}
	for key := range runs {
		each := runView{Release: key.Release, Run: key.Run, Active: key == active, Objects: c.nodes(l, l.roots(key.Release, key.Run))}
		if r := byName[key.Release]; r != nil {
			each.Phase = r.Status.Phase
			if each.Active {
				each.Objects = append(each.Objects, absent(l, r, key, each.Objects)...)
			}
		}
		view.Runs = append(view.Runs, each)
	}
	if r := byName[track.Status.ActiveRelease]; r != nil {
		view.Shared = append(view.Shared, absentShared(l, r, view.Shared)...)
	}
	slices.SortFunc(view.Runs, func(a, b runView) int {
		switch x, y := byName[a.Release], byName[b.Release]; {
		case a.Active != b.Active && a.Active:
			return -1
		case a.Active != b.Active:
			return 1
		case x != nil && y != nil && x.Spec.Sequence != y.Spec.Sequence:
			return int(y.Spec.Sequence - x.Spec.Sequence)
		}
		return strings.Compare(fmt.Sprintf("%s/%010d", b.Release, b.Run), fmt.Sprintf("%s/%010d", a.Release, a.Run))
	})
	return view
}

// absent are objects of the run that takes the traffic that are not there. Jobs that have ended are told by the release.
func absent(l *live, r *v1alpha1.ImmutableRelease, key release.RunKey, there []nodeView) []nodeView {
	id := render.Identity{Namespace: r.Namespace, Track: r.Spec.Track, Release: r.Name, Commit: r.Spec.Source.Commit, ReleaseUID: string(r.UID), Run: key.Run}
	var out []nodeView
	for _, o := range r.Spec.Objects {
		if o.Class != v1alpha1.ClassVersioned && o.Class != v1alpha1.ClassRecreate || !l.listed[schema.GroupKind{Group: o.Group, Kind: o.Kind}] {
			continue
		}
		node := nodeView{Group: o.Group, Kind: o.Kind, Name: render.StampedName(o.Kind, o.Name, id), Health: missing}
		if isThere(there, node) {
			continue
		}
		if result := release.JobResult(r, key.Run, o.Name); o.Kind == "Job" && result != "" {
			node.Health, node.Message = string(result), "it has ended and was removed"
		}
		out = append(out, node)
	}
	return out
}

// absentShared are Stable and InPlace objects of the release that takes the traffic that are not there.
func absentShared(l *live, r *v1alpha1.ImmutableRelease, there []nodeView) []nodeView {
	var out []nodeView
	for _, o := range r.Spec.Objects {
		node := nodeView{Group: o.Group, Kind: o.Kind, Name: o.Name, Health: missing}
		if (o.Class == v1alpha1.ClassStable || o.Class == v1alpha1.ClassInPlace) && l.listed[schema.GroupKind{Group: o.Group, Kind: o.Kind}] && !isThere(there, node) {
			out = append(out, node)
		}
	}
	return out
}

func isThere(nodes []nodeView, one nodeView) bool {
	return slices.ContainsFunc(nodes, func(n nodeView) bool { return n.Group == one.Group && n.Kind == one.Kind && n.Name == one.Name })
}

func (c *treeCommand) nodes(l *live, objects []*unstructured.Unstructured) []nodeView {
	out := []nodeView{}
	for _, o := range objects {
		children := l.children[o.GetUID()]
		if o.GetKind() == "ReplicaSet" && ownerOf(o) != "" && !c.replicaSets {
			out = append(out, c.nodes(l, children)...)
			continue
		}
		gvk := o.GroupVersionKind()
		node := nodeView{Group: gvk.Group, Kind: gvk.Kind, Name: o.GetName()}
		node.Health, node.Message, node.Ready = l.health(o)
		made := o.GetCreationTimestamp()
		node.Created = &made
		if gvk.Kind == "Pod" {
			node.Node, _, _ = unstructured.NestedString(o.Object, "spec", "nodeName")
			node.Ready = ""
		}
		if len(children) > 0 {
			node.Children = c.nodes(l, children)
		}
		out = append(out, node)
	}
	return out
}

// tell draws the tree.
func (c *treeCommand) tell(view *treeView) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	c.row(w, "OBJECT", "HEALTH", "READY", "AGE", "NODE", "CREATED", "MESSAGE")
	for _, r := range view.Runs {
		title := fmt.Sprintf("%s run %d", safe(r.Release), r.Run)
		phase := string(r.Phase)
		if r.Active {
			phase += ", takes the traffic"
		}
		c.row(w, title, "", "", "", "", "", strings.TrimPrefix(phase, ", "))
		c.branch(w, "", r.Objects)
	}
	if len(view.Shared) > 0 {
		c.row(w, "of no run", "", "", "", "", "", "Stable and InPlace objects")
		c.branch(w, "", view.Shared)
	}
	_ = w.Flush() // into memory
	if len(view.Runs)+len(view.Shared) == 0 {
		c.notef("Nothing of track %s is in the cluster; %s status %s says why.\n", safe(view.Track), c.called, safe(view.Track))
	} else {
		for line := range strings.Lines(b.String()) {
			c.printf("%s\n", strings.TrimRight(line, " \n"))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(view.Unread)) {
		c.notef("Not shown: %s, %s.\n", safe(kind), safe(view.Unread[kind]))
	}
	return nil
}

func (c *treeCommand) branch(w *tabwriter.Writer, indent string, nodes []nodeView) {
	for i, n := range nodes {
		mark, below := "├─ ", "│  "
		if i == len(nodes)-1 {
			mark, below = "└─ ", "   "
		}
		var created time.Time
		if n.Created != nil {
			created = n.Created.Time
		}
		c.row(w, indent+mark+safe(n.Kind+" "+n.Name), n.Health, n.Ready, c.age(created), n.Node, exact(created), c.message(n.Message))
		c.branch(w, indent+below, n.Children)
	}
}

// message is cut to what a screen has room for, but for -o wide.
func (c *treeCommand) message(text string) string {
	if c.out.wide() {
		return text
	}
	return cut(text, 60)
}

// row writes the object as it is, and the other cells safe; node and time of creation with -o wide only, and the message last.
func (c *treeCommand) row(w *tabwriter.Writer, object string, cells ...string) {
	line := object
	for i, cell := range cells {
		if !c.out.wide() && (i == 3 || i == 4) {
			continue
		}
		line += "\t" + safe(cell)
	}
	if c.out.noHeaders && object == "OBJECT" {
		return
	}
	_, _ = fmt.Fprintln(w, line) // into memory
}
