package render

import (
	"bytes"
	"fmt"
)

// weight is what a kustomize build of a folder costs, its bases counted as often as they are used.
type weight struct{ visits, bytes int }

// checkWeight refuses a build that would take very much more than its files suggest. It returns the room that the build needs.
func (k *closure) checkWeight(longest int, c *problems) int {
	file := k.dirs[k.root].file
	w := k.weigh(k.root, map[string]weight{})
	if w.visits > maxVisits || w.bytes > maxVisitBytes {
		c.add(Problem{Reason: ReasonLimitExceeded, File: file,
			Message: fmt.Sprintf("bases are used so often that kustomize would enter more than %d folders or read more than %d MiB",
				maxVisits, maxVisitBytes>>20), Fix: "use each base once"})
	}
	uses, vars := 0, false
	for _, d := range k.dirs {
		vars = vars || len(d.k.Vars) > 0
	}
	if !vars {
		return w.bytes
	}
	for _, data := range k.r.files {
		uses += bytes.Count(data, []byte("$("))
	}
	if uses*longest > maxVarBytes {
		c.add(Problem{Reason: ReasonLimitExceeded, File: file, Field: "vars", Message: "the variables could expand to too much",
			Fix: "use replacements"})
	}
	return maxVisitBytes
}

// weigh adds up a folder and its bases. Sums stop growing once they are beyond the limits.
func (k *closure) weigh(dir string, known map[string]weight) weight {
	if w, ok := known[dir]; ok {
		return w
	}
	d := k.dirs[dir]
	if d == nil {
		return weight{}
	}
	w := weight{visits: 1, bytes: d.inlined}
	for _, name := range d.files {
		w.bytes += len(k.r.files[name])
	}
	for _, base := range d.bases {
		b := k.weigh(base, known)
		w.visits = min(w.visits+b.visits, maxVisits+1)
		w.bytes = min(w.bytes+b.bytes, maxVisitBytes+1)
	}
	known[dir] = w
	return w
}
