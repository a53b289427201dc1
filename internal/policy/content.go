package policy

import (
	"cmp"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Object is an object of a release as the gates see it.
type Object struct {
	Group, Kind, Name string
	// File and Line are where it was read.
	File string
	Line int
	// Template is the field that holds the pods' metadata and spec: "spec.template", "." when the object is a pod itself, ""
	// when it runs none.
	Template string
	// Content is the object. It is not changed.
	Content map[string]any
}

// podsField is where its pods are described.
func (o Object) podsField() string {
	if o.Template == "." {
		return "spec"
	}
	return o.Template + ".spec"
}

func (o Object) label() string { return o.Kind + "/" + o.Name }

// found makes a finding about a field of the object.
func (o Object) found(severity v1alpha1.FindingSeverity, reason, field, message string) Finding {
	return Found(Finding{Severity: severity, Reason: reason, File: o.File, Line: o.Line, Object: o.label(), Field: field,
		Message: message, Fix: byReason[reason].Fix})
}

// pods are the pods of one object.
type pods struct {
	object      Object
	annotations map[string]string
	spec        corev1.PodSpec
	// field is where spec is.
	field string
}

// podsOf reads the pods of an object; nil when it runs none, an error when what describes them is no pod.
func podsOf(o Object) (*pods, error) {
	template := o.Content
	switch o.Template {
	case "":
		return nil, nil
	case ".":
	default:
		template = mapAt(o.Content, o.Template)
	}
	out := &pods{object: o, field: o.podsField()}
	spec, ok := template["spec"].(map[string]any)
	if !ok || tooMany(spec) {
		return nil, errNoPod
	}
	spec, ok = withoutCostly(spec).(map[string]any)
	if !ok || runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &out.spec) != nil {
		return nil, errNoPod
	}
	annotations, _ := mapAt(template, "metadata")["annotations"].(map[string]any)
	out.annotations = make(map[string]string, len(annotations))
	for k, v := range annotations {
		out.annotations[k], _ = v.(string)
	}
	return out, nil
}

// errNoPod says nothing of what was read.
var errNoPod = errors.New("not a pod")

// container is one container of a pod, of whichever list.
type container struct {
	corev1.Container
	// field of the container in its object.
	field string
	// alone is a pod spec with this container only.
	alone func() corev1.PodSpec
	// ephemeral ones are added by people to look into a pod; they have no resources.
	ephemeral bool
}

func (p *pods) containers() []container {
	var out []container
	for i := range p.spec.InitContainers {
		c := p.spec.InitContainers[i]
		out = append(out, container{Container: c, field: index(p.field+".initContainers", i),
			alone: func() corev1.PodSpec { return corev1.PodSpec{InitContainers: []corev1.Container{c}} }})
	}
	for i := range p.spec.Containers {
		c := p.spec.Containers[i]
		out = append(out, container{Container: c, field: index(p.field+".containers", i),
			alone: func() corev1.PodSpec { return corev1.PodSpec{Containers: []corev1.Container{c}} }})
	}
	for i := range p.spec.EphemeralContainers {
		c := p.spec.EphemeralContainers[i]
		out = append(out, container{Container: corev1.Container(c.EphemeralContainerCommon),
			field: index(p.field+".ephemeralContainers", i), ephemeral: true,
			alone: func() corev1.PodSpec { return corev1.PodSpec{EphemeralContainers: []corev1.EphemeralContainer{c}} }})
	}
	return out
}

// MaxOfGate bounds the findings of one gate. What is wrong in so many places is not better explained by all of them.
const MaxOfGate = 200

// found collects findings within the bound.
type found struct {
	list   []Finding
	ofGate map[string]int
}

func (c *found) add(findings ...Finding) {
	for _, f := range findings {
		if c.ofGate[f.Gate] < MaxOfGate {
			c.ofGate[f.Gate]++
			c.list = append(c.list, f)
		}
	}
}

// Check asks the gates of the objects that a track can choose: images and hardening. What it finds is in no order.
func Check(objects []Object, gates v1alpha1.Gates) []Finding {
	gates = Effective(gates)
	out := found{ofGate: map[string]int{}}
	known := settingsOf(objects)
	for _, o := range objects {
		p, err := podsOf(o)
		if p == nil && err == nil {
			continue
		}
		if severity, asked := hardeningSeverity(gates); asked {
			if err != nil {
				out.add(o.found(severity, ReasonPodNotReadable, o.podsField(), "is not the description of a pod, or too large a one, so nothing about it is known"))
			} else {
				out.add(harden(p, severity, known)...)
			}
		}
		if gates.Images != v1alpha1.ImagesRequire {
			continue
		}
		if err != nil {
			out.add(o.found(v1alpha1.SeverityError, ReasonImageWithoutDigest, o.podsField(), "is not the description of a pod, or too large a one, so its images are not known"))
		} else {
			out.add(requireDigests(p)...)
		}
	}
	return out.list
}

// Effective fills in what was not set: objects that were made before a default existed have nothing there.
func Effective(g v1alpha1.Gates) v1alpha1.Gates {
	return v1alpha1.Gates{Images: cmp.Or(g.Images, v1alpha1.ImagesResolve), Hardening: cmp.Or(g.Hardening, v1alpha1.GateWarn)}
}

// hardeningSeverity is what the track makes of a finding; asked is false when it does not want to know.
func hardeningSeverity(g v1alpha1.Gates) (severity v1alpha1.FindingSeverity, asked bool) {
	switch g.Hardening {
	case v1alpha1.GateIgnore:
		return "", false
	case v1alpha1.GateWarn:
		return v1alpha1.SeverityWarning, true
	default:
		return v1alpha1.SeverityError, true
	}
}
