package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

// fortress is a release with all that people like to change by hand: an autoscaler that has something to do (it wants three
// replicas, Git says two), a schedule that fires each minute, a StatefulSet, configuration.
func fortress(version string) map[string]string {
	files := shop(version, withConfig("config", "secret"))
	files["deploy/config.yaml"], files["deploy/secret.yaml"] = configMap("config", "hello"), secret("secret", "one")
	files["deploy/hpa.yaml"], files["deploy/pdb.yaml"] = autoscaler("web", 3, 6), budget("web")
	files["deploy/db.yaml"] = workload{kind: "StatefulSet", name: "db", replicas: 1, version: "1"}.yaml()
	files["deploy/report.yaml"] = strings.Replace(cronJob("report", version), "0 0 31 12 *", "* * * * *", 1)
	return files
}

// TestAttacks tries, with kubectl, all that people try on what runs, as those whom RBAC would let. Nothing of it works, everything
// says why and what to do instead, and the controllers of Kubernetes go on with their work.
func TestAttacks(t *testing.T) {
	s := tell(t)
	first := s.commit(fortress("1"))
	s.makeTrack("shop")
	s.live(first)
	s.scaled(first)
	was := s.fingerprint(first)

	for _, by := range s.attackers() {
		t.Run(by.name, func(t *testing.T) {
			for _, a := range s.attacks(first) {
				if problem := s.attempt(by, a); problem != "" {
					t.Errorf("%s: kubectl %s: %s", a.name, strings.Join(a.args, " "), problem)
				}
			}
		})
	}
	s.Expect(s.fingerprint(first)).To(gomega.Equal(was), "nothing has changed")
	r := s.release(first)
	s.Expect(r.Status.Run).To(gomega.BeEquivalentTo(1), "nothing had to be answered")
	s.Expect(condition(r.Status.Conditions, v1alpha1.DriftedCondition)).To(gomega.BeZero())

	// Kubernetes goes on with its work: the schedule fires, a node can be drained, a new commit goes live and is scaled.
	s.Eventually(func() string { return s.kubectl("get", "job", "-o", "name") }).WithTimeout(2 * time.Minute).Should(gomega.ContainSubstring("report"))
	s.drain(first)
	second := s.commit(fortress("2"))
	s.live(second)
	s.retired(first)
	s.scaled(second)
	checkServed(t, s.ns, "web")

	// A namespace that is idle ends as any other.
	s.kubectl("delete", "rtrack", "shop", "--timeout=90s")
	s.kubectl("delete", "namespace", s.ns, "--timeout=90s")
}

// scaled: the autoscaler of the release has given its Deployment the three replicas that it asks for.
func (s *story) scaled(release string) {
	s.Helper()
	s.until(release, "3 ready of web and 1 of db", func(r *v1alpha1.ImmutableRelease) bool {
		return r.Status.Replicas.Ready == 4 && isTrue(r.Status.Conditions, v1alpha1.ReadyCondition)
	})
}

// fingerprint is what people could have changed of the release: content, labels and annotations of its objects, and which pods run.
func (s *story) fingerprint(release string) string {
	s.Helper()
	const line = `{range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.generation} {.metadata.labels} {.metadata.annotations} ` +
		`{.metadata.ownerReferences} {.metadata.finalizers} {.spec.selector} {.spec.replicas} {.data}{"\n"}{end}`
	return s.kubectl("get", "deploy,rs,sts,svc,cm,secret,hpa,pdb,cronjob,rtrack,irel", "-o", "jsonpath="+line) +
		s.kubectl("get", "pods", "-l", v1alpha1.ReleaseLabel+"="+release+",app=web", "-o", "jsonpath="+line) +
		s.kubectl("get", "pods", "-l", "app=db", "-o", "jsonpath="+line)
}

// drain empties the node of one of a release's pods, as for its maintenance. Evictions honour the disruption budget.
func (s *story) drain(release string) {
	s.Helper()
	pods := s.podsWith("app", "web")
	node := pods[0].Spec.NodeName
	s.kubectl("drain", node, "--pod-selector="+v1alpha1.ReleaseLabel+"="+release+",app=web", "--timeout=60s")
	s.kubectl("uncordon", node)
	s.Eventually(func() error {
		if list := s.podsOf(release); strings.Contains(fmt.Sprint(uids(list)), string(pods[0].UID)) {
			return fmt.Errorf("pod %s is still there", pods[0].Name)
		}
		return nil
	}).Should(gomega.Succeed())
	s.until(release, "whole again", func(r *v1alpha1.ImmutableRelease) bool { return r.Status.Replicas.Ready == 4 })
}

// attacks on a release that runs, and on what protects it.
func (s *story) attacks(release string) []attack {
	s.Helper()
	pod := s.podsWith("app", "web")[0].Name
	out := s.onWorkloads(release)
	out = append(out, s.onPods(release, pod)...)
	out = append(out, s.onNeighbours(release)...)
	out = append(out, s.onTheNamespace(release)...)
	return append(out, s.onTheOperator()...)
}

func (s *story) onWorkloads(release string) []attack {
	web, rs := "web"+suffixOf(release), s.replicaSet(release)
	owner := `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"missing","uid":"00000000-0000-0000-0000-000000000000"}]}}`
	manifest := s.kubectl("get", "deploy", web, "-o", "yaml")
	evil := strings.ReplaceAll(manifest, "image: web:1", "image: evil:1")
	bare := fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: %s\nspec:\n  replicas: 9\n", web)
	objects := func(name string, args ...string) attack {
		return attack{name: name, args: args, policy: "stele-objects", about: "release " + release}
	}
	out := []attack{
		objects("another image", "set", "image", "deploy/"+web, "web=evil:1"),
		objects("another image, tried out only", "set", "image", "deploy/"+web, "web=evil:1", "--dry-run=server"),
		objects("a variable", "set", "env", "deploy/"+web, "EVIL=1"),
		objects("a patch", "patch", "deploy", web, "-p", `{"spec":{"paused":true}}`),
		objects("a patch by position", "patch", "deploy", web, "--type=json", "-p", `[{"op":"replace","path":"/spec/replicas","value":9}]`),
		objects("a label", "label", "deploy", web, "mine=yes"),
		objects("a label of ours", "label", "deploy", web, v1alpha1.ReleaseLabel+"-"),
		objects("an annotation", "annotate", "deploy", web, "mine=yes"),
		objects("an owner that does not exist", "patch", "deploy", web, "--type=merge", "-p", owner),
		objects("a finalizer", "patch", "deploy", web, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/mine"]}}`),
		objects("a restart", "rollout", "restart", "deploy", web),
		objects("a pause", "rollout", "pause", "deploy", web),
		objects("deletion", "delete", "deploy", web),
		objects("deletion in the foreground", "delete", "deploy", web, "--cascade=foreground"),
		objects("deletion that leaves its pods", "delete", "deploy", web, "--cascade=orphan"),
		objects("deletion of the ReplicaSet", "delete", "rs", rs),
		objects("deletion of all", "delete", "--raw", "/apis/apps/v1/namespaces/"+s.ns+"/deployments"),
		objects("a patch of the ReplicaSet", "patch", "rs", rs, "-p", `{"spec":{"replicas":9}}`),
		objects("a Job from the schedule's template, stopped", "patch", "cronjob", "report"+suffixOf(release), "-p", `{"spec":{"suspend":true}}`),
		{name: "the editor", args: []string{"edit", "deploy", web}, env: []string{"KUBE_EDITOR=sed -i s/web:1/evil:1/"}, policy: "stele-objects", about: "release " + release},
		{name: "replacement by force", args: []string{"replace", "--force", "-f", "-"}, input: evil, policy: "stele-objects", about: "release " + release},
		{name: "replacement", args: []string{"replace", "-f", "-"}, input: evil, policy: "stele-objects", about: "release " + release},
		{name: "apply by force", args: []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}, input: bare, policy: "stele-objects", about: "release " + release},
		{name: "a label through the status", args: []string{"patch", "rs", rs, "--subresource=status", "--type=merge", "-p", `{"metadata":{"labels":{"stele.dev/release":"evil"}}}`},
			policy: "stele-object-status", about: "release " + release},
		{name: "an annotation through the status", args: []string{"patch", "deploy", web, "--subresource=status", "--type=merge", "-p", `{"metadata":{"annotations":{"a":"b"}}}`},
			policy: "stele-object-status", about: "release " + release},
	}
	for _, target := range []string{"deploy/" + web, "rs/" + rs, "sts/db"} {
		out = append(out, attack{name: "scale", args: []string{"scale", target, "--replicas=0"}, policy: "stele-subresources",
			about: target[strings.Index(target, "/")+1:]})
	}
	return out
}

func (s *story) replicaSet(release string) string {
	s.Helper()
	return strings.TrimSpace(s.kubectl("get", "rs", "-l", v1alpha1.ReleaseLabel+"="+release+",app=web", "-o", "jsonpath={.items[0].metadata.name}"))
}

func (s *story) onPods(release, pod string) []attack {
	inside := func(name string, args ...string) attack {
		return attack{name: name, args: args, policy: "stele-subresources", about: pod}
	}
	objects := func(name string, args ...string) attack {
		return attack{name: name, args: args, policy: "stele-objects", about: "release " + release}
	}
	base := "/api/v1/namespaces/" + s.ns + "/"
	binding := fmt.Sprintf(`{"apiVersion":"v1","kind":"Binding","metadata":{"name":%q},"target":{"kind":"Node","name":"fake-node-1"}}`, pod)
	return []attack{
		inside("a shell", "exec", pod, "--", "sh"),
		{name: "a shell by way of the Deployment", args: []string{"exec", "deploy/web" + suffixOf(release), "--", "sh"}, policy: "stele-subresources",
			about: "web" + suffixOf(release)},
		inside("its terminal", "attach", pod),
		inside("its port", "port-forward", pod, ":8080"),
		inside("a file", "cp", pod+":/etc/passwd", s.TempDir()+"/passwd"),
		inside("a debugger", "debug", pod, "--image=evil:1", "--attach=false"),
		inside("its address", "get", "--raw", base+"pods/"+pod+"/proxy/"),
		// The nodes do not support it, which is said before a policy is asked.
		{name: "a larger pod", args: []string{"patch", "pod", pod, "--subresource=resize", "-p", `{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"2"}}}]}}`}},
		{name: "the Service's address", args: []string{"get", "--raw", base + "services/web:80/proxy/"}, policy: "stele-subresources", about: "web"},
		{name: "another node", args: []string{"create", "--raw", base + "pods/" + pod + "/binding", "-f", "-"}, input: binding, policy: "stele-subresources", about: pod},
		objects("out of the Service", "label", "pod", pod, v1alpha1.RunLabel+"-"),
		objects("out of the ReplicaSet", "label", "pod", pod, "app=evil", "--overwrite"),
		objects("an annotation", "annotate", "pod", pod, "mine=yes"),
		objects("another image", "set", "image", "pod/"+pod, "web=evil:1"),
		objects("deletion", "delete", "pod", pod),
		objects("deletion by force", "delete", "pod", pod, "--force", "--grace-period=0"),
		{name: "deletion of all", args: []string{"delete", "--raw", base + "pods"}, policy: "stele-objects", about: "shop"},
		{name: "a label through the status", args: []string{"patch", "pod", pod, "--subresource=status", "-p", `{"metadata":{"labels":{"stele.dev/run":"7"}}}`},
			policy: "stele-pod-status", about: "release " + release},
		{name: "a finalizer through the status", args: []string{"patch", "pod", pod, "--subresource=status", "-p", `{"metadata":{"finalizers":["example.com/mine"]}}`},
			policy: "stele-pod-status", about: "release " + release},
	}
}

// onNeighbours: what belongs to the track besides workloads, and what somebody puts beside it.
func (s *story) onNeighbours(release string) []attack {
	labelled := "  labels: {stele.dev/track: shop, stele.dev/release: " + release + ", stele.dev/run: \"1\"}\n"
	web := app("evil", "1")
	forged := map[string]string{
		"ConfigMap":  strings.Replace(configMap("forged", "x"), "  name: forged\n", "  name: forged\n"+labelled, 1),
		"Deployment": strings.Replace(web, "  name: evil\n", "  name: evil\n"+labelled, 1),
		"pods": strings.Replace(web, "      labels:\n        app: evil\n",
			"      labels:\n        app: evil\n        stele.dev/track: shop\n        stele.dev/release: "+release+"\n", 1),
		"Pod": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: evil\n" + labelled + "spec:\n  containers: [{name: evil, image: evil}]\n",
	}
	track := func(name string, args ...string) attack {
		return attack{name: name, args: args, policy: "stele-objects", about: "track shop"}
	}
	of := func(name string, args ...string) attack {
		return attack{name: name, args: args, policy: "stele-objects", about: "release " + release}
	}
	out := []attack{
		track("another target of the Service", "patch", "svc", "web", "--type=merge", "-p", `{"spec":{"selector":{"app":"evil"}}}`),
		track("deletion of the Service", "delete", "svc", "web"),
		track("another image of the StatefulSet", "set", "image", "sts/db", "db=evil:1"),
		track("deletion of the StatefulSet", "delete", "sts", "db"),
		of("a label on the configuration", "label", "cm", "config"+suffixOf(release), "mine=yes"),
		of("deletion of the configuration", "delete", "cm", "config"+suffixOf(release)),
		of("deletion of the Secret", "delete", "secret", "secret"+suffixOf(release)),
		of("deletion of the budget", "delete", "pdb", "web"+suffixOf(release)),
		// Two policies refuse it; the API server tells of one.
		{name: "other bounds of the autoscaler", args: []string{"patch", "hpa", "web" + suffixOf(release), "-p", `{"spec":{"maxReplicas":99}}`},
			policy: "stele-(objects|autoscalers)", about: "web" + suffixOf(release)},
		{name: "another autoscaler", args: []string{"create", "-f", "-"}, input: autoscaler("evil", 7, 9), policy: "stele-autoscalers", about: "evil"},
		// kubectl tries an older version after it was refused, and tells of that.
		{name: "another autoscaler in one word", args: []string{"autoscale", "sts/db", "--min=3", "--max=9", "--name=evil"}},
		{name: "a Job of the schedule, by hand", args: []string{"create", "job", "by-hand", "--from=cronjob/report" + suffixOf(release)}, policy: "stele-forged-labels", about: "by-hand"},
	}
	for what, manifest := range forged {
		out = append(out, attack{name: "forged labels on " + what, args: []string{"create", "-f", "-"}, input: manifest, policy: "stele-forged-labels", about: "under stele.dev/"})
	}
	return out
}

func (s *story) onTheNamespace(release string) []attack {
	raw := s.kubectl("get", "ns", s.ns, "-o", "json")
	return []attack{
		{name: "protection off", args: []string{"label", "ns", s.ns, v1alpha1.EnforcedLabel + "-"}, policy: "stele-namespaces", about: release},
		{name: "protection otherwise", args: []string{"label", "ns", s.ns, v1alpha1.EnforcedLabel + "=no", "--overwrite"}, policy: "stele-namespaces", about: release},
		{name: "protection off through the status", args: []string{"patch", "ns", s.ns, "--subresource=status", "--type=merge", "-p",
			`{"metadata":{"labels":{"stele.dev/immutable":null}}}`}, policy: "stele-namespace-guard", about: "stele.dev/immutable"},
		{name: "deletion", args: []string{"delete", "ns", s.ns, "--wait=false"}, policy: "stele-namespaces", about: release},
		{name: "finalization", args: []string{"replace", "--raw", "/api/v1/namespaces/" + s.ns + "/finalize", "-f", "-"}, input: raw, policy: "stele-namespace-guard", about: s.ns},
	}
}

// onTheOperator: who is the operator may change everything.
func (s *story) onTheOperator() []attack {
	in := func(args ...string) []string { return append([]string{"-n", testkit.OperatorNamespace}, args...) }
	pod := `apiVersion: v1
kind: Pod
metadata:
  name: evil
spec:
  serviceAccountName: stele
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - {name: evil, image: evil, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
`
	archive := "Secret"
	for _, secret := range s.archiveSecrets() {
		archive = secret
	}
	return []attack{
		{name: "a token of the operator", args: in("create", "token", testkit.OperatorAccount), policy: "stele-identity", about: testkit.OperatorAccount},
		{name: "a token of it for ever", args: in("create", "-f", "-"), input: "apiVersion: v1\nkind: Secret\nmetadata:\n  name: evil\n" +
			"  annotations: {kubernetes.io/service-account.name: stele}\ntype: kubernetes.io/service-account-token\n"},
		{name: "a pod with its account", args: in("create", "-f", "-"), input: pod, policy: "stele-identity", about: "evil"},
		{name: "another image of it", args: in("set", "image", "deploy/stele", "operator=evil"), policy: "stele-identity", about: "deployments stele"},
		{name: "its end", args: in("delete", "deploy", "stele"), policy: "stele-identity", about: "deployments stele"},
		{name: "a shell in it", args: in("exec", "deploy/stele", "--", "sh"), policy: "stele-subresources", about: "stele-"},
		{name: "its rights", args: in("delete", "clusterrole", "stele"), policy: "stele-installation", about: "clusterroles stele"},
		{name: "an archive", args: in("delete", "secret", archive), policy: "stele-archives", about: archive},
	}
}

// archiveSecrets names the Secrets that hold the archives of the story's releases.
func (s *story) archiveSecrets() []string {
	s.Helper()
	var out []string
	for _, line := range strings.Split(s.kubectl("get", "secret", "-n", testkit.OperatorNamespace, "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.metadata.annotations.stele\.dev/archive-of}{"\n"}{end}`), "\n") {
		if name, of, ok := strings.Cut(line, " "); ok && strings.HasPrefix(of, s.ns+"/") {
			out = append(out, name)
		}
	}
	return out
}
