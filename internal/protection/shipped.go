package protection

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Where the manifests are, seen from the root of the module.
const (
	policiesPattern    = "config/admission/*.yaml"
	definitionsPattern = "config/crd/bases/*.yaml"
)

// Kinds that are looked after.
const (
	KindPolicy     = "ValidatingAdmissionPolicy"
	KindBinding    = "ValidatingAdmissionPolicyBinding"
	KindDefinition = "CustomResourceDefinition"
)

// Objects are the policies, bindings and CustomResourceDefinitions of one place, by name: the manifests that this version ships, or
// what a cluster holds.
type Objects struct {
	Policies    map[string]*admissionv1.ValidatingAdmissionPolicy
	Bindings    map[string]*admissionv1.ValidatingAdmissionPolicyBinding
	Definitions map[string]*apiextensionsv1.CustomResourceDefinition
}

// NewObjects holds nothing.
func NewObjects() *Objects {
	return &Objects{
		Policies:    map[string]*admissionv1.ValidatingAdmissionPolicy{},
		Bindings:    map[string]*admissionv1.ValidatingAdmissionPolicyBinding{},
		Definitions: map[string]*apiextensionsv1.CustomResourceDefinition{},
	}
}

// Parse reads the manifests of a folder that holds config/admission and config/crd/bases. A field that the types do not know is an
// error, and so is a policy without a binding: such a policy does nothing. Manifests of other kinds are left out.
func Parse(files fs.FS) (*Objects, error) {
	out := NewObjects()
	for _, pattern := range []string{policiesPattern, definitionsPattern} {
		names, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			data, err := fs.ReadFile(files, name)
			if err != nil {
				return nil, err
			}
			if err := out.read(data); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if len(out.Policies) == 0 || len(out.Definitions) == 0 {
		return nil, errors.New("no policies or no CustomResourceDefinitions are shipped")
	}
	bound := map[string]bool{}
	for _, b := range out.Bindings {
		bound[b.Spec.PolicyName] = true
		if out.Policies[b.Spec.PolicyName] == nil {
			return nil, fmt.Errorf("binding %s is of policy %s, which is not shipped", b.Name, b.Spec.PolicyName)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(out.Policies)) {
		if !bound[name] {
			return nil, fmt.Errorf("policy %s has no binding", name)
		}
	}
	return out, nil
}

func (o *Objects) read(data []byte) error {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := o.add(doc); err != nil {
			return err
		}
	}
}

func (o *Objects) add(doc []byte) error {
	var about metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(doc, &about); err != nil {
		return err
	}
	switch about.Kind {
	case KindPolicy:
		return decode(doc, o.Policies)
	case KindBinding:
		return decode(doc, o.Bindings)
	case KindDefinition:
		return decode(doc, o.Definitions)
	}
	return nil
}

// decode takes one document into the objects of its kind.
func decode[T any, P interface {
	*T
	metav1.Object
}](doc []byte, into map[string]P) error {
	obj := P(new(T))
	if err := yaml.UnmarshalStrict(doc, obj); err != nil {
		return err
	}
	if into[obj.GetName()] != nil {
		return fmt.Errorf("%s is there twice", obj.GetName())
	}
	into[obj.GetName()] = obj
	return nil
}
