package main

import (
	"slices"
	"time"
)

// ledgerBudget is what entries of the audit ledger may add to a release, until traffic has moved.
const ledgerBudget = 10 * time.Millisecond

// addedByLedger is the time, until the last Service was switched, in which the operator waited for entries of the ledger and for nothing else.
func (c calls) addedByLedger() time.Duration {
	var switched time.Time
	for _, r := range c {
		if r.verb == "patch" && r.target == "services" && r.kind() == mutating && r.start.After(switched) {
			switched = r.start
		}
	}
	var others []apiRequest
	for _, r := range c {
		if k := r.kind(); k != recording && k != watching {
			others = append(others, r)
		}
	}
	slices.SortFunc(others, func(a, b apiRequest) int { return a.start.Compare(b.start) })
	added := time.Duration(0)
	for _, r := range c {
		if r.kind() == recording && r.start.Before(switched) {
			added += uncovered(r, others)
		}
	}
	return added
}

// uncovered is how long a request took while no other one was under way. The others are in the order in which they began.
func uncovered(r apiRequest, others []apiRequest) time.Duration {
	alone, at, end := time.Duration(0), r.start, r.start.Add(r.took)
	for _, o := range others {
		if !o.start.Before(end) {
			break
		}
		if o.start.After(at) {
			alone += o.start.Sub(at)
		}
		if over := o.start.Add(o.took); over.After(at) {
			at = over
		}
	}
	if end.After(at) {
		alone += end.Sub(at)
	}
	return alone
}

// addLedger reports what the ledger adds to releases.
func (b *bench) addLedger(what string, runs []calls) {
	var took []float64
	for _, c := range runs {
		took = append(took, millis(c.addedByLedger()))
	}
	n := spreadOf(took)
	b.report.add(row{what: what + ": time that entries of the audit ledger add until traffic has moved", figure: n.ms(), budget: msText(millis(ledgerBudget)),
		verdict: within(n.median <= millis(ledgerBudget))})
}
