package releasetrack

// What the operator may do in all namespaces: see what belongs to tracks, and say what it finds. Nothing that runs can be changed
// with it, and no Secret read.
//
// Two writes are among it. The status of our kinds says what is missing in a namespace that is not onboarded. And patch takes our
// finalizers away in a namespace that is going: its RoleBindings may have gone first, and it would hang for ever.
//
// +kubebuilder:rbac:groups=stele.dev,resources=releasetracks;immutablereleases,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=stele.dev,resources=releasetracks/status;immutablereleases/status,verbs=patch
// +kubebuilder:rbac:groups=stele.dev,resources=auditledgers,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=list;watch
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=list
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=pods;services,verbs=list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=releasetracks.stele.dev;immutablereleases.stele.dev,verbs=get
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
//
// Drift of what has no controller of its own is seen by watching metadata. RBAC knows no such thing: who may list metadata may list
// everything. Hence no Secrets among them, ever.
//
// +kubebuilder:rbac:groups="",resources=configmaps;serviceaccounts;persistentvolumeclaims,verbs=list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses;networkpolicies,verbs=list;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=list;watch
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=list;watch
// +kubebuilder:rbac:groups=autoscaling.k8s.io,resources=verticalpodautoscalers,verbs=list;watch
// +kubebuilder:rbac:groups=keda.sh,resources=scaledobjects,verbs=list;watch
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes;grpcroutes,verbs=list;watch
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=servicemonitors;podmonitors,verbs=list;watch

// What it may do in a namespace that a platform engineer has onboarded (config/namespace), and no more. Versioned kinds are created
// and deleted by label; Stable and InPlace kinds are patched and deleted by name; Secrets are never listed or watched, nor deleted
// by label, which would list them. Rights in the operator's own namespace (lease, archives) are in config/rbac. Kinds that the class
// table does not name need rights in the namespace of their track: config/rbac/example-other-kinds.yaml.
//
// +kubebuilder:rbac:roleName=stele-namespace,groups=stele.dev,resources=immutablereleases,verbs=create;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;create;patch;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups=apps,resources=replicasets,verbs=delete
// +kubebuilder:rbac:roleName=stele-namespace,groups=batch,resources=jobs;cronjobs,verbs=get;create;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups="",resources=pods,verbs=get;create;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups="",resources=services,verbs=get;create;patch;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups="",resources=configmaps,verbs=get;create;patch;delete;deletecollection
// +kubebuilder:rbac:roleName=stele-namespace,groups="",resources=secrets,verbs=get;create;patch;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups="",resources=serviceaccounts,verbs=get;create;patch;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups="",resources=persistentvolumeclaims,verbs=get;create;patch
// +kubebuilder:rbac:roleName=stele-namespace,groups=networking.k8s.io,resources=ingresses,verbs=get;create;patch;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups=networking.k8s.io,resources=networkpolicies,verbs=get;create;patch;delete;deletecollection
// +kubebuilder:rbac:roleName=stele-namespace,groups=policy,resources=poddisruptionbudgets,verbs=get;create;patch;delete;deletecollection
// +kubebuilder:rbac:roleName=stele-namespace,groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;create;deletecollection
// +kubebuilder:rbac:roleName=stele-namespace,groups=autoscaling.k8s.io,resources=verticalpodautoscalers,verbs=get;create;deletecollection
// +kubebuilder:rbac:roleName=stele-namespace,groups=keda.sh,resources=scaledobjects,verbs=get;create;deletecollection
// +kubebuilder:rbac:roleName=stele-namespace,groups=gateway.networking.k8s.io,resources=httproutes;grpcroutes,verbs=get;create;patch;delete
// +kubebuilder:rbac:roleName=stele-namespace,groups=monitoring.coreos.com,resources=servicemonitors;podmonitors,verbs=get;create;patch;delete
