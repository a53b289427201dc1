package render

import (
	"sync"

	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// kustomizeLock is held by every kustomize build. kustomize keeps the OpenAPI schema of Kubernetes in a global, and even the
// reading of an object's identity looks into it (kubernetes-sigs/kustomize#3659). It is the only global that a build changes, and
// only one with a schema of its own ("openapi:") does: such a build has kustomize for itself, all others run side by side.
//
// Whenever the lock can be taken, the built-in schema is parsed: a map that is never written can be read by any number of builds.
var kustomizeLock sync.RWMutex

// parseSchema parses the built-in schema before the first build of the process. It costs more than most builds, so a process
// that reads plain folders only never does it.
var parseSchema = sync.OnceFunc(func() { _ = openapi.Schema() })

// schemaFor waits until a build may use the schema, alone when it changes it, and returns what ends the use.
func schemaFor(custom bool) (release func()) {
	parseSchema()
	if !custom {
		kustomizeLock.RLock()
		return kustomizeLock.RUnlock
	}
	kustomizeLock.Lock()
	return func() {
		defer kustomizeLock.Unlock()
		// A schema of one's own is added to the built-in one, and must be gone before the next build.
		openapi.ResetOpenAPI()
		_ = openapi.Schema()
	}
}
