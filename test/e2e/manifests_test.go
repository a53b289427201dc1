package e2e

import (
	"fmt"
	"maps"
	"strings"
)

// Annotations that the fake kubelet honours; see hack/controlplane/README.md.
const (
	behaviour      = "fake-kubelet.stele.dev/behaviour"
	readyAfter     = "fake-kubelet.stele.dev/ready-after"
	terminateAfter = "fake-kubelet.stele.dev/terminate-after"
)

// workload describes a Deployment or StatefulSet in Git.
type workload struct {
	kind, name string
	replicas   int
	version    string // tag of the image
	strategy   string
	config     string // ConfigMap whose keys are environment variables
	secret     string // Secret that is mounted
	storage    bool   // a claim template (StatefulSet)
	pods       map[string]string
}

// app is a Deployment as stories change it: its name and its version.
func app(name, version string, change ...func(*workload)) string {
	w := workload{kind: "Deployment", name: name, replicas: 2, version: version}
	for _, c := range change {
		c(&w)
	}
	return w.yaml()
}

// pods puts an annotation on the pods.
func pods(key, value string) func(*workload) {
	return func(w *workload) {
		if w.pods == nil {
			w.pods = map[string]string{}
		}
		w.pods[key] = value
	}
}

// withConfig lets the pods use a ConfigMap and a Secret.
func withConfig(config, secret string) func(*workload) {
	return func(w *workload) { w.config, w.secret = config, secret }
}

func (w workload) yaml() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("apiVersion: apps/v1\nkind: %s\nmetadata:\n  name: %s\nspec:\n  replicas: %d", w.kind, w.name, w.replicas)
	if w.strategy != "" {
		line("  strategy:\n    type: %s", w.strategy)
	}
	if w.kind == "StatefulSet" {
		line("  serviceName: %s", w.name)
	}
	line("  selector:\n    matchLabels:\n      app: %s\n  template:\n    metadata:\n      labels:\n        app: %s", w.name, w.name)
	if len(w.pods) > 0 {
		line("      annotations:")
		for _, k := range sortedKeys(maps.Keys(w.pods)) {
			line("        %s: %q", k, w.pods[k])
		}
	}
	line("    spec:\n      terminationGracePeriodSeconds: 5\n      containers:\n      - name: %s\n        image: %s:%s", w.name, w.name, w.version)
	if w.config != "" {
		line("        envFrom:\n        - configMapRef:\n            name: %s", w.config)
	}
	if w.storage || w.secret != "" {
		line("        volumeMounts:")
	}
	if w.secret != "" {
		line("        - name: secret\n          mountPath: /secret")
	}
	if w.storage {
		line("        - name: data\n          mountPath: /data")
	}
	if w.secret != "" {
		line("      volumes:\n      - name: secret\n        secret:\n          secretName: %s", w.secret)
	}
	if w.storage {
		line("  volumeClaimTemplates:\n  - metadata:\n      name: data\n    spec:\n      accessModes: [ReadWriteOnce]")
		line("      resources:\n        requests:\n          storage: 1Gi")
	}
	return b.String()
}

// service selects the pods of a workload; extra lines go into its spec.
func service(name string, extra ...string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata:\n  name: %s\nspec:\n  selector:\n    app: %s\n", name, name) +
		strings.Join(append(extra, "  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n"), "\n")
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n  GREETING: %q\n", name, value)
}

func secret(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\nstringData:\n  token: %q\n", name, value)
}

func autoscaler(name string, low, high int) string {
	return fmt.Sprintf(`apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: %s
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: %s
  minReplicas: %d
  maxReplicas: %d
  metrics:
  - type: Resource
    resource:
      name: cpu
      target:
        type: Utilization
        averageUtilization: 80
`, name, name, low, high)
}

func budget(name string) string {
	return fmt.Sprintf("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata:\n  name: %s\nspec:\n  minAvailable: 1\n"+
		"  selector:\n    matchLabels:\n      app: %s\n", name, name)
}

func claim(name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: %s\nspec:\n  accessModes: [ReadWriteMany]\n"+
		"  resources:\n    requests:\n      storage: 1Gi\n", name)
}

func ingress(name, host string) string {
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: %s
spec:
  rules:
  - host: %s
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: %s
            port:
              number: 80
`, name, host, name)
}

// shop is the smallest release that takes traffic: a Deployment and a Service, both named web, in ./deploy.
func shop(version string, change ...func(*workload)) map[string]string {
	return map[string]string{"deploy/web.yaml": app("web", version, change...), "deploy/service.yaml": service("web")}
}
