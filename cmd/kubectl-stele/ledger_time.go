package main

import "time"

// readTime takes a point in time as people write it, in UTC where they do not say otherwise.
func readTime(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usagef("%q is no time; write it like 2026-03-03T14:00:00Z, 2026-03-03 14:00 (UTC) or 2026-03-03", text)
}
