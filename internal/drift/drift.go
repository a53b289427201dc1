package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const (
	maxPaths    = 8
	maxPath     = 256
	maxManagers = 4
)

// Object is a live object of a release, with what is known of it.
type Object struct {
	Live *unstructured.Unstructured
	// Class that it has in the release.
	Class v1alpha1.ObjectClass
	// Manager under which the operator writes.
	Manager string
	// Autoscaled: something that the release declares sets its number of replicas.
	Autoscaled bool
}

// Finding is how an object differs.
type Finding struct {
	// Paths of fields, at most 8, without values; of a Secret nothing below data. None: the object is not the one that was made.
	Paths []string
	// Managers of these fields that are known programs, at most 4.
	Managers []string
}

// formula is the way in which digests are made. A digest that was made in another way tells nothing: raise it with any change of what counts.
const formula = "1:"

// Comparable: the digest was made in the way of this version.
func Comparable(digest string) bool { return strings.HasPrefix(digest, formula) }

// Digest is over what the operator owns of an object: the fields, and their values but for those of a Secret. An object that keeps no
// name from run to run counts as the very one (by its uid). The number of the formula and 32 hex.
func Digest(o Object) string {
	h := sha256.New()
	if o.Class != v1alpha1.ClassStable && o.Class != v1alpha1.ClassInPlace {
		_, _ = fmt.Fprintf(h, "uid %s\n", o.Live.GetUID())
	}
	set := ours(o.Live, o.Manager)
	set.Iterate(func(path fieldpath.Path) {
		if !o.tolerated(path, o.Manager) || o.ownMetadata(path) {
			_, _ = fmt.Fprintf(h, "field %s\n", path)
		}
	})
	set.Leaves().Iterate(func(path fieldpath.Path) {
		if o.tolerated(path, o.Manager) && !o.ownMetadata(path) || o.secret(path) {
			return
		}
		if v, ok := at(o.Live.Object, path); ok {
			_, _ = fmt.Fprintf(h, "value %s %s\n", path, canonical(v))
		}
	})
	return formula + hex.EncodeToString(h.Sum(nil))[:32]
}

// ownMetadata: labels and annotations that we own count, whatever others may add beside them.
func (o Object) ownMetadata(path fieldpath.Path) bool {
	kind := field(path, 1)
	return field(path, 0) == "metadata" && (kind == "labels" || kind == "annotations") && !hasPrefix(field(path, 2), controllerKeys)
}

// secret: the value is data of a Secret.
func (o Object) secret(path fieldpath.Path) bool {
	return o.Live.GetKind() == "Secret" && (field(path, 0) == "data" || field(path, 0) == "stringData")
}

// Compare tells how an object differs from what was made: by the digest that it had then, or by what others own in it. nil: it does not.
// want is what the operator sent; mutated are the paths that came back otherwise at once.
func Compare(o Object, baseline string, want *unstructured.Unstructured, mutated []string) *Finding {
	foreign, managers := o.foreign()
	if len(foreign) == 0 && Digest(o) == baseline {
		return nil
	}
	paths := foreign
	for _, p := range Differences(want, o.Live) {
		scale := o.Autoscaled && p == "spec.replicas"
		if !scale && !slices.Contains(mutated, p) {
			paths = append(paths, p)
		}
	}
	return &Finding{Paths: few(paths, maxPaths), Managers: few(managers, maxManagers)}
}

// Foreign reports whether somebody else owns what he must not, without a digest to compare with.
func Foreign(o Object) bool {
	paths, _ := o.foreign()
	return len(paths) > 0
}

// foreign are fields that others own and must not, and the known programs among these. Whoever applies
// a field of ours as it is owns it beside us, and has changed nothing.
func (o Object) foreign() (paths, managers []string) {
	own := ours(o.Live, o.Manager)
	for _, e := range o.Live.GetManagedFields() {
		if ofManager(e, o.Manager) {
			continue
		}
		found, shared := false, e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
		setOf(e).Leaves().Iterate(func(path fieldpath.Path) {
			if o.tolerated(path, e.Manager) || shared && own.Has(path) {
				return
			}
			found = true
			if o.secret(path) {
				path = path[:1]
			}
			paths = append(paths, text(path))
		})
		if found && slices.Contains(programs, e.Manager) {
			managers = append(managers, e.Manager)
		}
	}
	return paths, managers
}

// Key is the same for the same change to the same object: a second one of them is not answered again.
func (f *Finding) Key() string {
	return strings.Join(f.Paths, "\n") + "\n\n" + strings.Join(f.Managers, "\n")
}
