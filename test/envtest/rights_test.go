package envtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// A track in a namespace that is not onboarded says which right is missing, leaves nothing behind, and goes on by itself.
func TestNotOnboarded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		private bool
		words   string
	}{
		"public repository":  {false, "the operator may not create immutablereleases.stele.dev in namespace %s: run make onboard NAMESPACE=%[1]s"},
		"private repository": {true, "the operator may not get secrets in namespace %s: run make onboard NAMESPACE=%[1]s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := newForeignNamespace(t)
			repo := newRepo(t, ns)
			first := commit(t, repo, shop("web", "1"))
			startOperator(t, operatorOptions{}, ns)
			track := newTrack(ns, "shop", ns)
			if tc.private {
				withCredentials(t, track)
			}
			create(t, track)
			found := untilCondition(t, trackConditions(ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.OperatorNotAllowedReason, fmt.Sprintf(tc.words, ns))
			untilCondition(t, trackConditions(ns, "shop"), v1alpha1.SourceFetchedCondition, metav1.ConditionFalse, v1alpha1.OperatorNotAllowedReason)
			if strings.Contains(found.Message, "system:") {
				t.Errorf("the message names a user: %s", found.Message)
			}
			if left := archivesOf(t, ns); len(left) > 0 {
				t.Errorf("archives of releases that could not be made: %v", left)
			}
			onboard(t, ns)
			untilLive(t, ns, "shop", first)
		})
	}
}

// Where the rights were taken away, what runs goes on, a commit and a rollback say what is missing, and so does the deletion of the track.
func TestRightsThatAreTakenAway(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	second := s.commit(shop("web", "2"))
	s.live(second)
	untilPhase(t, s.ns, releaseOf("shop", s.first), v1alpha1.PhaseRetired)
	s.offboard()

	third := s.commit(shop("web", "3"))
	serves := "release " + releaseOf("shop", second) + " serves on"
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.OperatorNotAllowedReason, "create immutablereleases.stele.dev", serves)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = releaseOf("shop", s.first) })
	untilCondition(t, releaseConditions(s.ns, releaseOf("shop", s.first)), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.OperatorNotAllowedReason,
		"the operator may not ", "in namespace "+s.ns+": run make onboard") // which right comes first depends on what was asked a moment ago
	if run, err := selected(t.Context(), s.ns, "web"); err != nil || run != releaseOf("shop", second)+"/1" {
		t.Errorf("the Service selects %s, %v", run, err)
	}

	onboard(t, s.ns)
	until(t, patience, func(ctx context.Context) error { return isServed(ctx, s.ns, releaseOf("shop", s.first)+"/2") })
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = "" })
	s.live(third)

	s.offboard()
	track, err := getTrack(t.Context(), s.ns, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := suite.api.Delete(t.Context(), track); err != nil {
		t.Fatal(err)
	}
	untilCondition(t, trackConditions(s.ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.DeletingReason, "the operator may not delete deployments.apps in namespace "+s.ns)
	onboard(t, s.ns)
	until(t, patience, func(ctx context.Context) error { return trackGone(ctx, s.ns) })
	if left := archivesOf(t, s.ns); len(left) > 0 {
		t.Errorf("archives are left: %v", left)
	}
}

// A namespace that is going has lost its RoleBindings, perhaps before its tracks: they must not hold it for ever. Nor must a track that
// never was in an onboarded one.
func TestTracksGoWithoutRights(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T) string{
		"the namespace is going": func(t *testing.T) string {
			s := newScene(t)
			if err := suite.api.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}); err != nil {
				t.Fatal(err)
			}
			s.offboard()
			return s.ns
		},
		"it never was onboarded": func(t *testing.T) string {
			ns := newForeignNamespace(t)
			commit(t, newRepo(t, ns), shop("web", "1"))
			startOperator(t, operatorOptions{}, ns)
			create(t, newTrack(ns, "shop", ns))
			untilCondition(t, trackConditions(ns, "shop"), v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.OperatorNotAllowedReason)
			return ns
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := prepare(t)
			track, err := getTrack(t.Context(), ns, "shop")
			if err != nil {
				t.Fatal(err)
			}
			releases := releasesOf(t, ns)
			for i := range releases { // as the namespace controller does
				if err := suite.api.Delete(t.Context(), &releases[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := suite.api.Delete(t.Context(), track); err != nil {
				t.Fatal(err)
			}
			until(t, patience, func(ctx context.Context) error { return trackGone(ctx, ns) })
			if left := releasesOf(t, ns); len(left) > 0 {
				t.Errorf("%d releases are left", len(left))
			}
		})
	}
}

// A policy that denies with the reason Forbidden, and with the very words of RBAC, is not taken for a right that the operator lacks.
func TestPolicyThatSpeaksLikeRBAC(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const words = `forbidden: User "somebody" cannot create resource "configmaps" in API group "" in the namespace "elsewhere"`
	name := "rbac-" + s.ns
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: ptr.To(admissionv1.Fail),
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}}}}}},
		Validations: []admissionv1.Validation{{Expression: "false", Message: words, Reason: ptr.To(metav1.StatusReasonForbidden)}}}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.ns}}}}}
	create(t, policy, binding)
	t.Cleanup(func() {
		_ = suite.api.Delete(context.Background(), binding)
		_ = suite.api.Delete(context.Background(), policy)
	})
	until(t, patience, func(ctx context.Context) error {
		err := suite.api.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "probe"}}, client.DryRunAll)
		if !apierrors.IsForbidden(err) {
			return fmt.Errorf("the policy is not in force yet: %w", err)
		}
		return nil
	})
	second := s.commit(shop("web", "2"))
	untilCondition(t, releaseConditions(s.ns, releaseOf("shop", second)), v1alpha1.AcceptedCondition, metav1.ConditionFalse, v1alpha1.RefusedByClusterReason, name)
}

// No informer of Secrets is ever started, by a typed read through the cache for example: through a whole life of a track that has
// Secrets of Git, of pulls and of its own, each request names the Secret that it is about.
func TestSecretsAreReadByNameOnly(t *testing.T) {
	t.Parallel()
	ns, registry := newNamespace(t), newRegistry(t)
	repo := newRepo(t, ns)
	push(t, registry, "shop/web:1")
	registry.Require("reader", "open-sesame")
	config, err := json.Marshal(map[string]any{"auths": map[string]any{registry.Host(): map[string]string{"username": "reader", "password": "open-sesame"}}})
	if err != nil {
		t.Fatal(err)
	}
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pull"}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: config}})
	files := func(version string) map[string]string {
		files := imageShop(registry, "1", version)
		files["deploy/web.yaml"] = strings.Replace(files["deploy/web.yaml"], "    spec:\n      containers", "    spec:\n      imagePullSecrets: [{name: pull}]\n      containers", 1)
		files["deploy/own.yaml"] = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: own\nstringData:\n  version: \"" + version + "\"\n"
		files["deploy/kept.yaml"] = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: kept\n  annotations:\n    stele.dev/class: Stable\nstringData:\n  version: \"" + version + "\"\n"
		return files
	}
	seen := &secretRequests{}
	first := commit(t, repo, files("1"))
	startOperator(t, operatorOptions{transport: seen.wrap}, ns)
	track := resolving(ns)
	withCredentials(t, track)
	create(t, track)
	untilLive(t, ns, "shop", first)
	second := commit(t, repo, files("2"))
	poke(t, ns, "shop")
	untilLive(t, ns, "shop", second)
	untilPhase(t, ns, releaseOf("shop", first), v1alpha1.PhaseRetired)
	updateTrack(t, ns, "shop", pin(releaseOf("shop", first)))
	until(t, patience, func(ctx context.Context) error { return isServed(ctx, ns, releaseOf("shop", first)+"/2") })
	if track, err = getTrack(t.Context(), ns, "shop"); err == nil {
		err = suite.api.Delete(t.Context(), track)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, patience, func(ctx context.Context) error { return trackGone(ctx, ns) })

	named, others := seen.result()
	for _, r := range others {
		t.Errorf("Secrets are asked for without a name: %s", r)
	}
	for _, name := range []string{"git", "pull", "own-" + first[:10], "kept"} {
		if !named[name] {
			t.Errorf("Secret %s was not asked for, so this test sees nothing: %v", name, named)
		}
	}
}

// secretRequests are the requests about Secrets: the names that were asked for, and requests without a name that are no creation.
type secretRequests struct {
	mu     sync.Mutex
	named  map[string]bool
	others []string
}

func (s *secretRequests) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if _, rest, found := strings.Cut(req.URL.Path, "/secrets"); found {
			s.note(req, strings.Trim(rest, "/"))
		}
		return next.RoundTrip(req)
	})
}

func (s *secretRequests) note(req *http.Request, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named == nil {
		s.named = map[string]bool{}
	}
	if name != "" && !req.URL.Query().Has("watch") {
		s.named[name] = true
	} else if req.Method != http.MethodPost {
		s.others = append(s.others, req.Method+" "+req.URL.RequestURI())
	}
}

func (s *secretRequests) result() (named map[string]bool, others []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.named, s.others
}

// withCredentials lets a track read its repository over HTTPS, which takes a Secret.
func withCredentials(t *testing.T, track *v1alpha1.ReleaseTrack) {
	t.Helper()
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: track.Namespace, Name: "git"}, Data: suite.git.HTTPSecret()})
	track.Spec.Source.URL = suite.git.HTTPSURL(track.Namespace)
	track.Spec.Source.SecretRef = &v1alpha1.LocalObjectReference{Name: "git"}
}

// offboard takes the operator's rights in the namespace away, and waits until they are gone.
func (s *scene) offboard() {
	s.Helper()
	if err := suite.api.DeleteAllOf(s.Context(), &rbacv1.RoleBinding{}, client.InNamespace(s.ns), client.MatchingLabels{"app.kubernetes.io/part-of": "stele"}); err != nil {
		s.Fatal(err)
	}
	until(s.T, patience, func(ctx context.Context) error {
		allowed, err := operatorMay(ctx, s.ns)
		if err == nil && allowed {
			err = errors.New("the operator has its rights still")
		}
		return err
	})
}

// archivesOf names the archives of releases of a namespace.
func archivesOf(t *testing.T, namespace string) []string {
	t.Helper()
	list := &corev1.SecretList{}
	if err := suite.api.List(t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range list.Items {
		if strings.HasPrefix(s.Annotations["stele.dev/archive-of"], namespace+"/") {
			out = append(out, s.Name)
		}
	}
	return out
}
