// Package stages holds the rules by which kwok plays the kubelets: how nodes become ready, how pods start, misbehave
// and end, and how volumes are provisioned.
package stages

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"
)

// The annotations on a pod (or pod template) that the fake kubelets honour.
const (
	// BehaviourAnnotation makes a pod misbehave; see the constants below for its values. A condition of this type in the pod's status
	// says the same with its reason, and takes precedence: so a pod that nobody may annotate any more can be made ill by its node.
	BehaviourAnnotation = "fake-kubelet.stele.dev/behaviour"
	// ReadyAfterAnnotation keeps a running pod unready for the given time, such as "5s".
	ReadyAfterAnnotation = "fake-kubelet.stele.dev/ready-after"
	// TerminateAfterAnnotation keeps a deleted pod for the given time, such as "45s".
	TerminateAfterAnnotation = "fake-kubelet.stele.dev/terminate-after"
)

// Values of BehaviourAnnotation.
const (
	NeverReady     = "never-ready"
	Crash          = "crash"
	SlowTerminate  = "slow-terminate"
	NeverTerminate = "never-terminate"
)

const (
	// StorageClass is the default storage class, whose volumes the stages provision.
	StorageClass = "standard"
	// Provisioner is the name in that class.
	Provisioner = "fake-kubelet.stele.dev/volume"
)

// behaviourOf is the jq query for a pod's behaviour.
const behaviourOf = `(first(.status.conditions[]? | select(.type == "` + BehaviourAnnotation + `") | .reason) // ` +
	`.metadata.annotations["` + BehaviourAnnotation + `"])`

//go:embed *.yaml.tmpl
var files embed.FS

// Render returns kwok's configuration file. The files are templates with [[ ]] as delimiters, because what they render
// holds templates itself, with {{ }}, that kwok fills in for each object.
func Render() ([]byte, error) {
	parsed, err := template.New("").Delims("[[", "]]").ParseFS(files, "*.yaml.tmpl")
	if err != nil {
		return nil, fmt.Errorf("stages: %w", err)
	}
	values := map[string]string{
		"BehaviourOf":    behaviourOf,
		"ReadyAfter":     ReadyAfterAnnotation,
		"TerminateAfter": TerminateAfterAnnotation,
		"NeverReady":     NeverReady,
		"Crash":          Crash,
		"SlowTerminate":  SlowTerminate,
		"NeverTerminate": NeverTerminate,
		"StorageClass":   StorageClass,
		"Provisioner":    Provisioner,
	}
	var out bytes.Buffer
	for _, name := range []string{"options.yaml.tmpl", "node.yaml.tmpl", "pod.yaml.tmpl", "volume.yaml.tmpl"} {
		if err := parsed.ExecuteTemplate(&out, name, values); err != nil {
			return nil, fmt.Errorf("stages: %w", err)
		}
	}
	return out.Bytes(), nil
}
