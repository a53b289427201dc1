package main

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// followTracks writes a line for each change of a track that people care for.
func (c *statusCommand) followTracks(ctx context.Context, api client.WithWatch, namespace, only string) error {
	out := c.tables(c.out)
	said := map[string]string{}
	return c.follow(ctx, api, namespace, func(w *world) (bool, error) {
		var tracks []v1alpha1.ReleaseTrack
		for t := range maps.Values(w.tracks) {
			if only == "" || t.Name == only {
				tracks = append(tracks, *t)
			}
		}
		view := viewOf(tracks, w.releasesOf(""))
		t := table{columns: columns("Time Namespace Name Status Release Pods Waiting Message")}
		there := map[string]bool{}
		for _, v := range view.Items {
			key, line := v.Namespace+"/"+v.Name, c.lineOf(v)
			there[key] = true
			if said[key] == strings.Join(line, "\x00") {
				continue
			}
			said[key] = strings.Join(line, "\x00")
			if !c.out.forPeople() {
				if err := c.writeNext(c.out, v, trackResource+v.Name); err != nil {
					return true, err
				}
				continue
			}
			t.rows = append(t.rows, append([]string{c.clock()}, line...))
		}
		for key := range said {
			if !there[key] {
				delete(said, key)
				namespace, name, _ := strings.Cut(key, "/")
				t.rows = append(t.rows, []string{c.clock(), namespace, name, "Deleted", "", "", "", ""})
			}
		}
		if len(t.rows) == 0 || !c.out.forPeople() {
			return false, nil
		}
		return false, out.write(t)
	})
}

func (c *statusCommand) lineOf(v trackView) []string {
	line := []string{v.Namespace, v.Name, statusWord(v), "", "", "", cut(c.named(v.Message), 100)}
	if v.Active != nil {
		line[3], line[4] = v.Active.Name, fmt.Sprintf("%d/%d", v.Active.Ready, v.Active.Desired)
	}
	if len(v.Waiting) > 0 {
		line[5] = fmt.Sprintf("%s %s", v.Waiting[0].Name, v.Waiting[0].Phase)
	}
	return line
}
