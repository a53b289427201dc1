package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/actors"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/test/testkit"
)

// noted are the entries of the ledger about a namespace, as they were written: whoever moves them on.
type noted struct {
	mu  sync.Mutex
	raw map[string]string
}

// note begins to listen to what is recorded.
func (s *story) note() *noted {
	s.Helper()
	n := &noted{raw: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	watch, err := suite.client.Watch(ctx, &corev1.ConfigMapList{}, client.InNamespace(testkit.OperatorNamespace), client.MatchingLabels{v1alpha1.OutboxLabel: v1alpha1.OutboxEntry})
	s.must(err)
	s.Cleanup(cancel)
	go func() {
		for e := range watch.ResultChan() {
			if cm, ok := e.Object.(*corev1.ConfigMap); ok {
				n.mu.Lock()
				n.raw[cm.Name] = cm.Data[v1alpha1.OutboxKey]
				n.mu.Unlock()
			}
		}
	}()
	return n
}

// of are the entries of a kind that a check is true of.
func (n *noted) of(kind entry.Kind, check func(entry.Entry) bool) []entry.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []entry.Entry
	for _, raw := range n.raw {
		if e, err := entry.Parse([]byte(raw)); err == nil && e.Kind == kind && check(e) {
			out = append(out, e)
		}
	}
	return out
}

func (n *noted) bytes(key string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.raw[entry.OutboxName(key)]
}

// person has a role of ours in the story's namespace, and no other right. The arguments let kubectl act as them.
func (s *story) person(name, role string) []string {
	s.Helper()
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	s.must(suite.client.Create(s.ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "person-" + role}, RoleRef: ref, Subjects: subjects}))
	return []string{"--as=" + name, "--as-group=system:authenticated"}
}

// archived are the archives of the story's releases, unpacked, by name of their Secret.
func (s *story) archived() map[string]string {
	s.Helper()
	var list corev1.SecretList
	s.must(suite.client.List(s.ctx, &list, client.InNamespace(testkit.OperatorNamespace)))
	out := map[string]string{}
	for _, secret := range list.Items {
		if !strings.HasPrefix(secret.Name, "archive."+s.ns+".") {
			continue
		}
		var all strings.Builder
		for _, data := range secret.Data {
			r, err := gzip.NewReader(bytes.NewReader(data))
			s.must(err)
			text, err := io.ReadAll(r)
			s.must(err)
			all.Write(text)
		}
		out[secret.Name] = all.String()
	}
	return out
}

// holds reports whether a text holds a value, plain or as a Secret has it.
func holds(text, value string) bool {
	return strings.Contains(text, value) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(value)))
}

// A Secret was committed. Its release is purged: it is nowhere any more, and nothing brings it back.
func TestPurgedSecretIsGone(t *testing.T) {
	s := tellAlone(t)
	entries := s.note()
	const leaked, who = "canary-leaked-9b1c", "canary-cleaner-9b1c@acme.example"
	files := shop("1", withConfig("config", "secret"))
	files["deploy/config.yaml"], files["deploy/secret.yaml"] = configMap("config", "1"), secret("secret", leaked)
	first := s.commit(files)
	s.makeTrack("shop")
	s.live(first)
	found := 0
	for _, text := range s.archived() {
		if holds(text, leaked) {
			found++
		}
	}
	s.Expect(found).To(gomega.Equal(1), "the search finds what is there")
	cleaner := s.person(who, "stele-purge")
	purge := func(name string) {
		s.kubectl(append([]string{"annotate", "rtrack", "shop", "--overwrite", v1alpha1.PurgeAnnotation + "=" + name, v1alpha1.ActorAnnotation + "=" + who}, cleaner...)...)
	}
	answer := func(name string) string {
		t := s.trackUntil("shop", "the answer", func(t *v1alpha1.ReleaseTrack) bool {
			return t.Annotations[v1alpha1.PurgeAnnotation] == "" && t.Annotations[v1alpha1.ActorAnnotation] == "" && t.Status.LastPurge != nil && t.Status.LastPurge.Release == name
		})
		return t.Status.LastPurge.Refused
	}
	purge(first)
	s.Expect(answer(first)).To(gomega.ContainSubstring("it takes the traffic"))

	files = shop("2", withConfig("config", "secret"))
	files["deploy/config.yaml"], files["deploy/secret.yaml"] = configMap("config", "1"), secret("secret", "rotated")
	second := s.commit(files)
	s.live(second)
	s.retired(first)
	purge(first)
	s.trackUntil("shop", "the answer", func(t *v1alpha1.ReleaseTrack) bool { return len(t.Status.Purged) == 1 })
	s.Expect(answer(first)).To(gomega.BeEmpty())
	s.until(first, "Purged", func(r *v1alpha1.ImmutableRelease) bool { return isTrue(r.Status.Conditions, v1alpha1.PurgedCondition) })
	gone := func() {
		s.Helper()
		for name, text := range s.archived() {
			s.Expect(holds(text, leaked)).To(gomega.BeFalse(), "it is in "+name)
			s.Expect(name).NotTo(gomega.HavePrefix("archive." + s.ns + "." + first + "."))
		}
		everything := s.kubectl("get", "secrets,configmaps", "-A", "-o", "yaml")
		s.Expect(holds(everything, leaked)).To(gomega.BeFalse(), "it is in a Secret or a ConfigMap")
		s.nowhere(map[string]string{"what leaked": leaked, "who had it purged": who})
	}
	gone()
	var uid types.UID
	pins := func() {
		s.Helper()
		s.patchTrack("shop", `{"spec":{"pin":"`+first+`"}}`)
		s.trackUntil("shop", "InvalidPin", func(t *v1alpha1.ReleaseTrack) bool {
			c := condition(t.Status.Conditions, v1alpha1.StalledCondition)
			return c.Reason == v1alpha1.InvalidPinReason && strings.Contains(c.Message, "was purged")
		})
		s.patchTrack("shop", `{"spec":{"pin":null}}`)
		s.trackUntil("shop", "Ready", func(t *v1alpha1.ReleaseTrack) bool {
			return isTrue(t.Status.Conditions, v1alpha1.ReadyCondition) && t.Status.ActiveRelease == second
		})
	}
	pins()

	// The operator ends, and somebody who can get around every policy takes the release away by force.
	uid = s.release(first).UID
	s.must(operator().Kill())
	s.kubectl("delete", "irel", first, "--wait=false")
	config, err := suite.cluster.OperatorConfig(s.ctx)
	s.must(err)
	mighty, err := client.New(config, client.Options{Scheme: suite.client.Scheme()})
	s.must(err)
	rel := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: first}}
	s.must(mighty.Patch(s.ctx, rel, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	s.must(startOperator(s.ctx))
	pins()
	s.Expect(s.kubectl("get", "irel", "-o", "name")).NotTo(gomega.ContainSubstring(first))
	gone()
	about := func(e entry.Entry) bool { return e.Object.UID == string(uid) }
	intended, purged := entries.of(entry.PurgeIntended, about), entries.of(entry.ReleasePurged, about)
	s.Expect(intended).To(gomega.HaveLen(1))
	s.Expect(purged).To(gomega.HaveLen(1))
	s.Expect(intended[0].Actor).To(gomega.HavePrefix("hmac-sha256:"))
}

// Who pinned is erased. What the ledger holds of it stays as it is, byte for byte, and tells nobody who it was.
func TestWhoActedIsErased(t *testing.T) {
	s := tell(t)
	entries := s.note()
	const who, officer = "canary-oncall-9b1c@acme.example", "canary-officer-9b1c@acme.example"
	oncall := s.person(who, "stele-oncall")
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "stele-privacy"}
	s.must(suite.client.Create(s.ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: s.ns + "-officer"}, RoleRef: ref,
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: officer}}}))
	first := s.commit(shop("1"))
	s.makeTrack("shop")
	s.live(first)
	s.live(s.commit(shop("2")))
	s.kubectl(append([]string{"patch", "rtrack", "shop", "--type=merge", "-p",
		`{"metadata":{"annotations":{"stele.dev/actor":"` + who + `"}},"spec":{"pin":"` + first + `"}}`}, oncall...)...)
	s.live(first)
	s.trackUntil("shop", "nobody's name", func(t *v1alpha1.ReleaseTrack) bool { return t.Annotations[v1alpha1.ActorAnnotation] == "" })
	ours := func(e entry.Entry) bool { return e.Object.Namespace == s.ns }
	s.Eventually(func() []entry.Entry { return entries.of(entry.TrackPinned, ours) }).Should(gomega.HaveLen(1))
	pinned := entries.of(entry.TrackPinned, ours)[0]
	before, id := entries.bytes(pinned.Key), entry.ID(pinned.Key)
	kept := &corev1.Secret{}
	s.must(suite.client.Get(s.ctx, client.ObjectKey{Namespace: testkit.OperatorNamespace, Name: entry.ActorName(pinned.Key)}, kept))
	payload, err := actors.Check(kept, pinned.Actor)
	s.must(err)
	s.Expect(payload.Actor).To(gomega.Equal(who))
	names := map[string]string{"who pinned": who, "who erases": officer}
	s.nowhere(names)

	const unknown = "00000000000000000000000000000000"
	as := []string{"--as=" + officer, "--as-group=system:authenticated"}
	s.kubectl(append([]string{"annotate", "aledger", "cluster", v1alpha1.EraseAnnotation + "=" + id + "," + unknown, v1alpha1.ActorAnnotation + "=" + officer}, as...)...)
	ledger := &v1alpha1.AuditLedger{}
	s.Eventually(func() map[string]string {
		s.must(suite.client.Get(s.ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, ledger))
		return ledger.Annotations
	}).ShouldNot(gomega.Or(gomega.HaveKey(v1alpha1.EraseAnnotation), gomega.HaveKey(v1alpha1.ActorAnnotation)))
	err = suite.client.Get(s.ctx, client.ObjectKeyFromObject(kept), &corev1.Secret{})
	s.Expect(client.IgnoreNotFound(err)).To(gomega.Succeed())
	s.Expect(err).To(gomega.HaveOccurred(), "the Secret is still there")
	of := func(e entry.Entry) bool { return e.Details["id"] == id || e.Details["id"] == unknown }
	s.Eventually(func() []entry.Entry { return entries.of(entry.ActorErased, of) }).Should(gomega.HaveLen(1))
	erased := entries.of(entry.ActorErased, of)[0]
	s.Expect(erased.Details).To(gomega.HaveKeyWithValue("key", pinned.Key))
	s.Expect(entries.bytes(pinned.Key)).To(gomega.Equal(before))
	s.Eventually(func() string { return s.kubectl("get", "events.events.k8s.io", "-A", "-o", "yaml") }).Should(gomega.ContainSubstring("NothingToErase"))

	// The officer's own name is kept apart too, and can be erased like any other.
	s.must(suite.client.Get(s.ctx, client.ObjectKey{Namespace: testkit.OperatorNamespace, Name: entry.ActorName(erased.Key)}, kept))
	payload, err = actors.Check(kept, erased.Actor)
	s.must(err)
	s.Expect(payload.Actor).To(gomega.Equal(officer))
	s.nowhere(names)
	s.Expect(s.kubectl("get", "aledger", "-o", "yaml", "--show-managed-fields")).NotTo(gomega.ContainSubstring(officer))
}
