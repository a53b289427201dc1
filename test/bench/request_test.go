package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestParseRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		method, url          string
		verb, target, object string
		kind                 kind
	}{
		"get in a namespace":           {http.MethodGet, "/api/v1/namespaces/a/secrets/s", "get", "secrets", "s", reading},
		"get of a namespace":           {http.MethodGet, "/api/v1/namespaces/a", "get", "namespaces", "a", reading},
		"list over all namespaces":     {http.MethodGet, "/apis/apps/v1/deployments?limit=500", "list", "deployments", "", reading},
		"watch":                        {http.MethodGet, "/apis/apps/v1/deployments?watch=true", "watch", "deployments", "", watching},
		"status patch":                 {http.MethodPatch, "/apis/stele.dev/v1alpha1/namespaces/a/releasetracks/t/status", "patch", "releasetracks/status", "t", mutating},
		"a token is not stored":        {http.MethodPost, "/api/v1/namespaces/a/serviceaccounts/b/token", "create", "serviceaccounts/token", "b", reviewing},
		"create":                       {http.MethodPost, "/api/v1/namespaces/a/configmaps", "create", "configmaps", "", mutating},
		"create an entry":              {http.MethodPost, "/api/v1/namespaces/stele-system/configmaps", "create", "configmaps", "", recording},
		"delete of many":               {http.MethodDelete, "/api/v1/namespaces/a/configmaps", "deletecollection", "configmaps", "", mutating},
		"a review stores nothing":      {http.MethodPost, "/apis/authorization.k8s.io/v1/subjectaccessreviews", "create", "subjectaccessreviews", "", reviewing},
		"a dry run stores nothing":     {http.MethodPatch, "/api/v1/namespaces/a/services/s?dryRun=All", "patch", "services", "s", reviewing},
		"discovery of one group":       {http.MethodGet, "/apis/apps/v1", "discover", "/apis/apps/v1", "", reading},
		"discovery of the legacy api":  {http.MethodGet, "/api", "discover", "/api", "", reading},
		"discovery of the first group": {http.MethodGet, "/api/v1", "discover", "/api/v1", "", reading},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseRequest(httptest.NewRequest(tc.method, tc.url, nil))
			if got.verb != tc.verb || got.target != tc.target || got.name != tc.object || got.kind() != tc.kind {
				t.Errorf("got %s %s %q (%d), want %s %s %q (%d)", got.verb, got.target, got.name, got.kind(), tc.verb, tc.target, tc.object, tc.kind)
			}
		})
	}
}
