package render

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// chooser turns the bytes of a fuzz target into choices; when they are used up, every choice is the first one.
type chooser struct{ data []byte }

func (c *chooser) below(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	v := int(c.data[0]) % n
	c.data = c.data[1:]
	return v
}

func (c *chooser) of(options ...string) string { return options[c.below(len(options))] }

// name picks a name: short ones that meet often, ones of every length, and ones that look like what a name is turned into.
func (c *chooser) name() string {
	switch c.below(6) {
	case 0, 1, 2:
		return c.of("a", "b", "c", "d")
	case 3:
		return "a-" + c.of(laterRun.Suffix(), firstRun.Suffix(), "0123456789-"+laterRun.Suffix())
	case 4:
		n := 1 + c.below(251)
		return strings.Repeat(c.of("a", "a-", "a.", "a--"), n)[:n] + c.of("b", "c")
	default:
		long := strings.Repeat(c.of("a", "b"), 60)
		return strings.TrimSuffix(StampedName(c.of("Deployment", "Job", "ConfigMap"), long, laterRun), "-"+laterRun.Suffix())
	}
}

// madeReference is a reference that a generated release holds, as the generator knows it.
type madeReference struct {
	holder string // "Kind/name"
	path   string // for at
	target string // "Kind/name"
	// foreign: it names an object of another namespace.
	foreign bool
	// byTrack: it is one only when the track says so.
	byTrack bool
}

// generated is a release made of choices.
type generated struct {
	repo fstest.MapFS
	opt  Options
	refs []madeReference
}

// trackReferences are what a generated track may say of its Widgets, and of the annotations of its workloads.
var trackReferences = []NameReference{
	{Group: "example.org", Kind: "Widget", Path: "spec.list[].name", TargetKind: "ConfigMap"},
	{Group: "example.org", Kind: "Widget", Path: "spec.names[]", TargetKind: "Secret"},
	{Group: "example.org", Kind: "Widget", Path: "spec.ref.name", TargetGroup: "apps", TargetKind: "Deployment"},
	{Group: "apps", Kind: "Deployment", Path: "metadata.annotations.config", TargetKind: "ConfigMap"},
	{Group: "apps", Kind: "StatefulSet", Path: "spec.template.metadata.annotations.config", TargetKind: "ConfigMap"},
}

// generate makes a release of at most ten objects, and of some of those that they refer to.
func generate(data []byte) generated {
	c := &chooser{data}
	g := generated{opt: shop}
	for _, r := range trackReferences {
		if c.below(2) == 1 {
			g.opt.NameReferences = append(g.opt.NameReferences, r)
		}
	}
	var docs []string
	for n := 1 + c.below(10); n > 0; n-- {
		docs = append(docs, g.object(c))
	}
	made := map[string]bool{}
	for _, r := range g.refs {
		kind, name, _ := strings.Cut(r.target, "/")
		if (kind == "ConfigMap" || kind == "Secret") && !made[r.target] && c.below(2) == 0 {
			made[r.target] = true
			docs = append(docs, "apiVersion: v1\nkind: "+kind+"\nmetadata: {name: "+name+"}\n")
		}
	}
	g.repo = one(docs...)
	return g
}

func (g *generated) refers(holder, path, target string, flags ...bool) {
	r := madeReference{holder: holder, path: path, target: target}
	if len(flags) > 0 {
		r.foreign = flags[0]
	}
	if len(flags) > 1 {
		r.byTrack = flags[1]
	}
	g.refs = append(g.refs, r)
}

func (g *generated) object(c *chooser) string {
	name := c.name()
	head := func(apiVersion, kind string, annotations ...string) string {
		return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: " + name + ", annotations: {" + strings.Join(annotations, ", ") + "}}\n"
	}
	switch c.below(13) {
	case 0, 1, 2:
		return head("v1", "ConfigMap", c.of("a: b", "stele.dev/class: Stable"))
	case 3:
		return head("v1", "Secret", c.of("a: b", "stele.dev/class: Stable"))
	case 4, 5:
		config := c.name()
		g.refers("Deployment/"+name, "metadata.annotations.config", "ConfigMap/"+config, false, true)
		return head("apps/v1", "Deployment", "config: "+config, c.of("a: b", "stele.dev/class: InPlace", "stele.dev/class: Recreate", "stele.dev/start: AtSwitch")) +
			"spec: {" + g.workload(c, "Deployment/"+name, "") + "}"
	case 6:
		config := c.name()
		kind := c.of("StatefulSet", "DaemonSet")
		if kind == "StatefulSet" {
			g.refers(kind+"/"+name, "spec.template.metadata.annotations.config", "ConfigMap/"+config, false, true)
		}
		return head("apps/v1", kind) + "spec: {" + g.workload(c, kind+"/"+name, "annotations: {config: "+config+"}, ") + "}"
	case 7:
		switch c.below(3) {
		case 0:
			return head("v1", "Pod") + "spec: " + g.pod(c, "Pod/"+name, "spec")
		case 1:
			return head("batch/v1", "Job") + "spec: {template: {spec: " + g.pod(c, "Job/"+name, "spec.template.spec") + "}}"
		default:
			return head("batch/v1", "CronJob") + "spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: a}}, spec: " +
				g.pod(c, "CronJob/"+name, "spec.jobTemplate.spec.template.spec") + "}}}}"
		}
	case 8:
		return head("v1", "Service") + "spec: {type: " + c.of("ClusterIP", "ExternalName") + ", selector: {" + c.of("app: a", "app: b", "part: web", "stele.dev/track: shop", "") + "}}"
	case 9:
		kind := c.of("policy/v1, PodDisruptionBudget, selector", "networking.k8s.io/v1, NetworkPolicy, podSelector")
		parts := strings.Split(kind, ", ")
		return head(parts[0], parts[1]) + "spec: {" + parts[2] + ": " + selector(c) + "}"
	case 10:
		target := c.of("Deployment", "StatefulSet") + "/" + c.name()
		g.refers("HorizontalPodAutoscaler/"+name, "spec.scaleTargetRef.name", target)
		kind, at, _ := strings.Cut(target, "/")
		return head("autoscaling/v2", "HorizontalPodAutoscaler") + "spec: {scaleTargetRef: {apiVersion: apps/v1, kind: " + kind + ", name: " + at + "}}"
	case 11:
		tls, account := c.name(), c.name()
		if c.below(2) == 0 {
			g.refers("Ingress/"+name, "spec.tls.0.secretName", "Secret/"+tls)
			return head("networking.k8s.io/v1", "Ingress") + "spec: {tls: [{secretName: " + tls + "}]}"
		}
		foreign := c.below(2) == 1
		g.refers("ServiceAccount/"+name, "secrets.0.name", "Secret/"+tls, foreign)
		g.refers("ServiceAccount/"+name, "imagePullSecrets.0.name", "Secret/"+account)
		return head("v1", "ServiceAccount") + "secrets: [{name: " + tls + ", namespace: " + map[bool]string{true: "other", false: "shop"}[foreign] + "}]\nimagePullSecrets: [{name: " + account + "}]"
	default:
		list, names, ref := c.name(), c.name(), c.name()
		foreign := c.below(2) == 1
		g.refers("Widget/"+name, "spec.list.1.name", "ConfigMap/"+list, false, true)
		g.refers("Widget/"+name, "spec.names.0", "Secret/"+names, false, true)
		g.refers("Widget/"+name, "spec.ref.name", "Deployment/"+ref, foreign, true)
		return head("example.org/v1", "Widget") + "spec: {list: [{other: a}, {name: " + list + "}], names: [" + names + "], ref: {name: " + ref +
			", namespace: " + map[bool]string{true: "other", false: "shop"}[foreign] + "}}"
	}
}

func selector(c *chooser) string {
	return c.of("{matchLabels: {app: a}}", "{matchLabels: {app: b}}", "{matchExpressions: [{key: app, operator: In, values: [a, b]}]}",
		"{matchLabels: {part: web}, matchExpressions: [{key: old, operator: DoesNotExist}]}", "{}")
}

// workload is the spec of one that has a selector, which its own pods match.
func (g *generated) workload(c *chooser, holder, meta string) string {
	sel, labels := "{matchLabels: {app: a}}", "app: a, part: web"
	switch c.below(4) {
	case 1:
		sel, labels = "{matchLabels: {app: b}}", "app: b"
	case 2:
		sel, labels = "{matchExpressions: [{key: app, operator: Exists}]}", "app: b, part: web"
	case 3:
		sel = "{matchLabels: {app: a}, matchExpressions: [{key: old, operator: NotIn, values: [x]}]}"
	}
	return "selector: " + sel + ", template: {metadata: {" + meta + "labels: {" + labels + "}}, spec: " + g.pod(c, holder, "spec.template.spec") + "}"
}

// podSpecs are pod specs with one reference each, %s, and where that is. They are written by hand, so that the table of
// references is not its own witness.
var podSpecs = []struct{ kind, spec, path string }{
	{"ConfigMap", "containers: [{name: a, image: a, env: [{name: A, value: z}, {name: B, valueFrom: {configMapKeyRef: {name: %s, key: k}}}]}]", "containers.0.env.1.valueFrom.configMapKeyRef.name"},
	{"Secret", "containers: [{name: a, image: a, env: [{name: B, valueFrom: {secretKeyRef: {name: %s, key: k}}}]}]", "containers.0.env.0.valueFrom.secretKeyRef.name"},
	{"ConfigMap", "containers: [{name: a, image: a, envFrom: [{configMapRef: {name: %s}}]}]", "containers.0.envFrom.0.configMapRef.name"},
	{"Secret", "initContainers: [{name: i, image: i, envFrom: [{secretRef: {name: %s}}]}], containers: [{name: a, image: a}]", "initContainers.0.envFrom.0.secretRef.name"},
	{"Secret", "imagePullSecrets: [{name: %s}], containers: [{name: a, image: a}]", "imagePullSecrets.0.name"},
	{"ConfigMap", "volumes: [{name: e, emptyDir: {}}, {name: v, configMap: {name: %s}}], containers: [{name: a, image: a}]", "volumes.1.configMap.name"},
	{"Secret", "volumes: [{name: v, secret: {secretName: %s}}], containers: [{name: a, image: a}]", "volumes.0.secret.secretName"},
	{"ConfigMap", "volumes: [{name: v, projected: {sources: [{configMap: {name: %s}}]}}], containers: [{name: a, image: a}]", "volumes.0.projected.sources.0.configMap.name"},
	{"Secret", "volumes: [{name: v, projected: {sources: [{downwardAPI: {}}, {secret: {name: %s}}]}}], containers: [{name: a, image: a}]", "volumes.0.projected.sources.1.secret.name"},
	{"Secret", "volumes: [{name: v, csi: {driver: x, nodePublishSecretRef: {name: %s}}}], containers: [{name: a, image: a}]", "volumes.0.csi.nodePublishSecretRef.name"},
	// A claim is never renamed, whatever it is called.
	{"PersistentVolumeClaim", "volumes: [{name: v, persistentVolumeClaim: {claimName: %s}}], containers: [{name: a, image: a}]", "volumes.0.persistentVolumeClaim.claimName"},
}

func (g *generated) pod(c *chooser, holder, at string) string {
	p := podSpecs[c.below(len(podSpecs))]
	name := c.name()
	g.refers(holder, at+"."+p.path, p.kind+"/"+name)
	spread := ""
	if c.below(3) == 1 {
		spread = ", topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, labelSelector: " + selector(c) + "}]"
	}
	return "{" + fmt.Sprintf(p.spec, name) + spread + "}"
}

// TestGenerator: most of what it makes is a release, of every kind and with references that are rewritten.
func TestGenerator(t *testing.T) {
	t.Parallel()
	built, kinds, problems := 0, map[string]bool{}, map[string]int{}
	for seed := range 2000 {
		g := generate(seedBytes(seed))
		b, err := Build(g.repo, "deploy", g.opt)
		if err != nil {
			problems[strings.SplitN(err.Error(), ": ", 3)[1]]++
			continue
		}
		built++
		for _, o := range b.Objects {
			kinds[o.Object.GetKind()] = true
		}
	}
	if built < 500 || len(kinds) < 14 {
		t.Errorf("%d releases of %d kinds; refused: %v", built, len(kinds), problems)
	}
	for reason := range problems {
		switch reason {
		case ReasonDuplicateObject, ReasonMixedService, ReasonNameCollision, ReasonInvalidObject:
		default:
			t.Errorf("%s: the generator makes what is refused for another reason than meant", reason)
		}
	}
}

// seedBytes are choices that look random and are the same each time.
func seedBytes(seed int) []byte {
	data := make([]byte, 256)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range data {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		data[i] = byte(x >> 32)
	}
	return data
}
