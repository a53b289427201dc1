package envtest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
)

// inOrder reads what waits in an outbox, in the order in which it was written.
func inOrder(configs []corev1.ConfigMap) ([]entry.Entry, error) {
	waiting := slices.DeleteFunc(slices.Clone(configs), func(c corev1.ConfigMap) bool { return c.Labels[v1alpha1.OutboxLabel] != v1alpha1.OutboxEntry })
	version := func(c corev1.ConfigMap) uint64 {
		n, err := strconv.ParseUint(c.ResourceVersion, 10, 64)
		if err != nil {
			panic(err) // this API server counts
		}
		return n
	}
	slices.SortFunc(waiting, func(a, b corev1.ConfigMap) int { return cmp.Compare(version(a), version(b)) })
	out := make([]entry.Entry, 0, len(waiting))
	for _, c := range waiting {
		e, err := entry.Parse([]byte(c.Data[v1alpha1.OutboxKey]))
		if err != nil {
			return nil, fmt.Errorf("entry %s: %w", c.Name, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// recorded lists what was recorded, without what differs from one life to the next, and checks that what was done had been intended before, and
// that what was intended has an outcome.
func recorded(configs []corev1.ConfigMap) ([]string, error) {
	entries, err := inOrder(configs)
	if err != nil {
		return nil, err
	}
	var out []string
	intended := map[string]bool{}
	run := func(e entry.Entry) string { return fmt.Sprintf("%s run %d", e.Release.Name, e.Release.Run) }
	for i, e := range entries {
		text := fmt.Sprintf("entry %s %s", e.Kind, e.Reason)
		if e.Release != nil {
			text += " of " + run(e)
		}
		out = append(out, text)
		needs := map[entry.Kind]entry.Kind{entry.ReleaseActivated: entry.SwitchIntended, entry.ReleaseRetired: entry.TerminationIntended}[e.Kind]
		if needs != "" && !intended[string(needs)+run(e)] {
			return nil, fmt.Errorf("%s of %s is recorded, and %s was not before", e.Kind, run(e), needs)
		}
		outcomes := e.Kind.Outcomes()
		if len(outcomes) == 0 {
			continue
		}
		intended[string(e.Kind)+run(e)] = true
		if !slices.ContainsFunc(entries[i+1:], func(o entry.Entry) bool {
			return o.Kind == entry.TrackDeleted || slices.Contains(outcomes, o.Kind) && o.Release != nil && run(o) == run(e)
		}) {
			return nil, fmt.Errorf("%s of %s has no outcome", e.Kind, run(e))
		}
	}
	return out, nil
}
