package envtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
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

func push(t *testing.T, s *imageserver.Server, image string) string {
	t.Helper()
	digest, err := s.Push(image)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// imageShop is a shop whose image is in a registry; greeting is in its ConfigMap.
func imageShop(s *imageserver.Server, tag, greeting string) map[string]string {
	return map[string]string{
		"deploy/config.yaml":  configMap("web-config", fmt.Sprintf("greeting: %q", greeting)),
		"deploy/web.yaml":     strings.ReplaceAll(deployment("web", tag, ""), "shop.example/web", s.Host()+"/shop/web"),
		"deploy/service.yaml": service("web"),
	}
}

// resolving is a track of the default gate.
func resolving(ns string) *v1alpha1.ReleaseTrack {
	track := newTrack(ns, "shop", ns)
	track.Spec.Gates = v1alpha1.Gates{}
	return track
}

func pin(name string) func(*v1alpha1.ReleaseTrack) {
	return func(t *v1alpha1.ReleaseTrack) { t.Spec.Pin = name }
}

// untilRuns waits until the one Deployment of the namespace that belongs to a run is of an image.
func untilRuns(t *testing.T, ns, release string, run int, image string) {
	t.Helper()
	until(t, patience, func(ctx context.Context) error {
		list := &appsv1.DeploymentList{}
		of := client.MatchingLabels{v1alpha1.ReleaseLabel: release, v1alpha1.RunLabel: fmt.Sprint(run)}
		if err := suite.api.List(ctx, list, client.InNamespace(ns), of); err != nil {
			return err
		}
		if len(list.Items) != 1 {
			return fmt.Errorf("%d Deployments of %s/%d", len(list.Items), release, run)
		}
		if got := list.Items[0].Spec.Template.Spec.Containers[0].Image; got != image {
			return fmt.Errorf("%s/%d runs %s, want %s", release, run, got, image)
		}
		if selects, err := selected(ctx, ns, "web"); err != nil || selects != fmt.Sprintf("%s/%d", release, run) {
			return fmt.Errorf("the Service selects %s: %w", selects, err)
		}
		return nil
	})
}

// A tag is resolved when the release is made, recorded, and every later run is of the same image, with the registry down too.
func TestTagsAreResolvedOnce(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	image := registry.Host() + "/shop/web:stable"
	firstDigest := push(t, registry, "shop/web:stable")
	first := commit(t, repo, imageShop(registry, "stable", "hello"))
	startOperator(t, operatorOptions{}, ns)
	create(t, resolving(ns))
	untilLive(t, ns, "shop", first)
	untilRuns(t, ns, releaseOf("shop", first), 1, image+"@"+firstDigest)
	rel, err := getRelease(t.Context(), ns, releaseOf("shop", first))
	if err != nil {
		t.Fatal(err)
	}
	if len(rel.Spec.Images) != 1 || rel.Spec.Images[0].Digest != firstDigest || rel.Status.Images != nil || !isTrue(rel.Status.Conditions, v1alpha1.SelfContainedCondition) {
		t.Errorf("spec.images %+v, status.images %+v\n\t%s", rel.Spec.Images, rel.Status.Images, describe(rel.Status.Conditions))
	}

	// The tag is moved. That alone changes nothing; with the next commit the new image comes, although nothing else differs.
	secondDigest := push(t, registry, "shop/web:stable")
	poke(t, ns, "shop")
	second := commit(t, repo, with(imageShop(registry, "stable", "hello"), "deploy/notes.yaml", "# a comment\n"))
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	untilRuns(t, ns, releaseOf("shop", second), 1, image+"@"+secondDigest)
	if n := len(releasesOf(t, ns)); n != 2 {
		t.Errorf("%d releases of two commits", n)
	}

	// A third commit without any difference, and an unmoved tag: nothing to run.
	third := commit(t, repo, with(imageShop(registry, "stable", "hello"), "deploy/notes.yaml", "# another comment\n"))
	poke(t, ns, "shop")
	untilPhase(t, ns, releaseOf("shop", third), v1alpha1.PhaseSkipped)

	registry.Stop()
	updateTrack(t, ns, "shop", pin(releaseOf("shop", first)))
	untilRuns(t, ns, releaseOf("shop", first), 2, image+"@"+firstDigest)
}

// With the registry down, the new release is Pending and nothing else: what runs goes on, newer commits replace it, a pin works, and
// it runs as soon as the registry is there.
func TestRegistryDown(t *testing.T) {
	t.Parallel()
	ns, other := newNamespace(t), newNamespace(t)
	registry := newRegistry(t)
	repo := newRepo(t, ns)
	firstDigest := push(t, registry, "shop/web:1")
	first := commit(t, repo, imageShop(registry, "1", "hello"))
	startOperator(t, operatorOptions{}, ns, other)
	create(t, resolving(ns))
	untilLive(t, ns, "shop", first)

	registry.Stop()
	second := commit(t, repo, imageShop(registry, "2", "hello"))
	poke(t, ns, "shop")
	untilCondition(t, releaseConditions(ns, releaseOf("shop", second)), v1alpha1.AcceptedCondition, metav1.ConditionFalse,
		v1alpha1.RegistryUnreachableReason, registry.Host()+"/shop/web:2", "cannot be connected to")
	untilPhase(t, ns, releaseOf("shop", second), v1alpha1.PhasePending)
	untilCondition(t, trackConditions(ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.RegistryUnreachableReason)
	if err := isServed(t.Context(), ns, releaseOf("shop", first)+"/1"); err != nil {
		t.Error(err)
	}

	// Other tracks go on, and a newer commit replaces it at once.
	away := newRepo(t, other)
	elsewhere := commit(t, away, shop("web", "1"))
	create(t, newTrack(other, "shop", other))
	untilLive(t, other, "shop", elsewhere)
	third := commit(t, repo, imageShop(registry, "3", "hello"))
	poke(t, ns, "shop")
	untilPhase(t, ns, releaseOf("shop", second), v1alpha1.PhaseSkipped)
	untilCondition(t, releaseConditions(ns, releaseOf("shop", third)), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.RegistryUnreachableReason)

	// A rollback needs no registry.
	updateTrack(t, ns, "shop", pin(releaseOf("shop", first)))
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		track.Annotations = map[string]string{v1alpha1.RestartAnnotation: time.Now().Format(time.RFC3339)}
	})
	untilRuns(t, ns, releaseOf("shop", first), 2, registry.Host()+"/shop/web:1@"+firstDigest)

	// The registry comes back, without the tag, and then with it.
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	updateTrack(t, ns, "shop", pin(""))
	untilCondition(t, releaseConditions(ns, releaseOf("shop", third)), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.ImageNotFoundReason, "web:3")
	thirdDigest := push(t, registry, "shop/web:3")
	untilLive(t, ns, "shop", third)
	untilRuns(t, ns, releaseOf("shop", third), 1, registry.Host()+"/shop/web:3@"+thirdDigest)
	rel, err := getRelease(t.Context(), ns, releaseOf("shop", third))
	if err != nil {
		t.Fatal(err)
	}
	if len(rel.Spec.Images) != 1 || rel.Spec.Images[0].Digest != "" || len(rel.Status.Images) != 1 || rel.Status.Images[0].Digest != thirdDigest {
		t.Errorf("spec.images %+v, status.images %+v", rel.Spec.Images, rel.Status.Images)
	}

	// The tag is moved, the operator starts anew: another run is of the same image.
	push(t, registry, "shop/web:3")
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) {
		track.Annotations[v1alpha1.RestartAnnotation] = "again"
	})
	untilRuns(t, ns, releaseOf("shop", third), 2, registry.Host()+"/shop/web:3@"+thirdDigest)
}

func isServed(ctx context.Context, ns, run string) error {
	selects, err := selected(ctx, ns, "web")
	if err == nil && selects != run {
		return fmt.Errorf("the Service selects %s, want %s", selects, run)
	}
	return err
}

func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}

// A registry that hangs holds up no pin of the same track.
func TestRegistryHangs(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	first := commit(t, repo, shop("web", "1"))
	startOperator(t, operatorOptions{}, ns)
	create(t, newTrack(ns, "shop", ns))
	untilLive(t, ns, "shop", first)
	second := commit(t, repo, shop("web", "2"))
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)

	registry.Instead(hang)
	third := commit(t, repo, imageShop(registry, "3", "hello"))
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Gates.Images = v1alpha1.ImagesResolve })
	untilCondition(t, releaseConditions(ns, releaseOf("shop", third)), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.ResolvingImagesReason)
	began := time.Now()
	updateTrack(t, ns, "shop", pin(releaseOf("shop", first)))
	until(t, patience, func(ctx context.Context) error { return isServed(ctx, ns, releaseOf("shop", first)+"/2") })
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("a rollback took %s with a registry that hangs", took)
	}
}

// The pull Secret of the pod, or of its service account, is used; one in the release itself too.
func TestPullSecrets(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	digest := push(t, registry, "shop/web:1")
	registry.Require("reader", "open-sesame")
	config, err := json.Marshal(map[string]any{"auths": map[string]any{registry.Host(): map[string]string{"username": "reader", "password": "open-sesame"}}})
	if err != nil {
		t.Fatal(err)
	}
	private := func(extra string) map[string]string {
		files := imageShop(registry, "1", "hello")
		files["deploy/web.yaml"] = strings.Replace(files["deploy/web.yaml"], "    spec:\n      containers", "    spec:\n"+extra+"      containers", 1)
		return files
	}
	startOperator(t, operatorOptions{}, ns)
	first := commit(t, repo, private("      imagePullSecrets:\n      - name: pull\n"))
	create(t, resolving(ns))
	untilCondition(t, releaseConditions(ns, releaseOf("shop", first)), v1alpha1.AcceptedCondition, metav1.ConditionFalse,
		v1alpha1.RegistryUnauthorizedReason, "wants credentials", "Secret pull does not exist in namespace "+ns)
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pull"}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: config}})
	untilLive(t, ns, "shop", first)
	untilRuns(t, ns, releaseOf("shop", first), 1, registry.Host()+"/shop/web:1@"+digest)

	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "puller"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}}})
	second := commit(t, repo, private("      serviceAccountName: puller\n"))
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)

	files := private("      imagePullSecrets:\n      - name: own\n")
	files["deploy/secret.yaml"] = fmt.Sprintf("apiVersion: v1\nkind: Secret\ntype: kubernetes.io/dockerconfigjson\nmetadata:\n  name: own\nstringData:\n  .dockerconfigjson: %q\n", config)
	third := commit(t, repo, files)
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", third)
	rel, err := getRelease(t.Context(), ns, releaseOf("shop", third))
	if err != nil || rel.Spec.Images[0].Digest != digest {
		t.Errorf("spec.images %+v, %v", rel.Spec.Images, err)
	}
}

// Ignore leaves tags as they are, asks nobody, and says so.
func TestTagsAreIgnored(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	push(t, registry, "shop/web:1")
	first := commit(t, repo, imageShop(registry, "1", "hello"))
	startOperator(t, operatorOptions{}, ns)
	create(t, newTrack(ns, "shop", ns))
	untilLive(t, ns, "shop", first)
	untilRuns(t, ns, releaseOf("shop", first), 1, registry.Host()+"/shop/web:1")
	untilCondition(t, releaseConditions(ns, releaseOf("shop", first)), v1alpha1.SelfContainedCondition, metav1.ConditionFalse,
		v1alpha1.ExternalDependenciesReason, "image "+registry.Host()+"/shop/web:1, by a tag that can be moved")
	if asked := registry.Asked(); len(asked) > 0 {
		t.Errorf("the registry was asked: %v", asked)
	}

	// Switched to Resolve, the same commit becomes another release, of the image that the tag names now.
	updateTrack(t, ns, "shop", func(track *v1alpha1.ReleaseTrack) { track.Spec.Gates.Images = v1alpha1.ImagesResolve })
	until(t, patience, func(ctx context.Context) error {
		track, err := getTrack(ctx, ns, "shop")
		if err != nil {
			return err
		}
		rel, err := getRelease(ctx, ns, track.Status.ActiveRelease)
		if err != nil || rel.Name == releaseOf("shop", first) || rel.Spec.Source.Commit != first || rel.Spec.Images[0].Digest == "" {
			return fmt.Errorf("release %s of %s is active, with images %+v: %w", rel.Name, rel.Spec.Source.Commit, rel.Spec.Images, err)
		}
		return nil
	})
}

// The content of a StatefulSet is that of its image too: a tag that was moved replaces its pods with the next commit.
func TestTagOfAStatefulSet(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	sets := func(greeting string) map[string]string {
		return map[string]string{"deploy/db.yaml": strings.Replace(database, "shop.example/db", registry.Host()+"/shop/db", 1),
			"deploy/config.yaml": configMap("other", fmt.Sprintf("greeting: %q", greeting))}
	}
	template := func(ctx context.Context) (content, image string, err error) {
		set, err := get(ctx, ns, "db", &appsv1.StatefulSet{})
		if err != nil {
			return "", "", err
		}
		return set.Spec.Template.Labels[v1alpha1.ContentLabel], set.Spec.Template.Spec.Containers[0].Image, nil
	}
	startOperator(t, operatorOptions{}, ns)
	var contents []string
	for n, move := range []bool{true, true, false} {
		if move {
			push(t, registry, "shop/db:1")
		}
		id := commit(t, repo, sets(fmt.Sprint(n)))
		if n == 0 {
			create(t, resolving(ns))
		} else {
			poke(t, ns, "shop")
		}
		untilLive(t, ns, "shop", id)
		content, image, err := template(t.Context())
		if err != nil || !strings.Contains(image, "/shop/db:1@sha256:") {
			t.Fatalf("runs %s: %v", image, err)
		}
		contents = append(contents, content)
	}
	if contents[0] == contents[1] || contents[1] != contents[2] {
		t.Errorf("contents %v: want another one after the tag was moved, and the same when it was not", contents)
	}
}
