package dryrun

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// maxTrackName is the rule of the CustomResourceDefinition, which is written in CEL there.
const maxTrackName = 40

// readTrack finds the ReleaseTrack among the documents of a file, and reads it as the API server would: fields that do not exist are
// refused, what is not set gets its default, and values must be valid. Rules that the schema has in CEL (of times and of the URL) are
// left to the API server; nothing that a release is made of depends on them.
func readTrack(crd, data []byte, namespace string) (*v1alpha1.ReleaseTrack, error) {
	text, err := onlyTrack(data)
	if err != nil {
		return nil, err
	}
	schema, err := schemaOf(crd)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := yaml.UnmarshalStrict(text, &object); err != nil { // strict: no key twice
		return nil, err
	}
	fillDefaults(object, schema)
	if err := check(object, schema); err != nil {
		return nil, err
	}
	track := &v1alpha1.ReleaseTrack{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object, track, true); err != nil {
		return nil, err
	}
	if track.Namespace == "" {
		track.Namespace = namespace
	}
	switch {
	case track.Namespace == "":
		return nil, errors.New("metadata.namespace is not set: set it, or name the namespace with --namespace")
	case namespace != "" && namespace != track.Namespace:
		return nil, errors.New("metadata.namespace is not the one of --namespace")
	case len(validation.IsDNS1123Label(track.Namespace)) > 0:
		return nil, errors.New("metadata.namespace: not a name of a namespace")
	case len(track.Name) > maxTrackName, len(validation.IsDNS1123Label(track.Name)) > 0:
		return nil, fmt.Errorf("metadata.name: lower-case letters, digits and '-', at most %d", maxTrackName)
	}
	return track, nil
}

// onlyTrack is the one document of a file that is a ReleaseTrack.
func onlyTrack(data []byte) ([]byte, error) {
	var found []byte
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			return nil, fmt.Errorf("not YAML: %w", err)
		}
		switch {
		case kind.Kind != v1alpha1.ReleaseTrackKind || !strings.HasPrefix(kind.APIVersion, v1alpha1.GroupVersion.Group+"/"):
		case kind.APIVersion != v1alpha1.GroupVersion.String():
			return nil, fmt.Errorf("apiVersion: this version knows %s", v1alpha1.GroupVersion)
		case found != nil:
			return nil, errors.New("there are two ReleaseTracks in it: keep each in a file of its own")
		default:
			found = doc
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no ReleaseTrack of %s in it", v1alpha1.GroupVersion)
	}
	return found, nil
}

// schemaOf is the schema of the first version of a CustomResourceDefinition, as a map.
func schemaOf(crd []byte) (map[string]any, error) {
	var object struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(crd, &object); err != nil || len(object.Spec.Versions) == 0 {
		return nil, fmt.Errorf("the CustomResourceDefinition of this build cannot be read: %w", err)
	}
	return object.Spec.Versions[0].Schema.OpenAPIV3Schema, nil
}

// fillDefaults sets what a schema has a default for, as the API server does: where nothing or null is set, from the outside in.
func fillDefaults(object, schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		property, _ := p.(map[string]any)
		if object[name] == nil {
			delete(object, name)
			if fallback, ok := property["default"]; ok {
				object[name] = runtime.DeepCopyJSONValue(fallback)
			}
		}
		switch value := object[name].(type) {
		case map[string]any:
			fillDefaults(value, property)
		case []any:
			items, _ := property["items"].(map[string]any)
			for _, item := range value {
				if m, ok := item.(map[string]any); ok {
					fillDefaults(m, items)
				}
			}
		}
	}
}

// check validates an object against a schema.
func check(object, schema map[string]any) error {
	data, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	var parsed spec.Schema
	if err := json.Unmarshal(data, &parsed); err != nil {
		return err
	}
	// What the API server knows of metadata without a schema is checked where it is used.
	object = maps.Clone(object)
	delete(object, "metadata")
	result := validate.NewSchemaValidator(&parsed, nil, "", strfmt.Default).Validate(object)
	var wrong []string
	for _, err := range result.Errors {
		wrong = append(wrong, strings.TrimPrefix(err.Error(), "."))
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "; ")) // on one line: what goes to the terminal is cleaned of line ends
}
