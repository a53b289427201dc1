package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

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

// Baseline is what is known of how an object was made.
type Baseline struct {
	Digest string
	// Mutated are the paths that came back otherwise than they were sent.
	Mutated []string
	// At is when the run had taken the traffic, which is after all of it was made; zero: not known.
	At time.Time
}

// Judge tells how an object differs from what was made of it, nil: it does not, and whether what is there counts as the baseline from now on.
// want is what the operator sends. Whatever others own in it is drift. Else it counts as it is
//
//   - when nothing is known (an earlier version made it), or in digests of another formula;
//   - when it is as it was sent, and a process may have ended between the write and the note of it: an object that keeps its name was
//     applied, or one that was deleted was made again. A Secret that was made again is not compared by its data, so it is never taken so.
func Judge(o Object, base *Baseline, want *unstructured.Unstructured) (found *Finding, renew bool) {
	foreign, managers := o.foreign()
	if len(foreign) == 0 {
		switch {
		case base == nil || !Comparable(base.Digest):
			return nil, true
		case Digest(o) == base.Digest:
			return nil, false
		case o.mayBeUnnoted(base) && len(o.changed(want, base)) == 0:
			return nil, true
		}
	}
	return &Finding{Paths: few(append(foreign, o.changed(want, base)...), maxPaths), Managers: few(managers, maxManagers)}, false
}

// mayBeUnnoted: the operator may have written the object after it wrote the baseline.
func (o Object) mayBeUnnoted(base *Baseline) bool {
	if o.Class == v1alpha1.ClassStable || o.Class == v1alpha1.ClassInPlace {
		return true
	}
	return !base.At.IsZero() && o.Live.GetCreationTimestamp().After(base.At) && o.Live.GetKind() != "Secret"
}

// changed are the paths of what was sent that are otherwise now, and came back as they were sent.
func (o Object) changed(want *unstructured.Unstructured, base *Baseline) []string {
	return slices.DeleteFunc(Differences(want, o.Live), func(p string) bool {
		return o.Autoscaled && p == "spec.replicas" || base != nil && slices.Contains(base.Mutated, p)
	})
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
