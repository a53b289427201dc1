package releasetrack

import (
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// notePin remembers since when the pin is as it is.
func (r *Reconciler) notePin(s *scope) {
	pin, status := s.track.Spec.Pin, &s.track.Status
	switch {
	case pin == "":
		status.Pinned = nil
	case status.Pinned == nil || status.Pinned.Release != pin:
		status.Pinned = &v1alpha1.PinnedRelease{Release: pin, Since: *r.microNow()}
	}
}

func pinSince(track *v1alpha1.ReleaseTrack, now time.Time) time.Time {
	if p := track.Status.Pinned; p != nil && p.Release == track.Spec.Pin {
		return p.Since.Time
	}
	return now
}

// notePromotion remembers since when spec.promote is as it is, and when it was handled: it is obeyed once. With Automatic it is not
// looked at, and what was handled before is not forgotten: a change back to Manual must not promote an old release anew.
func (r *Reconciler) notePromotion(s *scope) {
	name, status := s.track.Spec.Promote, &s.track.Status
	switch {
	case name == "":
		status.Promotion = nil
		return
	case !s.manual():
		return
	}
	if status.Promotion == nil || status.Promotion.Release != name {
		status.Promotion = &v1alpha1.PromotedRelease{Release: name, Since: *r.microNow()}
	}
	if p := status.Promotion; p.Handled == nil && release.PromotionHandled(s.releases[name], p.Since.Time) {
		p.Handled = r.microNow()
	}
}

// promote is the release that a person lets take the traffic and that has not done so yet; empty: none.
func (s *scope) promote() string {
	if p := s.track.Status.Promotion; s.manual() && p != nil && p.Handled == nil {
		return p.Release
	}
	return ""
}

func (s *scope) manual() bool { return s.track.Spec.Rollout.Promotion == v1alpha1.PromotionManual }
