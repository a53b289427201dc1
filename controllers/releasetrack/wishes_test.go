package releasetrack

import (
	"testing"
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

func TestPromotionIsObeyedOnce(t *testing.T) {
	old := newRelease("a", 1, ended(v1alpha1.OutcomeSuperseded))
	seen := func(handled bool) *v1alpha1.PromotedRelease {
		p := &v1alpha1.PromotedRelease{Release: old.Name, Since: *at(-60)}
		if handled {
			p.Handled = at(-50)
		}
		return p
	}
	for name, tc := range map[string]struct {
		mode    v1alpha1.Promotion
		field   string
		known   *v1alpha1.PromotedRelease
		want    string
		forgets bool
	}{
		"first seen, it is obeyed":                         {v1alpha1.PromotionManual, old.Name, nil, old.Name, false},
		"until it was handled":                             {v1alpha1.PromotionManual, old.Name, seen(true), "", false},
		"another name is another promotion":                {v1alpha1.PromotionManual, "shop-other", seen(true), "shop-other", false},
		"with Automatic it is not looked at":               {v1alpha1.PromotionAutomatic, old.Name, nil, "", true},
		"nor one that was on its way":                      {v1alpha1.PromotionAutomatic, old.Name, seen(false), "", false},
		"what was handled is remembered meanwhile":         {v1alpha1.PromotionAutomatic, old.Name, seen(true), "", false},
		"without the field, it may be asked for once more": {v1alpha1.PromotionManual, "", seen(true), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			track := newTrack(func(tr *v1alpha1.ReleaseTrack) {
				tr.Spec.Promote, tr.Spec.Rollout.Promotion, tr.Status.Promotion = tc.field, tc.mode, tc.known
			})
			r, s := newReconciler(t), newScopeOf(track, old)
			r.Clock.(*setClock).now = present.Add(time.Hour)
			r.notePromotion(s)
			if got := s.promote(); got != tc.want {
				t.Errorf("promotes %q, want %q", got, tc.want)
			}
			if got := track.Status.Promotion == nil; got != tc.forgets {
				t.Errorf("status.promotion is %v", track.Status.Promotion)
			}
		})
	}
}
