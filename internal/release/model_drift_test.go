package release

import (
	"github.com/stele-dev/stele/api/v1alpha1"
)

// tamper changes an object of what serves.
func (m *model) tamper() {
	a := m.active()
	if a == nil {
		return
	}
	if m.chance(0.3) {
		d := Drift{Key: ObjectKey{Kind: "Service", Name: "web"}, Class: v1alpha1.ClassStable, Change: v1alpha1.DriftChanged, Paths: []string{"spec.ports"}}
		m.logf("somebody changes Service web")
		m.bent = []Drift{d}
		return
	}
	key := ActiveKey(a)
	if m.runs[key] == nil {
		return
	}
	path := []string{"data.a", "data.b", "data.c"}[m.rng.IntN(3)]
	m.logf("somebody changes the ConfigMap of %s", key)
	m.drifted[key] = []Drift{{Key: ObjectKey{Kind: "ConfigMap", Name: "config"}, Class: v1alpha1.ClassVersioned, Change: v1alpha1.DriftChanged, Paths: []string{path}}}
}

// drift is what a look at the active run finds. While another run is on its way, what keeps its name is not looked at.
func (m *model) drift() []Drift {
	a := m.active()
	if a == nil {
		return nil
	}
	out := m.drifted[ActiveKey(a)]
	if r := m.staging(); r == nil || IsStandby(r) {
		out = append(out[:len(out):len(out)], m.bent...)
	}
	return out
}

// answer keeps what was found and is answered now, as the controllers do.
func (m *model) answer(r *v1alpha1.ImmutableRelease, how v1alpha1.DriftAnswer) {
	v := m.view()
	for _, d := range Decide(v).Drift {
		if d.Answer == how && r == m.active() {
			NoteDrift(r, d, v)
		}
	}
}

func (m *model) reapply(r *v1alpha1.ImmutableRelease) {
	m.answer(r, v1alpha1.DriftApplied)
	m.bent = nil
}

// checkDrift: what was changed is replaced, or it is said that it is not.
func (m *model) checkDrift(a *v1alpha1.ImmutableRelease, plan Plan) {
	if len(m.drift()) > 0 && plan.Stalled[a.Name].Reason == "" {
		m.violate("%s has drifted, and nobody mends it or says so: %+v", a.Name, m.drift())
	}
}
