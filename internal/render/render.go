package render

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
)

// Bundle is the content of a release before any name or label is stamped.
type Bundle struct {
	// Objects in the order in which they are created: what others need first (quotas, ServiceAccounts, ConfigMaps,
	// Secrets, claims, NetworkPolicies, Services and Ingresses, other kinds, Deployments, Pods, StatefulSets,
	// PodDisruptionBudgets, autoscalers), then by group, kind and name. File names have no influence.
	Objects []Object
	// NameReferences are those of Options that find a name in the objects, sorted: what a later stamp rewrites.
	NameReferences []NameReference
	// Digest is "sha256:<hex>" over the canonical lines of all objects in order, how each is handled included, and over
	// NameReferences when there are any.
	Digest string
	// Images of all pod templates, sorted, unique, as written.
	Images []Image
	// Ignored are the objects that Options.Ignore left out. It is not part of the archive.
	Ignored []Ignored
	// Warnings are what the gates found without refusing it. They are not part of the archive.
	Warnings []policy.Finding
	// Pins are the digests of images by tag, see Pinned; they are not part of the archive.
	Pins map[string]string
}

// Ignored is an object of Git that is not part of the release.
type Ignored struct {
	schema.GroupKind
	Name, File string
}

// Object is one object of a release.
type Object struct {
	Class v1alpha1.ObjectClass
	// AtSwitch objects are created when traffic moves and not before: autoscalers, and workloads that ask for it.
	AtSwitch bool
	// Object is canonical and unstamped; metadata.namespace is always the track's.
	Object *unstructured.Unstructured
	// Digest is "sha256:<hex>" of the canonical JSON of Object, and of the NameReferences that rewrite something in it.
	Digest string
	// Content is the content label of an InPlace workload: 10 hex over its spec, without replicas, and the Versioned
	// ConfigMaps and Secrets that it refers to. The workload is unchanged when both Digest and Content are.
	Content string
	// RefersVersioned: a Stable or InPlace object names a Versioned one, and has to be moved at the switch.
	RefersVersioned bool
	// Narrow: a Service that selects Versioned workloads of this release only; its selector gets release and run.
	Narrow bool
}

func (o Object) groupKind() schema.GroupKind {
	return o.Object.GroupVersionKind().GroupKind()
}

// Build reads the folder of the repository, as it is at one commit, and returns the release's content. All that is
// wrong with the commit is returned together as an *Error; an error of any other type comes from reading the file
// system and may pass.
//
// A folder with a kustomization file is built with kustomize, and so is one with a subfolder that has one. Any other
// folder is read as it is: all .yaml, .yml and .json files in it and below it, except names that start with a dot.
func Build(repo fs.FS, path string, opt Options) (*Bundle, error) {
	if opt.Namespace == "" || opt.Track == "" {
		return nil, errors.New("building: namespace and track are required")
	}
	if err := checkReferenceList(opt.NameReferences); err != nil {
		return nil, fmt.Errorf("building: %w", err)
	}
	var c problems
	items, err := load(newReader(repo), path, opt.Cache, &c)
	if err != nil {
		return nil, err
	}
	b := &Bundle{}
	items = b.withoutIgnored(items, opt.Ignore)
	checkItems(items, opt, &c)
	checkNameReferences(items, opt.NameReferences, &c)
	if len(items) == 0 && !c.any() {
		c.add(Problem{Reason: ReasonEmptyPath, File: path, Message: "there is nothing to release",
			Fix: "check the track's path"})
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	b.Warnings = c.warnings
	if err := b.fill(items, opt.NameReferences); err != nil {
		return nil, err
	}
	return b, nil
}

// load finds out what the folder is and reads it.
func load(r *reader, name string, cache *Cache, c *problems) ([]*item, error) {
	dir, err := repoPath(name)
	if err != nil {
		return nil, c.take(err)
	}
	k, plain, err := scan(r, dir, c)
	switch {
	case err != nil:
		return nil, err
	case c.any() && k != nil:
		return nil, nil // kustomize sees only what was found to be in order
	case k != nil:
		return k.build(c, cache)
	}
	return loadPlain(r, plain, c)
}

func (b *Bundle) withoutIgnored(items []*item, ignore []schema.GroupKind) []*item {
	return slices.DeleteFunc(items, func(it *item) bool {
		if !slices.ContainsFunc(ignore, func(i schema.GroupKind) bool {
			return i.Kind == it.gk.Kind && (i.Group == "" || i.Group == it.gk.Group)
		}) {
			return false
		}
		b.Ignored = append(b.Ignored, Ignored{it.gk, it.name(), it.file})
		return true
	})
}

// checkItems is all that is asked of objects, wherever they come from.
func checkItems(items []*item, opt Options, c *problems) {
	if len(items) > maxObjects {
		c.add(Problem{Reason: ReasonLimitExceeded, Message: fmt.Sprintf("more than %d objects: %d", maxObjects, len(items)),
			Fix: "split the path into several tracks"})
		return
	}
	checkDuplicates(items, c)
	for _, it := range items {
		if reason, message, fix := policy.RefusedKind(it.gk); reason != "" {
			c.add(it.problem(reason, "", message, fix))
			continue
		}
		checkMetadata(it, opt.Namespace, c)
		normalizeSecret(it, c)
		checkConfigMap(it, c)
		checkWorkload(it, c)
		checkImages(it, c)
		checkSelectorKeys(it, c)
	}
	classify(items, opt.Track, c)
	checkNames(items, c)
	if checkSizes(items, c) {
		c.found(policy.Check(gated(items), opt.Gates))
	}
}

// gated are the objects as the gates see them.
func gated(items []*item) []policy.Object {
	out := make([]policy.Object, 0, len(items))
	for _, it := range items {
		out = append(out, policy.Object{Group: it.gk.Group, Kind: it.gk.Kind, Name: it.name(), File: it.file, Line: it.line, Template: it.rule.pods, Content: it.content()})
	}
	return out
}

// checkSizes also sets the digests, since both need the canonical bytes. It reports whether the objects are small enough to be looked at
// further.
func checkSizes(items []*item, c *problems) bool {
	total, fit := 0, true
	for _, it := range items {
		data, err := canonicalJSON(it.content())
		if err != nil {
			c.add(it.problem(ReasonInvalidObject, "", "cannot be written as JSON", ""))
			fit = false
			continue
		}
		it.Digest = digestOf(data)
		if len(data) > maxObjectBytes {
			c.add(it.problem(ReasonLimitExceeded, "", fmt.Sprintf("the object has more than %d KiB: %d bytes", maxObjectBytes>>10, len(data)), ""))
			fit = false
		}
		if total += len(data); total > maxRenderedBytes {
			c.add(Problem{Reason: ReasonLimitExceeded, Fix: "split the path into several tracks",
				Message: fmt.Sprintf("the objects together have more than %d MiB: %d bytes so far", maxRenderedBytes>>20, total)})
			return false
		}
	}
	return fit
}

// fill makes the bundle of items that are in order.
func (b *Bundle) fill(items []*item, refs []NameReference) error {
	slices.SortFunc(items, func(x, y *item) int {
		return cmp.Or(cmp.Compare(x.rule.order, y.rule.order), cmp.Compare(x.gk.Group, y.gk.Group),
			cmp.Compare(x.gk.Kind, y.gk.Kind), cmp.Compare(x.name(), y.name()))
	})
	b.Objects = objectsOf(items)
	b.NameReferences = usedReferences(b.Objects, refs)
	if err := markReferences(b.Objects, b.NameReferences); err != nil {
		return fmt.Errorf("building: %w", err)
	}
	body, err := encodeObjects(b.Objects)
	if err != nil {
		return fmt.Errorf("building: %w", err)
	}
	if b.Digest, err = bundleDigest(b.NameReferences, body); err != nil {
		return fmt.Errorf("building: %w", err)
	}
	b.Images = imagesOf(b.Objects)
	return nil
}
