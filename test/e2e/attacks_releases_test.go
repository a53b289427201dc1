package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// TestAttacksOnReleases tries to change what Stele knows: releases, which are written once, and tracks.
func TestAttacksOnReleases(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	second := s.commit(shop("2"))
	s.live(second)
	s.retired(first)
	was := s.fingerprint(second)
	spec := s.release(second).Spec

	for _, by := range s.attackers() {
		t.Run(by.name, func(t *testing.T) {
			for _, a := range append(s.onReleases(second), s.onTracks()...) {
				if problem := s.attempt(by, a); problem != "" {
					t.Errorf("%s: kubectl %s: %s", a.name, strings.Join(a.args, " "), problem)
				}
			}
		})
	}
	r := s.release(second)
	s.Expect(r.Spec).To(gomega.Equal(spec))
	s.Expect(r.Generation).To(gomega.BeEquivalentTo(1))
	s.Expect(s.fingerprint(second)).To(gomega.Equal(was))
	s.live(second)

	// What may be done all the same: a release that has ended is deleted, and a person who says who they are pins one.
	s.kubectl("delete", "irel", first)
	third := s.commit(shop("3"))
	s.live(third)
	s.patchTrack("shop", fmt.Sprintf(`{"spec":{"pin":%q}}`, second))
	s.live(second)
	checkServed(t, s.ns, "web")
}

// onReleases: a release that was altered, or put there by somebody else, would make a rollback run something that no commit holds.
func (s *story) onReleases(name string) []attack {
	s.Helper()
	at := func(what string, args ...string) attack {
		return attack{name: what, args: args, policy: "stele-releases", about: "release " + name}
	}
	// The schema of the kind is asked before the policies: a spec never changes, for nobody.
	spec := func(what string, args ...string) attack {
		return attack{name: what, args: append([]string{"patch", "irel", name}, args...), policy: "spec", about: "never changes"}
	}
	var object map[string]any
	s.must(json.Unmarshal([]byte(s.kubectl("get", "irel", name, "-o", "json")), &object))
	forged := s.manifest(object, func(o map[string]any) {
		o["metadata"] = map[string]any{"name": "shop-0123456789", "namespace": s.ns}
		delete(o, "status")
	})
	applied := s.manifest(object, func(o map[string]any) {
		o["metadata"] = map[string]any{"name": name, "namespace": s.ns}
		delete(o, "status")
		o["spec"].(map[string]any)["sequence"] = 9
	})
	again := s.manifest(object, func(o map[string]any) { o["spec"].(map[string]any)["digest"] = "sha256:" + strings.Repeat("0", 64) })
	return []attack{
		spec("a changed value", "--type=merge", "-p", `{"spec":{"sequence":9}}`),
		spec("a changed value deep inside", "--type=merge", "-p", `{"spec":{"source":{"path":"elsewhere"}}}`),
		spec("a removed value", "--type=json", "-p", `[{"op":"remove","path":"/spec/previous"}]`),
		spec("null", "--type=merge", "-p", `{"spec":{"previous":null}}`),
		spec("a renamed key", "--type=json", "-p", `[{"op":"move","from":"/spec/digest","path":"/spec/digests"}]`),
		spec("another order", "--type=json", "-p", `[{"op":"move","from":"/spec/objects/0","path":"/spec/objects/1"}]`),
		spec("test and replace", "--type=json", "-p", `[{"op":"test","path":"/spec/track","value":"shop"},{"op":"replace","path":"/spec/track","value":"other"}]`),
		{name: "apply by force", args: []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}, input: applied, policy: "spec", about: "never changes"},
		{name: "replacement", args: []string{"replace", "-f", "-"}, input: again, policy: "spec", about: "never changes"},
		// The editor shows why, and is closed.
		{name: "the editor", args: []string{"edit", "irel", name}, env: []string{"KUBE_EDITOR=sed -i s/deploy/evil/"}},
		at("through the status", "patch", "irel", name, "--subresource=status", "--type=merge", "-p", `{"spec":{"sequence":9},"status":{"phase":"Retired"}}`),
		at("a forged phase", "patch", "irel", name, "--subresource=status", "--type=merge", "-p", `{"status":{"phase":"Failed","run":7}}`),
		at("a label", "label", "irel", name, "mine=yes"),
		at("another track", "label", "irel", name, v1alpha1.TrackLabel+"=other", "--overwrite"),
		at("an annotation", "annotate", "irel", name, "mine=yes"),
		at("a finalizer", "patch", "irel", name, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/mine"]}}`),
		at("an owner", "patch", "irel", name, "--type=merge", "-p",
			`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"missing","uid":"00000000-0000-0000-0000-000000000000"}]}}`),
		at("deletion", "delete", "irel", name),
		{name: "deletion to make another of that name", args: []string{"replace", "--force", "-f", "-"}, input: again, policy: "stele-releases", about: "release " + name},
		{name: "deletion of all", args: []string{"delete", "--raw", "/apis/stele.dev/v1alpha1/namespaces/" + s.ns + "/immutablereleases"}, policy: "stele-releases", about: "release "},
		{name: "a release that no commit has made", args: []string{"create", "-f", "-"}, input: forged, policy: "stele-releases", about: "release shop-0123456789"},
	}
}

// manifest is an object as JSON, changed.
func (s *story) manifest(object map[string]any, change func(map[string]any)) string {
	s.Helper()
	data, err := json.Marshal(object)
	s.must(err)
	var copied map[string]any
	s.must(json.Unmarshal(data, &copied))
	change(copied)
	data, err = json.Marshal(copied)
	s.must(err)
	return string(data)
}

func (s *story) onTracks() []attack {
	at := func(what string, args ...string) attack {
		return attack{name: what, args: args, policy: "stele-tracks", about: "track shop"}
	}
	signed := func(by string) string {
		return fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}},"spec":{"pin":"shop-0000000000"}}`, v1alpha1.ActorAnnotation, by)
	}
	return []attack{
		at("a forged status", "patch", "rtrack", "shop", "--subresource=status", "--type=merge", "-p", `{"status":{"activeRelease":"shop-0000000000"}}`),
		at("a forged condition", "patch", "rtrack", "shop", "--subresource=status", "--type=merge", "-p", `{"status":{"conditions":[]}}`),
		at("the finalizer", "patch", "rtrack", "shop", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`),
		at("another finalizer instead", "patch", "rtrack", "shop", "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/mine"]}}`),
		at("a pin that nobody has asked for", "patch", "rtrack", "shop", "--type=merge", "-p", `{"spec":{"pin":"shop-0000000000"}}`),
		at("a pin in the name of somebody else", "patch", "rtrack", "shop", "--type=merge", "-p", signed("somebody")),
		at("a promotion that nobody has asked for", "patch", "rtrack", "shop", "--type=merge", "-p", `{"spec":{"promote":"shop-0000000000"}}`),
		at("a commit rejected by nobody", "patch", "rtrack", "shop", "--type=json", "-p",
			`[{"op":"add","path":"/spec/rejected","value":["0123456789012345678901234567890123456789"]}]`),
	}
}

// TestSquatter puts an object under the name that a release will need. Stele neither takes it over nor is led to run it, and what
// serves serves on.
func TestSquatter(t *testing.T) {
	s := tell(t)
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	s.patchTrack("shop", `{"spec":{"suspend":true}}`)
	s.trackUntil("shop", "the suspension observed", func(t *v1alpha1.ReleaseTrack) bool { return t.Status.ObservedGeneration == t.Generation })

	second := s.commit(shop("2"))
	squatter := app("web"+suffixOf(second), "evil")
	_, err := suite.cluster.KubectlInput(s.ctx, squatter, "create", "-n", s.ns, "-f", "-")
	s.must(err)
	s.patchTrack("shop", `{"spec":{"suspend":false}}`)
	waits := s.until(second, "refused", func(r *v1alpha1.ImmutableRelease) bool {
		return condition(r.Status.Conditions, v1alpha1.AcceptedCondition).Status == metav1.ConditionFalse
	})
	said := condition(waits.Status.Conditions, v1alpha1.AcceptedCondition)
	s.Expect(said.Message).To(gomega.ContainSubstring("web"+suffixOf(second)), said.Reason)
	s.Expect(s.leftOf(second)).To(gomega.BeEmpty())
	s.Expect(s.kubectl("get", "deploy", "web"+suffixOf(second), "-o", "jsonpath={.spec.template.spec.containers[0].image}")).To(gomega.Equal("web" + suffixOf(second) + ":evil"))
	s.neverServed(second)

	// It is nobody's release, so it can be deleted by who made it; the commit then goes live.
	s.kubectl("delete", "deploy", "web"+suffixOf(second))
	s.live(second)
	checkServed(t, s.ns, "web")
}
