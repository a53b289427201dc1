package render

import (
	"fmt"
	"strings"
)

// builtinPlugins are the plugins that are part of kustomize and read nothing but what is said here. All others run a
// program or a container, or load code.
var builtinPlugins = map[string][]pluginField{
	"AnnotationsTransformer":  nil,
	"HashTransformer":         nil,
	"IAMPolicyGenerator":      nil,
	"ImageTagTransformer":     nil,
	"LabelTransformer":        nil,
	"NamespaceTransformer":    nil,
	"PrefixTransformer":       nil,
	"PrefixSuffixTransformer": nil,
	"ReplicaCountTransformer": nil,
	"SuffixTransformer":       nil,
	"ConfigMapGenerator":      {{"files[]", readKeyData}, {"envs[]", readData}, {"env", readData}},
	"SecretGenerator":         {{"files[]", readKeyData}, {"envs[]", readData}, {"env", readData}},
	"PatchTransformer":        {{"path", readText}, {"patch", readInline}},
	"PatchJson6902Transformer": {
		{"path", readText}, {"jsonop", readInline}},
	"PatchStrategicMergeTransformer": {{"paths[]", readEither}, {"patches", readInline}},
	"ReplacementTransformer":         {{"replacements[].path", readText}},
	"ValueAddTransformer":            {{"targetFilePath", readData}},
}

// pluginField is a field of a plugin's configuration that names a file or holds text. Names are compared without
// regard to case, because kustomize does so.
type pluginField struct {
	path string
	how  reading
}

// functionAnnotations make a container or program of any object.
var functionAnnotations = []string{"config.kubernetes.io/function", "config.k8s.io/function"}

// plugin checks the configuration of generators, transformers and validators: text or one file. A folder is refused,
// since its kustomization file could change the configuration after it was checked.
func (k *closure) plugin(dir string, d *kustDir, e entry, chain []string) error {
	docs := []document(nil)
	if isInline(e.value) {
		docs = k.inline(d, e)
	} else {
		name, isDir, err := k.locate(d, e.field, e.value)
		if err != nil || name == "" {
			return err
		}
		if isDir {
			k.refused(d, e.field, ReasonPluginRefused, "is a folder", "name the file with the configuration")
			return nil
		}
		data, err := k.r.read(name)
		if err != nil {
			return k.c.take(err)
		}
		k.use(d, name, roleText|rolePlugin)
		var bad []Problem
		docs, bad = parseFile(name, data)
		k.c.add(bad...)
	}
	for _, doc := range docs {
		if err := k.pluginConfig(dir, d, e.field, doc, chain); err != nil {
			return err
		}
	}
	return nil
}

func (k *closure) pluginConfig(dir string, d *kustDir, field string, doc document, chain []string) error {
	m, _ := doc.value.(map[string]any)
	kind := stringAt(m, "kind")
	fields, known := builtinPlugins[kind]
	annotations := mapAt(m, "metadata", "annotations")
	function := false
	for _, a := range functionAnnotations {
		if _, set := annotations[a]; set {
			function = true
		}
	}
	if stringAt(m, "apiVersion") != "builtin" || !known || function {
		k.refused(d, field, ReasonPluginRefused, "is not a plugin that is part of kustomize",
			"Helm, programs, containers and Go plugins are not run: render and commit the result")
		return nil
	}
	for _, f := range fields {
		for _, value := range foldedStrings(m, f.path) {
			e := entry{field: fmt.Sprintf("%s.%s", field, f.path), value: value, how: f.how, set: func(string) {}}
			if err := k.follow(dir, d, e, chain); err != nil {
				return err
			}
		}
	}
	return nil
}

// foldedStrings returns the strings at a path, keys compared without regard to case.
func foldedStrings(v any, path string) []string {
	head, rest, more := strings.Cut(path, ".")
	name, list := strings.CutSuffix(head, "[]")
	var out []string
	m, _ := v.(map[string]any)
	for key, val := range m {
		if !strings.EqualFold(key, name) {
			continue
		}
		values := []any{val}
		if l, ok := val.([]any); ok && list {
			values = l
		}
		for _, val := range values {
			if s, ok := val.(string); ok && !more {
				out = append(out, s)
			}
			if more {
				out = append(out, foldedStrings(val, rest)...)
			}
		}
	}
	return out
}
