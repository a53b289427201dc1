package releasetrack

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/images"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/policy"
	"github.com/stele-dev/stele/internal/release"
	"github.com/stele-dev/stele/test/testkit/imageserver"
)

func newRegistry(t *testing.T) *imageserver.Server {
	t.Helper()
	s, err := imageserver.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func pushImage(t *testing.T, s *imageserver.Server, image string) string {
	t.Helper()
	digest, err := s.Push(image)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// jobOf is a manifest of a pod that runs an image.
func jobOf(image, extra string) string {
	return fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n%s"+
		"      containers: [{name: a, image: %q}]\n", extra, image)
}

// pendingOf makes the release of a commit with one manifest, as ingesting it does.
func pendingOf(t *testing.T, r *Reconciler, manifest string, digests ...v1alpha1.ResolvedImage) (*scope, *v1alpha1.ImmutableRelease) {
	t.Helper()
	s := newScopeOf(newTrack())
	l := lookWith(t, s.track, commitID("1"))
	content, err := renderCommit(manifests(manifest), l.request)
	if err != nil || content.refusal != nil {
		t.Fatalf("%v %v", err, content.refusal)
	}
	content.digests = digests
	l.found.newest = content
	if _, err := r.ingestCommits(t.Context(), s, l); err != nil {
		t.Fatal(err)
	}
	for _, rel := range s.releases {
		return s, rel
	}
	t.Fatal("no release was made")
	return nil, nil
}

func withRegistries(r *Reconciler) *Reconciler {
	r.registries, r.permissions = newRegistries(r.Live, onLoopback()), newPermissions(r.Live)
	return r
}

func TestMustResolve(t *testing.T) {
	for _, tc := range []struct {
		gate, floor v1alpha1.ImageGate
		want        bool
	}{
		{"", "", true},
		{v1alpha1.ImagesResolve, v1alpha1.ImagesIgnore, true},
		{v1alpha1.ImagesRequire, "", true},
		{v1alpha1.ImagesIgnore, "", false},
		{v1alpha1.ImagesIgnore, v1alpha1.ImagesIgnore, false},
		{v1alpha1.ImagesIgnore, v1alpha1.ImagesResolve, true},
		{v1alpha1.ImagesIgnore, v1alpha1.ImagesRequire, true},
	} {
		if got := mustResolve(v1alpha1.Gates{Images: tc.gate}, policy.Floor{Images: tc.floor}); got != tc.want {
			t.Errorf("gate %q, floor %q: %v", tc.gate, tc.floor, got)
		}
	}
}

func TestResolveImages(t *testing.T) {
	registry := newRegistry(t)
	digest := pushImage(t, registry, "web:1")
	r := withRegistries(newReconciler(t))
	s, rel := pendingOf(t, r, jobOf(registry.Host()+"/web:1", ""))
	if !release.LacksDigests(rel) {
		t.Fatal("it has a digest already")
	}
	// Looked at before: what was worked out of it must not stay.
	if _, _, err := r.content(t.Context(), rel); err != nil {
		t.Fatal(err)
	}
	if err := r.resolveImages(t.Context(), s, rel); err != nil {
		t.Fatal(err)
	}
	want := []v1alpha1.ResolvedImage{{Name: registry.Host() + "/web", Tag: "1", Digest: digest}}
	stored := &v1alpha1.ImmutableRelease{}
	if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(rel), stored); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored.Status.Images); diff != "" || stored.Status.Run != 0 {
		t.Errorf("run %d; %s", stored.Status.Run, diff)
	}
	bundle, err := r.bundle(t.Context(), stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{}, bundle.External()); diff != "" {
		t.Error(diff)
	}
	if len(s.memory.questions) > 0 {
		t.Error("the question stays")
	}
}

func TestResolveImagesIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		instead func(http.ResponseWriter, *http.Request) bool
		image   string
		reason  string
	}{
		"no such tag":                {nil, "HOST/web:2", v1alpha1.ImageNotFoundReason},
		"unauthorized":               {func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(401); return true }, "HOST/web:1", v1alpha1.RegistryUnauthorizedReason},
		"down":                       {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, "HOST/web:1", v1alpha1.RegistryUnreachableReason},
		"an address that is refused": {nil, "169.254.169.254/web:1", v1alpha1.InvalidImageReason},
	} {
		t.Run(name, func(t *testing.T) {
			registry := newRegistry(t)
			pushImage(t, registry, "web:1")
			registry.Instead(tc.instead)
			r := withRegistries(newReconciler(t))
			s, rel := pendingOf(t, r, jobOf(strings.Replace(tc.image, "HOST", registry.Host(), 1), ""))
			problem, ok := kube.AsRefusal(r.resolveImages(t.Context(), s, rel))
			if !ok || problem.Reason != tc.reason || !strings.Contains(problem.Message, "image ") {
				t.Errorf("got %+v, want %s", problem, tc.reason)
			}
			if rel.Status.Images != nil || len(s.memory.questions) > 0 {
				t.Errorf("images %v, questions %v", rel.Status.Images, s.memory.questions)
			}
		})
	}
}

// What a registry has told is not asked again while other images are missing: with many of them, or a registry that answers now and
// then, there would be no end.
func TestResolveImagesGetsOn(t *testing.T) {
	registry := newRegistry(t)
	first, second := pushImage(t, registry, "a:1"), pushImage(t, registry, "b:1")
	silent := "/b/"
	registry.Instead(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, silent) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	r := withRegistries(newReconciler(t))
	s, rel := pendingOf(t, r, jobOf(registry.Host()+"/a:1", "      initContainers: [{name: b, image: \""+registry.Host()+"/b:1\"}]\n"))
	if problem, ok := kube.AsRefusal(r.resolveImages(t.Context(), s, rel)); !ok || !strings.Contains(problem.Message, "/b:1") {
		t.Fatalf("got %+v", problem)
	}
	silent = "/a/"
	if err := r.resolveImages(t.Context(), s, rel); err != nil {
		t.Fatal(err)
	}
	want := []v1alpha1.ResolvedImage{{Name: registry.Host() + "/a", Tag: "1", Digest: first}, {Name: registry.Host() + "/b", Tag: "1", Digest: second}}
	if diff := cmp.Diff(want, rel.Status.Images); diff != "" || len(s.memory.told) > 0 {
		t.Errorf("remembered %v; %s", s.memory.told, diff)
	}
}

// A registry that is slow is asked in the background: the reconcile goes on, and the answer wakes the track and ends the wait.
func TestResolveImagesLate(t *testing.T) {
	registry, answer := newRegistry(t), make(chan struct{})
	digest := pushImage(t, registry, "web:1")
	registry.Instead(func(http.ResponseWriter, *http.Request) bool {
		<-answer
		return false
	})
	r := withRegistries(newReconciler(t))
	s, rel := pendingOf(t, r, jobOf(registry.Host()+"/web:1", ""))
	step := release.Step{Kind: release.Resolve, Release: rel.Name, Run: 1}
	s.plan.Steps = []release.Step{step}
	began := time.Now()
	if _, err := r.act(t.Context(), s); err != nil || time.Since(began) > 5*time.Second {
		t.Fatalf("%v after %s", err, time.Since(began))
	}
	if p := s.memory.problemOf(rel.Name); p == nil || p.Reason != v1alpha1.ResolvingImagesReason {
		t.Fatalf("blocked by %+v", p)
	}
	asked := len(registry.Asked())
	s.done = map[attempt]bool{}
	if did, err := r.try(t.Context(), s, step); did || err != nil {
		t.Errorf("before there is an answer: %v, %v", did, err)
	}
	close(answer)
	select {
	case <-r.Git.Events():
	case <-time.After(10 * time.Second):
		t.Fatal("the answer wakes nobody")
	}
	if did, err := r.try(t.Context(), s, step); !did || err != nil {
		t.Errorf("after the answer: %v, %v", did, err)
	}
	if len(rel.Status.Images) != 1 || rel.Status.Images[0].Digest != digest || asked == 0 {
		t.Errorf("images %v", rel.Status.Images)
	}
}

// What the registry told when the release was made is in its spec; a release that lacks a digest shares no workloads.
func TestReleasesRecordDigests(t *testing.T) {
	told := v1alpha1.ResolvedImage{Name: "registry.example.eu/web", Tag: "1", Digest: "sha256:" + strings.Repeat("a", 64)}
	r := newReconciler(t)
	_, rel := pendingOf(t, withRegistries(r), jobOf("registry.example.eu/web:1", ""), told)
	want := []v1alpha1.ReleaseImage{{Name: told.Name, Tag: told.Tag, Digest: told.Digest}}
	if diff := cmp.Diff(want, rel.Spec.Images); diff != "" {
		t.Error(diff)
	}
	s := newScopeOf(newTrack(), rel)
	for name, tc := range map[string]struct {
		digests []v1alpha1.ResolvedImage
		gate    v1alpha1.ImageGate
		want    string
	}{
		"the same image":         {[]v1alpha1.ResolvedImage{told}, "", rel.Name},
		"not known":              {nil, "", ""},
		"not known and not ours": {nil, v1alpha1.ImagesIgnore, ""}, // the other one knows
	} {
		l := lookWith(t, s.track, commitID("2"))
		l.request.shape.Gates.Images = tc.gate
		content, err := renderCommit(manifests(jobOf("registry.example.eu/web:1", "")), l.request)
		if err != nil {
			t.Fatal(err)
		}
		content.digests = tc.digests
		next, err := r.newRelease(t.Context(), s, l, &chain{releases: []*v1alpha1.ImmutableRelease{rel}}, l.found.commits[0], content)
		if err != nil || next.Spec.WorkloadsFrom != tc.want {
			t.Errorf("%s: shares those of %q, want %q; %v", name, next.Spec.WorkloadsFrom, tc.want, err)
		}
	}
}

// The registry is asked with what the pods would pull with: what the release holds comes before what the namespace has.
func TestPullCredentials(t *testing.T) {
	registry := newRegistry(t)
	digest := pushImage(t, registry, "web:1")
	registry.Require("reader", "open-sesame")
	config := func(password string) []byte {
		return []byte(fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, registry.Host(), base64.StdEncoding.EncodeToString([]byte("reader:"+password))))
	}
	secret := func(ns, name, password string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Type: corev1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{corev1.DockerConfigJsonKey: config(password)}}
	}
	account := func(name, pull string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: pull}}}
	}
	held := "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\nmetadata: {name: own}\ndata:\n  .dockerconfigjson: " +
		base64.StdEncoding.EncodeToString(config("open-sesame")) + "\n"
	for name, tc := range map[string]struct {
		there []client.Object
		pod   string
		more  string
		says  string
	}{
		"named by the pod":               {[]client.Object{secret("shop", "pull", "open-sesame")}, "      imagePullSecrets: [{name: pull}]\n", "", ""},
		"of the default service account": {[]client.Object{secret("shop", "pull", "open-sesame"), account("default", "pull")}, "", "", ""},
		"of another service account":     {[]client.Object{secret("shop", "pull", "open-sesame"), account("a", "pull")}, "      serviceAccountName: a\n", "", ""},
		"held by the release":            {[]client.Object{secret("shop", "own", "old")}, "      imagePullSecrets: [{name: own}]\n", held, ""},
		"one that names a Secret has not those of its account": {[]client.Object{secret("shop", "pull", "open-sesame"), account("default", "pull")},
			"      imagePullSecrets: [{name: missing}]\n", "", "Secret missing does not exist in namespace shop"},
		"of another namespace": {[]client.Object{secret("other", "pull", "open-sesame")}, "      imagePullSecrets: [{name: pull}]\n", "", "Secret pull does not exist in namespace shop"},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := renderCommit(manifests(jobOf(registry.Host()+"/web:1", tc.pod)+tc.more), lookRequest{track: key("shop", "shop"), path: "deploy"})
			if err != nil || content.refusal != nil {
				t.Fatalf("%v %v", err, content.refusal)
			}
			digests, problems := newRegistries(newReconciler(t, tc.there...).Live, onLoopback()).ask(t.Context(), "shop", content.bundle)
			if tc.says == "" {
				if len(problems) > 0 || len(digests) != 1 || digests[0].Digest != digest {
					t.Errorf("got %v, %v", digests, problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Kind != images.Unauthorized || !strings.Contains(problems[0].Error(), tc.says) {
				t.Errorf("got %v, %v", digests, problems)
			}
		})
	}
}

// Only gate Resolve asks.
func TestWhoIsAsked(t *testing.T) {
	registry := newRegistry(t)
	pushImage(t, registry, "web:1")
	for gate, want := range map[v1alpha1.ImageGate]int{"": 1, v1alpha1.ImagesResolve: 1, v1alpha1.ImagesRequire: 0, v1alpha1.ImagesIgnore: 0} {
		r := withRegistries(newReconciler(t))
		r.Git.registries = r.registries
		l := lookWith(t, newTrack(), commitID("1"))
		l.request.shape.Gates.Images = gate
		content, err := renderCommit(manifests(jobOf(registry.Host()+"/web:1", "")), l.request)
		if err != nil {
			t.Fatal(err)
		}
		l.found.newest = content
		r.Git.resolve(t.Context(), l)
		if got := len(l.found.newest.digests); got != want {
			t.Errorf("%q: %d digests, want %d", gate, got, want)
		}
	}
	failed := &look{err: errors.New("no repository")}
	(&Follower{registries: &registries{}}).resolve(t.Context(), failed)
}
