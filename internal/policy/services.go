package policy

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Service is a Service of the track's namespace.
type Service struct {
	Name string
	// Track that it is labelled with.
	Track    string
	Selector map[string]string
}

// Pods are the pods that a workload of a run will have.
type Pods struct {
	Workload string // Kind/name
	Labels   map[string]string
}

// ForeignServices says which Services outside a track select pods of its run: they would send traffic to pods that no one has
// found healthy, and go on doing so when the release has ended. Empty: none does. These do not count:
//
//  1. Services of the track;
//  2. Services without a selector, whose endpoints somebody else keeps;
//  3. Services that the release holds itself (own): whether they are the track's is another question.
func ForeignServices(track string, services []Service, run []Pods, own map[string]bool) string {
	var out []string
	for _, s := range services {
		if s.Track == track || len(s.Selector) == 0 || own[s.Name] {
			continue
		}
		sel := labels.SelectorFromSet(s.Selector)
		var hit []string
		for _, p := range run {
			if sel.Matches(labels.Set(p.Labels)) {
				hit = append(hit, p.Workload)
			}
		}
		if len(hit) > 0 {
			out = append(out, fmt.Sprintf("Service %s%s selects the pods of %s", s.Name, ofTrack(s.Track), strings.Join(hit, ", ")))
		}
	}
	if len(out) == 0 {
		return ""
	}
	slices.Sort(out)
	const named = 5
	if more := len(out) - named; more > 0 {
		out = append(out[:named], fmt.Sprintf("and %d more Services", more))
	}
	return strings.Join(out, "; ") + fmt.Sprintf(". Delete the Service, change its selector or the labels of the pods, or put it into Git and let this track take it over with the annotation stele.dev/adopt: %s", track)
}

func ofTrack(track string) string {
	if track == "" {
		return " of no track"
	}
	return " of track " + track
}
