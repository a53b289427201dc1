package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/stele-dev/stele/test/testkit"
)

// apiRequest is one request of the operator to the API server.
type apiRequest struct {
	start  time.Time
	took   time.Duration
	verb   string
	target string // resource, with its subresource
	name   string
	// namespace, for what is in one.
	namespace string
	code      int
	// dryRun: nothing is stored by request.
	dryRun bool
}

// kind sorts requests by what the budget says of them.
type kind int

const (
	reading   kind = iota
	mutating       // asks the API server to store something
	reviewing      // SubjectAccessReviews and dry runs: answered, and nothing is stored
	watching       // opened once, then standing
	recording      // one write for each entry of the audit ledger
)

func (r apiRequest) kind() kind {
	switch {
	case r.verb == "watch":
		return watching
	case r.verb == "get", r.verb == "list", r.verb == "discover":
		return reading
	case r.dryRun, strings.HasPrefix(r.target, "subjectaccessreviews"), r.target == "serviceaccounts/token":
		return reviewing
	case r.verb == "create" && r.target == "configmaps" && r.namespace == testkit.OperatorNamespace:
		return recording
	}
	return mutating
}

// parseRequest names a request as the API server's audit log does.
func parseRequest(r *http.Request) apiRequest {
	query := r.URL.Query()
	out := apiRequest{start: time.Now(), dryRun: query.Has("dryRun")}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		parts = parts[3:]
	default:
		out.verb, out.target = "discover", r.URL.Path
		return out
	}
	if parts[0] == "namespaces" && len(parts) >= 3 {
		out.namespace, parts = parts[1], parts[2:]
	}
	out.target = parts[0]
	if len(parts) > 1 {
		out.name = parts[1]
	}
	if len(parts) > 2 {
		out.target += "/" + parts[2]
	}
	out.verb = verbOf(r.Method, out.name != "", query.Get("watch"))
	return out
}

func verbOf(method string, named bool, watch string) string {
	switch method {
	case http.MethodGet, http.MethodHead:
		switch {
		case watch == "true" || watch == "1":
			return "watch"
		case named:
			return "get"
		}
		return "list"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "deletecollection"
	}
	return strings.ToLower(method)
}
