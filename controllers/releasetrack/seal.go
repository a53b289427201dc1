package releasetrack

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/internal/render"
)

// checkEvery is how often the archive of the active release, and of a pinned one, is read when nothing else asks for it.
const checkEvery = time.Hour

// errAltered: a release is not what it was made as.
var errAltered = errors.New("the release was altered")

// seal is what was found when a release was last compared with what its archive says of it.
type seal struct {
	// generation of the release that was compared; 0: it has to be compared again.
	generation int64
	// chained is what the next release of the track says its digest is.
	chained string
	checked time.Time
	verdict release.Verdict
	// stored: the operator has made the release, because it has an archive.
	stored bool
	// spare is what was read of an archive that may have been lost since; nil: nothing.
	spare *render.Bundle
}

// chained tells what the next release has recorded. It is asked for when the release is compared again.
func (l *loader) chained(uid types.UID, digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sealOf(uid)
	if s.chained == digest {
		return
	}
	s.chained = digest
	if s.generation > 0 && !s.verdict.Altered && s.verdict.Truth != nil && release.SpecDigest(s.verdict.Truth) == digest {
		return // as it was found to be
	}
	s.generation = 0
}

// vouched is what a release was made with, of which the archive was read; nil: it was not, or nobody knows.
func (l *loader) vouched(uid types.UID) *v1alpha1.ImmutableReleaseSpec {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.seals[uid]; s != nil && s.stored {
		return s.verdict.Truth
	}
	return nil
}

// sealOf is called with the lock held.
func (l *loader) sealOf(uid types.UID) *seal {
	if l.seals == nil {
		l.seals = map[types.UID]*seal{}
	}
	s := l.seals[uid]
	if s == nil {
		s = &seal{}
		l.seals[uid] = s
	}
	return s
}

// verdict is what was found last, of whichever generation; the zero value: nothing yet.
func (l *loader) verdict(uid types.UID) release.Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.seals[uid]; s != nil {
		return s.verdict
	}
	return release.Verdict{}
}

// chainOf is what the next release says its digest is.
func (l *loader) chainOf(uid types.UID) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.seals[uid]; s != nil {
		return s.chained
	}
	return ""
}

func (l *loader) checkedAt(uid types.UID) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.seals[uid]; s != nil {
		return s.checked
	}
	return time.Time{}
}

// unaltered refuses a release that was found altered, and forgets what was read of one that has been written since.
func (l *loader) unaltered(rel *v1alpha1.ImmutableRelease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.seals[rel.UID]
	switch {
	case s == nil:
		return nil
	case s.generation != max(rel.Generation, 1):
		l.forget(rel.UID)
		return nil
	case s.verdict.Altered:
		return fmt.Errorf("%w: %s", errAltered, s.verdict.AlteredMessage(rel.Name))
	}
	return nil
}

// compare judges a release by what its archive says of it.
func (l *loader) compare(rel *v1alpha1.ImmutableRelease, stored *archive.Stored, now time.Time) error {
	l.mu.Lock()
	s := l.sealOf(rel.UID)
	s.verdict = release.Judge(rel, release.Evidence{Record: stored.Record, RecordedAt: stored.Made, Chained: s.chained})
	s.generation, s.checked = max(rel.Generation, 1), now
	if !s.verdict.Altered {
		s.verdict.Truth = rel.Spec.DeepCopy()
	}
	bad := s.verdict.BadRecord
	s.stored = !bad
	l.mu.Unlock()
	if bad {
		return fmt.Errorf("%w: its record is not that of release %s", archive.ErrChanged, rel.Name)
	}
	return l.unaltered(rel)
}

// unreadable: the archive cannot be read, so that nothing but the chain and what was known before speaks for a release that somebody
// has written to.
func (l *loader) unreadable(rel *v1alpha1.ImmutableRelease, err error) error {
	if rel.Generation <= 1 || !errors.Is(err, archive.ErrMissing) && !errors.Is(err, archive.ErrChanged) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	own, s := release.SpecDigest(&rel.Spec), l.sealOf(rel.UID)
	known := s.verdict.Truth != nil && release.SpecDigest(s.verdict.Truth) == own
	if known || s.chained == own {
		return err
	}
	return fmt.Errorf("%w: ImmutableRelease %s was written to after it was made, and what could tell what it was is not there: %w", errAltered, rel.Name, err)
}

// recheck lets the archive be read and compared again at the next use. What was read is kept, to store it again should it be lost.
func (l *loader) recheck(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.bundles[uid]; b != nil {
		l.sealOf(uid).spare = b
	}
	if s := l.seals[uid]; s != nil && !s.verdict.Altered {
		s.generation = 0
	}
	l.forget(uid)
}

// sealed: the release was stored a moment ago as its archive says.
func (l *loader) sealed(rel *v1alpha1.ImmutableRelease, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sealOf(rel.UID)
	s.generation, s.checked, s.verdict = max(rel.Generation, 1), now, release.Verdict{Truth: rel.Spec.DeepCopy()}
	s.stored = true
}

// truth replaces the spec of a release that was altered by the one that it was made with, and reports whether it was altered.
func (l *loader) truth(rel *v1alpha1.ImmutableRelease) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.seals[rel.UID]
	if s == nil || !s.verdict.Altered || s.generation != max(rel.Generation, 1) {
		return false
	}
	if s.verdict.Truth != nil {
		rel.Spec = *s.verdict.Truth.DeepCopy()
	}
	return true
}

// spare is what is left in memory of an archive that cannot be read any more; nil: nothing.
func (l *loader) spare(uid types.UID) *render.Bundle {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.seals[uid]; s != nil {
		return s.spare
	}
	return nil
}
