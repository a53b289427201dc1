package drift

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Pod tells how a pod that a controller has made differs from what it was made: by fields of its spec that another than its maker has set
// since. resized: an autoscaler that the release declares may change its resources.
func Pod(live *unstructured.Unstructured, resized bool) *Finding {
	maker := makerOf(live)
	var paths, managers []string
	for _, e := range live.GetManagedFields() {
		if ofManager(e, maker) || resized && e.Subresource == "resize" {
			continue
		}
		found := false
		setOf(e).Leaves().Iterate(func(path fieldpath.Path) {
			if field(path, 0) == "spec" {
				found = true
				paths = append(paths, text(path))
			}
		})
		if found && slices.Contains(programs, e.Manager) {
			managers = append(managers, e.Manager)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return &Finding{Paths: few(paths, maxPaths), Managers: few(managers, maxManagers)}
}

// makerOf is who owns the names of the containers: nobody else can set these.
func makerOf(live *unstructured.Unstructured) string {
	for _, e := range live.GetManagedFields() {
		if e.Subresource == "" && ownsContainers(e) {
			return e.Manager
		}
	}
	return ""
}

func ownsContainers(e metav1.ManagedFieldsEntry) bool {
	owns := false
	setOf(e).Leaves().Iterate(func(path fieldpath.Path) {
		owns = owns || field(path, 0) == "spec" && field(path, 1) == "containers" && field(path, len(path)-1) == "name"
	})
	return owns
}
