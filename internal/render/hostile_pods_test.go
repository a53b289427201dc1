package render

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// podsAndSelectors are pods that ask for much, images that do not say what they are, and selectors that reach for others. What is accepted
// here is kept as it is written, so that whoever judges it later sees it.
func podsAndSelectors() []input {
	kept := func(path string, want any) func(t *testing.T, b *Bundle) {
		return func(t *testing.T, b *Bundle) {
			t.Helper()
			if got := at(t, object(t, b, "Deployment/a").Object.Object, "spec.template.spec."+path); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s is %v, want %v", path, got, want)
			}
		}
	}
	image := func(s string) string { return strings.Replace(deployment("a"), "app:1", s, 1) }
	images := func(want ...Image) func(t *testing.T, b *Bundle) {
		return func(t *testing.T, b *Bundle) {
			t.Helper()
			if !slices.Equal(b.Images, want) {
				t.Errorf("images are %v", b.Images)
			}
		}
	}
	narrow := func(want bool) func(t *testing.T, b *Bundle) {
		return func(t *testing.T, b *Bundle) {
			t.Helper()
			if o := object(t, b, "Service/s"); o.Narrow != want || o.Class != stable {
				t.Errorf("narrowed %v, class %s", o.Narrow, o.Class)
			}
		}
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	policy := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {matchLabels: {app: %s}}}"
	return []input{
		{name: "volume of a folder of the node", repo: one(deployment("a", "volumes: [{name: h, hostPath: {path: /}}]")), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			kept("volumes.0.hostPath.path", "/")(t, b)
			if !slices.Contains(b.External(), "hostPath volume h") {
				t.Errorf("not said to come from outside: %q", b.External())
			}
		}},
		{name: "privileged container", repo: one(strings.Replace(deployment("a"), `image: "app:1"`, `image: "app:1", securityContext: {privileged: true}`, 1)), effect: kept("containers.0.securityContext.privileged", true)},
		{name: "process table of the node", repo: one(deployment("a", "hostPID: true")), effect: kept("hostPID", true)},
		{name: "volume cloned by the node from Git", repo: one(deployment("a", "volumes: [{name: g, gitRepo: {repository: 'https://example.org/x'}}]")), effect: kept("volumes.0.gitRepo.repository", "https://example.org/x")},
		{name: "ephemeral container", repo: one(deployment("a", "ephemeralContainers: [{name: e, image: 'debug:1'}]")), effect: images(Image{Name: "app", Tag: "1"}, Image{Name: "debug", Tag: "1"})},
		{name: "ephemeral container with no image", repo: one(deployment("a", "ephemeralContainers: [{name: e}]")), reason: ReasonInvalidImage, file: "deploy/a.yaml", line: 1, part: "ephemeralContainers[0]"},
		{name: "token of the operator's service account", repo: one(deployment("a", "serviceAccountName: stele-controller-manager", "automountServiceAccountToken: true")), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			// The name means the account of that name in the track's own namespace.
			if !slices.Contains(b.External(), "ServiceAccount stele-controller-manager") {
				t.Errorf("not said to come from outside: %q", b.External())
			}
		}},

		{name: "image by a tag that can be moved", repo: one(image("registry.example/app:latest")), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			images(Image{Name: "registry.example/app", Tag: "latest"})(t, b)
			if !slices.Contains(b.External(), "image registry.example/app:latest, by a tag that can be moved") {
				t.Errorf("not said: %q", b.External())
			}
		}},
		{name: "image by tag and digest", repo: one(image("app:1@" + digest)), effect: images(Image{Name: "app", Tag: "1", Digest: digest})},
		{name: "image with two digests", repo: one(image("app@" + digest + "@" + digest)), reason: ReasonInvalidImage, file: "deploy/a.yaml", line: 1, part: "containers[0].image"},
		{name: "image with a line break", repo: one(image(`app:1\n` + canary)), reason: ReasonInvalidImage, line: 1},
		{name: "image with a blank", repo: one(image("app " + canary)), reason: ReasonInvalidImage, line: 1},
		{name: "no image", repo: one(strings.Replace(deployment("a"), `, image: "app:1"`, "", 1)), reason: ReasonInvalidImage, line: 1, part: "containers[0].image"},

		{name: "Service that selects the pods of another release", repo: one(service("s", "stele.dev/release: other-1")), reason: ReasonForgedMetadata, file: "deploy/a.yaml", line: 1, part: "spec.selector.stele.dev/release"},
		{name: "Service that selects the pods of another run", repo: one(service("s", "stele.dev/run: '1'")), reason: ReasonForgedMetadata, line: 1, part: "spec.selector.stele.dev/run"},
		{name: "workload that selects the pods of another release", repo: one(strings.Replace(deployment("a"), "matchLabels: {app: a}", "matchLabels: {app: a, stele.dev/release: other-1}", 1)), reason: ReasonForgedMetadata, line: 1, part: "spec.selector"},
		{name: "disruption budget of the pods of another release", repo: kindOf("policy/v1", "PodDisruptionBudget", "spec: {selector: {matchExpressions: [{key: stele.dev/release, operator: Exists}]}}"), reason: ReasonForgedMetadata, line: 1, part: "spec.selector"},
		{name: "workload that selects pods that are not its own", repo: one(strings.Replace(deployment("a"), "matchLabels: {app: a}", "matchLabels: {app: b}", 1)), reason: ReasonSelectorMismatch, line: 1, part: "spec.selector"},
		{name: "workload that selects all pods", repo: one(strings.Replace(deployment("a"), "{matchLabels: {app: a}}", "{}", 1)), reason: ReasonSelectorMismatch, line: 1},
		{name: "Service that selects nothing of the release", repo: one(service("s", "app: others")), effect: narrow(false)},
		{name: "Service with addresses from outside", repo: one(strings.Replace(service("s", "app: a"), "spec: {", "spec: {externalIPs: [192.0.2.1], ", 1), deployment("a")), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			narrow(true)(t, b)
			if got := at(t, object(t, b, "Service/s").Object.Object, "spec.externalIPs.0"); got != "192.0.2.1" {
				t.Errorf("it is %v", got)
			}
		}},
		{name: "Service that is another name for a host", repo: one("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: metadata.internal, selector: {app: a}}", deployment("a")), effect: narrow(false)},
		{name: "network policy of other pods stays as it is", repo: one(fmt.Sprintf(policy, "others"), deployment("a")), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			if o := object(t, b, "NetworkPolicy/p"); o.Class != stable {
				t.Errorf("it is %s", o.Class)
			}
		}},
		{name: "network policy of the release's own pods follows it", repo: one(fmt.Sprintf(policy, "a"), deployment("a")), effect: func(t *testing.T, b *Bundle) {
			t.Helper()
			if o := object(t, b, "NetworkPolicy/p"); o.Class != versioned {
				t.Errorf("it is %s", o.Class)
			}
		}},
	}
}
