package main

import (
	"fmt"
	"slices"
	"time"
)

// spread is what repetitions of one measurement gave.
type spread struct{ min, median, max float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := sorted[len(sorted)/2]
	if len(sorted)%2 == 0 {
		middle = (sorted[len(sorted)/2-1] + middle) / 2
	}
	return spread{min: sorted[0], median: middle, max: sorted[len(sorted)-1]}
}

// ratio prints a spread of ratios.
func (s spread) ratio() string { return fmt.Sprintf("%.2f x (%.2f to %.2f)", s.median, s.min, s.max) }

// ms prints a spread of milliseconds.
func (s spread) ms() string {
	return fmt.Sprintf("%s (%s to %s)", msText(s.median), msText(s.min), msText(s.max))
}

// count prints a spread of counts; one number when all are the same.
func (s spread) count() string {
	if s.min == s.max {
		return fmt.Sprintf("%.0f", s.max)
	}
	return fmt.Sprintf("%.0f (%.0f to %.0f)", s.median, s.min, s.max)
}

func msText(v float64) string {
	switch {
	case v >= 10_000:
		return fmt.Sprintf("%.1f s", v/1000)
	case v >= 100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.1f ms", v)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pairs are runs of the floor and of Stele, in milliseconds, pair by pair.
type pairs struct{ floor, stele []float64 }

func (p *pairs) add(floor, stele time.Duration) {
	p.floor = append(p.floor, millis(floor))
	p.stele = append(p.stele, millis(stele))
}

func (p *pairs) ratios() spread {
	out := make([]float64, len(p.floor))
	for i := range p.floor {
		out[i] = p.stele[i] / p.floor[i]
	}
	return spreadOf(out)
}

func bytesText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}
