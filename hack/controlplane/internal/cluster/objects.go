//go:build unix

package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/stele-dev/stele/hack/controlplane/internal/kube"
	"github.com/stele-dev/stele/hack/controlplane/internal/stages"
)

// object is a Kubernetes object as JSON: the typed packages would tie this module to one version of them.
type object = map[string]any

const (
	nodesPath        = "/api/v1/nodes"
	storageClassPath = "/apis/storage.k8s.io/v1/storageclasses"
	rolesPath        = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
	bindingsPath     = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
	// defaultAccountPath is made by the controller manager: once it is there, that process works.
	defaultAccountPath = "/api/v1/namespaces/default/serviceaccounts/default"
)

func nodeName(index int) string { return "fake-node-" + strconv.Itoa(index) }

// fakeNode is large enough that scheduling never fails for room. index counts from 1.
func fakeNode(index int) object {
	room := object{"cpu": "256", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "4000"}
	name := nodeName(index)
	return object{
		"apiVersion": "v1",
		"kind":       "Node",
		"metadata": object{
			"name":        name,
			"annotations": object{"kwok.x-k8s.io/node": "fake"},
			"labels": object{
				"kubernetes.io/hostname":        name,
				"kubernetes.io/os":              "linux",
				"kubernetes.io/arch":            "amd64",
				"topology.kubernetes.io/region": "fake",
				"topology.kubernetes.io/zone":   "fake-" + strconv.Itoa(index),
			},
		},
		"spec":   object{"podCIDR": podCIDROf(index), "podCIDRs": []string{podCIDROf(index)}},
		"status": object{"capacity": room, "allocatable": room},
	}
}

func podCIDROf(index int) string { return fmt.Sprintf(podCIDR, (index-1)*podRange) }

// defaultStorageClass is the class of a claim that names none; kwok provisions its volumes.
func defaultStorageClass() object {
	return object{
		"apiVersion": "storage.k8s.io/v1",
		"kind":       "StorageClass",
		"metadata": object{
			"name":        stages.StorageClass,
			"annotations": object{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		"provisioner":       stages.Provisioner,
		"reclaimPolicy":     "Delete",
		"volumeBindingMode": "Immediate",
	}
}

// kubeletRole is what kwok may do, and no more: of pods it reports the status and deletes them, as kubelets do. Volumes are those
// of the default storage class, whose provisioner it plays.
func kubeletRole() object {
	rule := func(group string, resources, verbs []string) object {
		return object{"apiGroups": []string{group}, "resources": resources, "verbs": verbs}
	}
	read := []string{"get", "list", "watch"}
	return object{
		"apiVersion": "rbac.authorization.k8s.io/v1",
		"kind":       "ClusterRole",
		"metadata":   object{"name": "fake-kubelet"},
		"rules": []object{
			rule("", []string{"nodes", "pods", "persistentvolumeclaims", "persistentvolumes"}, read),
			rule("", []string{"nodes/status", "pods/status"}, []string{"get", "patch", "update"}),
			rule("", []string{"pods", "persistentvolumes"}, []string{"delete"}),
			rule("", []string{"persistentvolumes"}, []string{"create", "patch", "update"}),
			rule("", []string{"events"}, []string{"create", "patch"}),
			rule("coordination.k8s.io", []string{"leases"}, append([]string{"create", "patch", "update"}, read...)),
		},
	}
}

func kubeletBinding() object {
	return object{
		"apiVersion": "rbac.authorization.k8s.io/v1",
		"kind":       "ClusterRoleBinding",
		"metadata":   object{"name": "fake-kubelet"},
		"roleRef":    object{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "fake-kubelet"},
		"subjects":   []object{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": kubeletUser}},
	}
}

// createObjects makes what is missing of nodes, storage class and kwok's rights.
func createObjects(ctx context.Context, client *kube.Client, nodes int) error {
	create := func(path string, o object) error {
		if err := client.Create(ctx, path, o); err != nil && !errors.Is(err, kube.ErrExists) {
			return err
		}
		return nil
	}
	for _, shared := range []struct {
		path   string
		object object
	}{{rolesPath, kubeletRole()}, {bindingsPath, kubeletBinding()}, {storageClassPath, defaultStorageClass()}} {
		if err := create(shared.path, shared.object); err != nil {
			return err
		}
	}
	for index := range nodes {
		if err := create(nodesPath, fakeNode(index+1)); err != nil {
			return err
		}
	}
	return nil
}

// nodeList is what has to be read of nodes.
type nodeList struct {
	Items []struct {
		Spec struct {
			Taints []struct {
				Key string `json:"key"`
			} `json:"taints"`
		} `json:"spec"`
		Status struct {
			Conditions []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
			} `json:"conditions"`
		} `json:"status"`
	} `json:"items"`
}

// usable counts the nodes that pods can be put on: ready, and no longer tainted as new.
func (l nodeList) usable() int {
	n := 0
	for _, node := range l.Items {
		ready := false
		for _, c := range node.Status.Conditions {
			ready = ready || c.Type == "Ready" && c.Status == "True"
		}
		tainted := slices.ContainsFunc(node.Spec.Taints, func(t struct {
			Key string `json:"key"`
		}) bool {
			return t.Key == "node.kubernetes.io/not-ready"
		})
		if ready && !tainted {
			n++
		}
	}
	return n
}
