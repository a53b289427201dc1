package render

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Options say for whom a release is built.
type Options struct {
	// Namespace is the track's own; a release never leaves it.
	Namespace string
	// Track is the track's name.
	Track string
	// Ignore lists kinds that are left out and reported in Bundle.Ignored instead of being refused. An empty group is any.
	Ignore []schema.GroupKind
	// Cache, when set, is shared by the builds of many tracks. It changes how long a build takes, and nothing else.
	Cache *Cache
	// NameReferences are fields beyond the built-in table that name other objects.
	NameReferences []NameReference
	// Gates say what is asked of images and pods. What is not set is the default.
	Gates v1alpha1.Gates
}

// OptionsOf are the options of a track, from what its spec says. Whoever renders for a track begins with these: the operator, the dry
// run, and the samples must not differ in what they obey.
func OptionsOf(namespace, track string, ignore []v1alpha1.IgnoredKind, references []v1alpha1.NameReference, gates v1alpha1.Gates) Options {
	opt := Options{Namespace: namespace, Track: track, Gates: gates}
	for _, k := range ignore {
		opt.Ignore = append(opt.Ignore, schema.GroupKind{Group: k.Group, Kind: k.Kind})
	}
	for _, r := range references {
		opt.NameReferences = append(opt.NameReferences, NameReference{Group: r.Group, Kind: r.Kind, Path: r.Path,
			TargetGroup: r.Target.Group, TargetKind: r.Target.Kind})
	}
	return opt
}
