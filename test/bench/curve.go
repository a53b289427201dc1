package main

import "fmt"

// addCurve reports what was measured: verdicts and ratios, and the whole curve as a table.
func (b *bench) addCurve(points []*point) {
	t := table{title: "One-line commits in repositories that grow", head: []string{"Repository", "First fetch", "on the wire", "memory",
		"Commit after a restart", "One-line commit: release", "objects", "on the wire", "memory"}}
	for _, p := range points {
		b.addFirstFetch(p)
		b.addOneLine(p)
		c := p.cost
		t.rows = append(t.rows, []string{p.name, msText(millis(p.first.took)), bytesText(p.first.bytes), bytesText(p.first.peak), msText(p.restarted),
			msText(spreadOf(c.made).median), spreadOf(c.created).ms(), bytesText(int64(spreadOf(c.bytes).max)), bytesText(int64(spreadOf(c.peak).max))})
	}
	for _, pair := range [][2]int{{0, 2}, {0, 3}, {4, 5}} {
		b.addRatios(points[pair[0]], points[pair[1]])
	}
	b.report.explain(t)
}

func (b *bench) addFirstFetch(p *point) {
	what := "first fetch, " + p.name + ": "
	b.report.add(row{what: what + "memory", figure: bytesText(p.first.peak), budget: bytesText(podMemory), verdict: within(p.first.peak <= podMemory)})
}

func (b *bench) addOneLine(p *point) {
	what := "one-line commit, " + p.name + ": "
	created, bytes, peak := spreadOf(p.cost.created), spreadOf(p.cost.bytes), int64(spreadOf(p.cost.peak).max)
	b.report.add(row{what: what + "trigger to objects created", figure: created.ms(), budget: msText(millis(repositoryTimeBudget)),
		verdict: within(created.median <= millis(repositoryTimeBudget))})
	b.report.add(row{what: what + "bytes on the wire", figure: bytesText(int64(bytes.max)), budget: bytesText(repositoryBytesBudget),
		verdict: within(bytes.max <= repositoryBytesBudget)})
	b.report.add(row{what: what + "memory", figure: bytesText(peak), budget: bytesText(podMemory), verdict: within(peak <= podMemory)})
}

// addRatios says how much more the largest repository of a kind costs than the smallest, by pairs of commits that followed each other.
func (b *bench) addRatios(small, large *point) {
	ratio := func(small, large []float64) string {
		out := make([]float64, len(small))
		for i := range small {
			out[i] = large[i] / small[i]
		}
		return spreadOf(out).ratio()
	}
	what := fmt.Sprintf("one-line commit, %s against %s: ", large.name, small.name)
	b.report.add(row{what: what + "time to objects created", figure: ratio(small.cost.created, large.cost.created)})
	b.report.add(row{what: what + "bytes on the wire", figure: ratio(small.cost.bytes, large.cost.bytes)})
}
