package releasetrack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// cachedBundles bounds the memory for bundles that were read lately.
const cachedBundles = 32

// loader reads archives, checks them against the release's digest, and keeps a few. What it hands out is not changed.
type loader struct {
	mu sync.Mutex
	// bundles by release uid, the oldest first in order.
	bundles map[types.UID]*render.Bundle
	order   []types.UID
	// read is when a bundle was read from its archive.
	read map[types.UID]time.Time
	// contents are small and kept for every release that was loaded.
	contents map[types.UID]*release.Content
	// seals of every release that was compared with its archive. See seal.
	seals map[types.UID]*seal
}

// bundle returns a release's rendered objects with the digests that are known of its images.
func (r *Reconciler) bundle(ctx context.Context, rel *v1alpha1.ImmutableRelease) (*render.Bundle, error) {
	b, err := r.archived(ctx, rel)
	if err != nil {
		return nil, err
	}
	return b.Pinned(imagesOf(rel)), nil
}

// archived returns a release's rendered objects, from memory or from its archive. A missing or changed archive is an error
// that wraps archive.ErrMissing or archive.ErrChanged, a release that was altered one that wraps errAltered.
func (r *Reconciler) archived(ctx context.Context, rel *v1alpha1.ImmutableRelease) (*render.Bundle, error) {
	if err := r.loader.unaltered(rel); err != nil {
		return nil, err
	}
	if b := r.loader.get(rel.UID); b != nil {
		return b, nil
	}
	if rel.Spec.Archive == nil {
		return nil, fmt.Errorf("release %s: %w: it was never rendered", rel.Name, archive.ErrMissing)
	}
	stored, err := r.Archives.Load(ctx, archiveKey(rel), rel.Spec.Archive)
	if err != nil {
		return nil, r.loader.unreadable(rel, err)
	}
	if err := r.loader.compare(rel, stored, r.Clock.Now()); err != nil {
		return nil, err
	}
	b, err := decode(stored.Data, rel.Spec.Digest)
	if err != nil {
		return nil, err
	}
	r.loader.put(rel.UID, b, r.Clock.Now())
	return b, nil
}

// decode reads what an archive holds. Everything of it is covered by its digest.
func decode(data []byte, digest string) (*render.Bundle, error) {
	b, err := render.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", archive.ErrChanged, err)
	}
	if b.Digest != digest {
		return nil, fmt.Errorf("%w: its digest is %s, the release says %s", archive.ErrChanged, b.Digest, digest)
	}
	return b, nil
}

// content returns what the planner must know of a release's objects; a problem when its archive cannot be used.
func (r *Reconciler) content(ctx context.Context, rel *v1alpha1.ImmutableRelease) (*release.Content, *release.Problem, error) {
	if c := r.loader.content(rel.UID); c != nil && r.loader.unaltered(rel) == nil {
		return c, nil, nil
	}
	b, err := r.bundle(ctx, rel)
	if problem, ok := kube.AsRefusal(refused(err)); ok {
		return nil, &problem, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return r.loader.keepContent(rel.UID, contentOf(b)), nil, nil
}

// freshness is how long a bundle that was read may serve the beginning of a run.
const freshness = 5 * time.Second

// checkedBundle is bundle for the beginning of a run: the archive is read and checked again, unless that was done just now. An
// archive that was lost or changed meanwhile is noticed before anything depends on it.
func (r *Reconciler) checkedBundle(ctx context.Context, rel *v1alpha1.ImmutableRelease) (*render.Bundle, error) {
	if r.Clock.Now().Sub(r.loader.readAt(rel.UID)) > freshness {
		r.loader.recheck(rel.UID)
	}
	return r.bundle(ctx, rel)
}

func (l *loader) readAt(uid types.UID) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read[uid]
}

// refused makes an archive or a release that cannot be used a refusal.
func refused(err error) error {
	switch {
	case errors.Is(err, errAltered):
		return kube.Refuse(v1alpha1.ReleaseAlteredReason, err.Error())
	case errors.Is(err, archive.ErrMissing):
		return kube.Refuse(v1alpha1.ArchiveMissingReason, err.Error())
	case errors.Is(err, archive.ErrChanged):
		return kube.Refuse(v1alpha1.ArchiveChangedReason, err.Error())
	}
	return err
}

// contentOf sorts a bundle's objects by what the planner does with them.
func contentOf(b *render.Bundle) *release.Content {
	c := &release.Content{InPlace: map[release.ObjectKey]string{}, External: b.External()}
	for _, o := range b.Objects {
		key := release.ObjectKey{Group: o.Object.GroupVersionKind().Group, Kind: o.Object.GetKind(), Name: o.Object.GetName()}
		switch {
		case o.Narrow:
			c.Services = append(c.Services, key.Name)
		case o.Class == v1alpha1.ClassInPlace:
			c.InPlace[key] = o.Content
		case !isWorkload(key):
		case key.Kind == "Job":
			// One that starts at the switch is made then, and nothing waits for it.
			if !o.AtSwitch {
				c.Jobs = append(c.Jobs, key)
			}
		case o.AtSwitch:
			c.AtSwitch = append(c.AtSwitch, key)
		case o.Class == v1alpha1.ClassRecreate:
			c.Recreate = append(c.Recreate, key)
		case o.Class == v1alpha1.ClassVersioned:
			c.Workloads = append(c.Workloads, key)
		}
	}
	return c
}

// isWorkload: the kinds that run pods and belong to a run.
func isWorkload(key release.ObjectKey) bool {
	switch key.Group + "/" + key.Kind {
	case "apps/Deployment", "/Pod", "batch/Job", "batch/CronJob":
		return true
	}
	return false
}

func (l *loader) get(uid types.UID) *render.Bundle {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bundles[uid]
}

func (l *loader) put(uid types.UID, b *render.Bundle, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bundles == nil {
		l.bundles, l.read = map[types.UID]*render.Bundle{}, map[types.UID]time.Time{}
	}
	l.read[uid] = now
	if l.bundles[uid] == nil {
		l.order = append(l.order, uid)
	}
	l.bundles[uid] = b
	l.sealOf(uid).spare = nil
	for len(l.order) > cachedBundles {
		delete(l.bundles, l.order[0])
		delete(l.read, l.order[0])
		l.order = l.order[1:]
	}
}

// drop forgets a bundle, so that the next use reads and checks the archive.
func (l *loader) drop(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(uid)
	delete(l.seals, uid)
}

// forget is called with the lock held. What was found of the release itself is kept.
func (l *loader) forget(uid types.UID) {
	delete(l.bundles, uid)
	delete(l.read, uid)
	delete(l.contents, uid)
	l.order = slices.DeleteFunc(l.order, func(u types.UID) bool { return u == uid })
}

func (l *loader) content(uid types.UID) *release.Content {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.contents[uid]
}

func (l *loader) keepContent(uid types.UID, c *release.Content) *release.Content {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.contents == nil {
		l.contents = map[types.UID]*release.Content{}
	}
	l.contents[uid] = c
	return c
}
