package admission

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/discovery"
)

// discovered are the namespaced resources and subresources that the API server knows, with their groups, and the verbs that they take.
func discovered(t *testing.T) map[string][]string {
	t.Helper()
	d, err := discovery.NewDiscoveryClientForConfig(suite.config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, list := range lists {
		group, _, found := strings.Cut(list.GroupVersion, "/")
		if !found {
			group = ""
		}
		for _, r := range list.APIResources {
			if r.Namespaced {
				name := groupResource(group, r.Name)
				out[name] = append(out[name], r.Verbs...)
			}
		}
	}
	return out
}

func discoveredStatuses(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for name := range discovered(t) {
		out[name] = strings.HasSuffix(name, "/status")
	}
	return out
}

// TestEveryResourceIsKnown: what can be written in a namespace is in the matrix with each of its verbs, or is named with a reason.
func TestEveryResourceIsKnown(t *testing.T) {
	asked := map[string][]string{}
	rows := append(tenantRows(t), steleRows()...)
	for _, r := range rows {
		asked[r.resource] = append(asked[r.resource], r.verbs...)
	}
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		for _, r := range whole(k, enforced) {
			asked[r.resource] = append(asked[r.resource], r.verbs...)
		}
	}
	found := discovered(t)
	for name, verbs := range found {
		if _, known := unprotected[name]; known {
			continue
		}
		for _, verb := range verbs {
			if slices.Contains([]string{"get", "list", "watch"}, verb) || slices.Contains(asked[name], verb) {
				continue
			}
			if isConnection(name) && slices.Contains(asked[name], "create") {
				continue // every method of HTTP is the same operation, CONNECT
			}
			t.Errorf("%s %s is in no table: protect it and add a rule, or say in unprotected why not", verb, name)
		}
	}
	for name := range asked {
		if _, there := found[name]; !there {
			t.Errorf("%s is in a table, and the API server does not know it", name)
		}
	}
	for name := range unprotected {
		if _, there := found[name]; !there {
			t.Errorf("%s is named as unprotected, and the API server does not know it", name)
		}
	}
}

func isConnection(name string) bool {
	return slices.Contains([]string{"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy"}, name)
}

// classified are the controllers that the API server's bootstrap roles know, and whether a policy of ours names them. A new one is looked at
// before it is added: does it write objects of releases?
var classified = map[string]bool{
	"attachdetach-controller": false, "certificate-controller": false, "clusterrole-aggregation-controller": false, "cronjob-controller": true,
	"daemon-set-controller": true, "deployment-controller": true, "device-taint-eviction-controller": true, "disruption-controller": true,
	"endpoint-controller": true, "endpointslice-controller": true, "endpointslicemirroring-controller": true,
	// Makes claims from templates in pods, which carry no labels of ours.
	"ephemeral-volume-controller": false, "expand-controller": true, "generic-garbage-collector": true, "horizontal-pod-autoscaler": true,
	"job-controller": true,
	// Deletes old Secrets with tokens, which are no part of a release.
	"legacy-service-account-token-cleaner": false, "namespace-controller": true, "node-controller": true, "persistent-volume-binder": true,
	"pod-garbage-collector": true, "pv-protection-controller": false, "pvc-protection-controller": true, "replicaset-controller": true,
	// Makes pods of ReplicationControllers, whose templates carry no labels of ours: a release holds none that makes pods of its own.
	"replication-controller": false, "resource-claim-controller": true, "resourcequota-controller": false,
	// Writes ConfigMaps without labels of ours.
	"root-ca-cert-publisher": false, "route-controller": false, "selinux-warning-controller": false, "service-account-controller": false,
	"service-cidrs-controller": false, "service-controller": true, "statefulset-controller": true, "ttl-after-finished-controller": true,
	"ttl-controller": false, "validatingadmissionpolicy-status-controller": false, "volumeattributesclass-protection-controller": false,
}

// TestEveryControllerIsClassified fails when Kubernetes has a new controller.
func TestEveryControllerIsClassified(t *testing.T) {
	accounts, err := bootstrapControllers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(accounts) < 30 {
		t.Fatalf("only %d controllers: %s", len(accounts), accounts)
	}
	for _, account := range accounts {
		named, known := classified[account]
		switch {
		case !known:
			t.Errorf("%s is a controller that no rule has thought of: does it write objects of releases?", account)
		case named != inPolicies(account):
			t.Errorf("%s: is named by a policy: %t; that it should be: %t", account, !named, named)
		}
	}
}

// inPolicies says whether an account of the controller manager is named in config/admission.
func inPolicies(account string) bool {
	for _, u := range suite.installed {
		spec, _ := json.Marshal(u.Object["spec"])
		if u.GetKind() == "ValidatingAdmissionPolicy" && strings.Contains(string(spec), "'"+kubeSystem+account+"'") {
			return true
		}
	}
	return false
}
