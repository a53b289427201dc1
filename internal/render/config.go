package render

import (
	"encoding/base64"
	"strings"
)

// refusedSecretTypes are Secrets that make credentials of the cluster.
var refusedSecretTypes = map[string]string{
	"kubernetes.io/service-account-token": "asks the cluster for a token that never ends",
	"bootstrap.kubernetes.io/token":       "lets machines join the cluster",
}

// normalizeSecret folds stringData into data, as the API server does, so that two ways to write a Secret have one
// digest. Nothing of a Secret but the names of its keys may be in a problem.
func normalizeSecret(it *item, c *problems) {
	if it.gk.Group != "" || it.gk.Kind != "Secret" {
		return
	}
	m := it.content()
	if why, refused := refusedSecretTypes[stringAt(m, "type")]; refused {
		c.add(it.problem(ReasonUnsupportedKind, "type", why, "remove it"))
	}
	data, ok := stringMap(m["data"])
	if !ok {
		c.add(it.problem(ReasonInvalidObject, "data", "must be a map of base64 text", ""))
		return
	}
	plain, ok := stringMap(m["stringData"])
	if !ok {
		c.add(it.problem(ReasonInvalidObject, "stringData", "must be a map of text", "put values in quotes"))
		return
	}
	folded := make(map[string]any, len(data)+len(plain))
	for k, v := range data {
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(v), ""))
		if err != nil {
			c.add(it.problem(ReasonInvalidObject, "data."+printable(k), "is not base64", "use stringData for plain text"))
		}
		folded[k] = base64.StdEncoding.EncodeToString(raw)
	}
	for k, v := range plain {
		folded[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	delete(m, "stringData")
	delete(m, "data")
	if len(folded) > 0 {
		m["data"] = folded
	}
}

// checkConfigMap catches the most common mistake in ConfigMaps before the API server does: a port number.
func checkConfigMap(it *item, c *problems) {
	if it.gk.Group != "" || it.gk.Kind != "ConfigMap" {
		return
	}
	for _, field := range []string{"data", "binaryData"} {
		if _, ok := stringMap(it.content()[field]); !ok {
			c.add(it.problem(ReasonInvalidObject, field, "must be a map of text", "put numbers and booleans in quotes"))
		}
	}
}
