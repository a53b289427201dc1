package envtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// used are the rights that the operators under test have made use of. That they need no more than they have is what all tests
// show; that they have no more than they need shows at the end, when every test was run.
var used rightsUsed

// rightsUsed are verbs and resources, as "verb resource.group".
type rightsUsed struct {
	mu   sync.Mutex
	seen map[string]bool
}

// wrap notes every request that goes to the API server.
func (u *rightsUsed) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		verb, resource := rightOf(req)
		res, err := next.RoundTrip(req)
		if err == nil && resource != "" {
			u.note(verb, resource)
			if verb == "patch" && res.StatusCode == http.StatusCreated {
				u.note("create", resource) // an apply of what is not there takes both
			}
		}
		return res, err
	})
}

func (u *rightsUsed) note(verb, resource string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen == nil {
		u.seen = map[string]bool{}
	}
	u.seen[verb+" "+resource] = true
}

// rightOf is what the API server asks its authorizer about a request; no resource: discovery and the like.
func rightOf(req *http.Request) (verb, resource string) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return "", ""
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	resource = parts[0]
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	if group != "" {
		resource += "." + group
	}
	named := len(parts) > 1
	switch req.Method {
	case http.MethodPost:
		verb = "create"
	case http.MethodPut:
		verb = "update"
	case http.MethodPatch:
		verb = "patch"
	case http.MethodDelete:
		verb = "deletecollection"
		if named {
			verb = "delete"
		}
	default:
		verb = "list"
		if req.URL.Query().Get("watch") == "true" {
			verb = "watch"
		} else if named {
			verb = "get"
		}
	}
	return verb, resource
}

// elsewhere are resources that no test here has: kinds of add-ons that this API server does not know. And rights that only a moment
// takes, which another test has (see the reasons).
var elsewhere = map[string]string{}

// unused lists the rights of config/rbac/role.yaml that no operator has made use of.
func (u *rightsUsed) unused() ([]string, error) {
	roles, err := decodeFile("config", "rbac", "role.yaml")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, object := range roles {
		role := &rbacv1.ClusterRole{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role); err != nil {
			return nil, err
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					if group != "" {
						resource += "." + group
					}
					for _, verb := range rule.Verbs {
						right := verb + " " + resource
						if !u.seen[right] && elsewhere[resource] == "" && elsewhere[right] == "" {
							out = append(out, fmt.Sprintf("%s (of ClusterRole %s)", right, role.Name))
						}
					}
				}
			}
		}
	}
	slices.Sort(out)
	return out, nil
}
