//go:build deploy

package main

import "strings"

// manifests are one object of every kind and class that the operator writes, in a version.
func manifests(version string) map[string]string {
	out := map[string]string{}
	for name, text := range map[string]string{
		"web": web, "db": db, "config": config, "network": network, "others": others,
	} {
		out["deploy/"+name+".yaml"] = strings.ReplaceAll(text, "VERSION", version)
	}
	return out
}

// team is what a platform engineer sets up in an onboarded namespace, and a Service of earlier days that the track may take over.
const team = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: deployer, namespace: shop}]
---
apiVersion: v1
kind: Service
metadata:
  name: adopted
  namespace: shop
  annotations: {stele.dev/adopt: shop}
spec:
  selector: {app: web, tier: old}
  ports: [{port: 80}]
`

const track = `
apiVersion: stele.dev/v1alpha1
kind: ReleaseTrack
metadata: {name: shop, namespace: shop}
spec:
  interval: 1s
  source: {url: "URL", ref: {branch: main}, path: ./deploy}
  gates: {images: Ignore}
  serviceAccountName: deployer
  rollout: {progressDeadline: 6s, drain: 0s}
`

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {version: "VERSION"}}
    spec:
      containers:
      - {name: web, image: "shop.example/web:VERSION", envFrom: [{configMapRef: {name: web}}, {secretRef: {name: web}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: alone}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: alone}}
  template:
    metadata: {labels: {app: alone}}
    spec:
      containers: [{name: alone, image: "shop.example/alone:VERSION"}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: web}}
`

const config = `
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {VERSION: "VERSION"}
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {key: made-up-VERSION}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, annotations: {stele.dev/class: Stable}}
data: {version: "VERSION"}
---
apiVersion: v1
kind: Secret
metadata: {name: kept, annotations: {stele.dev/class: Stable}}
stringData: {key: made-up-VERSION}
`

const db = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 1
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}, annotations: {version: "VERSION"}}
    spec:
      containers: [{name: db, image: "shop.example/db:VERSION"}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: same, annotations: {stele.dev/class: InPlace}}
spec:
  selector: {matchLabels: {app: same}}
  template:
    metadata: {labels: {app: same}}
    spec:
      containers: [{name: same, image: "shop.example/same:VERSION"}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: db, labels: {version: "VERSION"}}
spec:
  minAvailable: 0
  selector: {matchLabels: {app: db}}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{port: 5432}]
`

const network = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: adopted}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, labels: {version: "VERSION"}}
spec:
  rules:
  - host: shop.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress: [{}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all, labels: {version: "VERSION"}}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress: [{}]
`

const others = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: shop, labels: {version: "VERSION"}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, labels: {version: "VERSION"}}
spec:
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, labels: {app: bare}}
spec:
  containers: [{name: bare, image: "shop.example/bare:VERSION"}]
`
