package admission

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// TestSpecOfAReleaseIsWrittenOnce: not by a cluster administrator, and not by the operator, in any of the ways in which a spec may be changed.
func TestSpecOfAReleaseIsWrittenOnce(t *testing.T) {
	merge := func(patch string, sub ...string) func(ctx context.Context, i *identity) error {
		return func(ctx context.Context, i *identity) error {
			return i.patch(ctx, releases, ordinary, releaseName, patch, sub...)
		}
	}
	send := func(kind types.PatchType, body string) func(ctx context.Context, i *identity) error {
		return func(ctx context.Context, i *identity) error {
			options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
			if kind == types.ApplyPatchType {
				force := true
				options.Force, options.FieldManager = &force, "test"
			}
			_, err := i.dyn.Resource(releases).Namespace(ordinary).Patch(ctx, releaseName, kind, []byte(body), options)
			return err
		}
	}
	put := func(change func(spec map[string]any)) func(ctx context.Context, i *identity) error {
		return func(ctx context.Context, i *identity) error {
			u := mustGet(ctx, i, releases, ordinary, releaseName)
			change(u.Object["spec"].(map[string]any))
			_, err := i.dyn.Resource(releases).Namespace(ordinary).Update(ctx, u, dryUpdate)
			return err
		}
	}
	const commit = "3333333333333333333333333333333333333333"
	cases := map[string]func(ctx context.Context, i *identity) error{
		"changed value":            merge(`{"spec":{"source":{"commit":"` + commit + `"}}}`),
		"removed optional":         merge(`{"spec":{"previous":null}}`),
		"removed list":             merge(`{"spec":{"objects":null}}`),
		"added optional":           merge(`{"spec":{"workloadsFrom":"shop-0000000000"}}`),
		"null spec":                merge(`{"spec":null}`),
		"JSON patch":               send(types.JSONPatchType, `[{"op":"test","path":"/spec/track","value":"shop"},{"op":"replace","path":"/spec/track","value":"other"}]`),
		"server-side apply, force": send(types.ApplyPatchType, `{"apiVersion":"stele.dev/v1alpha1","kind":"ImmutableRelease","metadata":{"name":"`+releaseName+`"},"spec":{"track":"other","sequence":1}}`),
		"renamed key": put(func(spec map[string]any) {
			spec["mirror"] = spec["previous"]
			delete(spec, "previous")
		}),
		"reordered list": put(func(spec map[string]any) {
			list := spec["objects"].([]any)
			spec["objects"] = []any{list[1], list[0]}
		}),
		"swapped optional fields": put(func(spec map[string]any) {
			spec["images"] = []any{map[string]any{"name": "x", "tag": "1"}}
			delete(spec, "archive")
		}),
	}
	for name, attack := range cases {
		t.Run(name, func(t *testing.T) {
			for _, i := range []*identity{one(t, "masters"), one(t, "operator")} {
				if err := attack(t.Context(), i); !apierrors.IsInvalid(err) && deniedBy(err) == "" {
					t.Errorf("%s: %v", i.name, err)
				}
			}
		})
	}
}

// TestReleaseThatHasEnded can be deleted by who may delete, once the operator has said so, and is not made again by anybody else.
func TestReleaseThatHasEnded(t *testing.T) {
	operator, admin := one(t, "operator"), one(t, "masters")
	u := aRelease("idle")
	u.SetName("shop-4444444444")
	made, err := operator.dyn.Resource(releases).Namespace("idle").Create(t.Context(), u, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	condition := func(status string) {
		t.Helper()
		made.Object["status"] = map[string]any{"phase": "Retired", "conditions": []any{map[string]any{"type": "Deletable", "status": status, "reason": "Test",
			"message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}}}
		if made, err = operator.dyn.Resource(releases).Namespace("idle").UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	condition("False")
	if err := admin.delete(t.Context(), releases, "idle", u.GetName()); deniedBy(err) != "stele-releases" {
		t.Errorf("deleted while not Deletable: %v", err)
	}
	condition("True")
	if err := admin.delete(t.Context(), releases, "idle", u.GetName()); err != nil {
		t.Errorf("not deleted while Deletable: %v", err)
	}
	again := aRelease("idle")
	again.SetName("shop-5555555555")
	if err := admin.create(t.Context(), releases, again); deniedBy(err) != "stele-releases" {
		t.Errorf("made by an administrator: %v", err)
	}
}

// TestForgedTemplates: an object without our labels makes no pods with them.
func TestForgedTemplates(t *testing.T) {
	admin := one(t, "masters")
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string][]string{
		"apps/deployments": {"spec", "template"}, "apps/replicasets": {"spec", "template"}, "apps/statefulsets": {"spec", "template"},
		"apps/daemonsets": {"spec", "template"}, "batch/jobs": {"spec", "template"}, "replicationcontrollers": {"spec", "template"},
		"podtemplates": {"template"}, "batch/cronjobs": {"spec", "jobTemplate", "spec", "template"},
	}
	labels := map[string]any{"app": "x", "stele.dev/track": "shop", "stele.dev/release": "shop-0123456789"}
	asked := 0
	for _, k := range all {
		path, ok := paths[k.name()]
		if !ok {
			continue
		}
		asked++
		forged := with(k.as(plain, enforced, "forged"), labels, append(path, "metadata", "labels")...)
		if err := admin.create(t.Context(), k.gvr, forged); deniedBy(err) != "stele-forged-labels" {
			t.Errorf("create %s with labels in its template: %v", k.name(), err)
		}
		if err := admin.create(t.Context(), k.gvr, k.as(plain, enforced, "honest")); err != nil {
			t.Errorf("create %s: %v", k.name(), err)
		}
	}
	if asked != len(paths) {
		t.Errorf("%d of %d kinds were asked about", asked, len(paths))
	}
	web := all[indexOf(all, "apps/deployments")]
	patch := `{"spec":{"template":{"metadata":{"labels":{"stele.dev/run":"1"}}}}}`
	if err := admin.patch(t.Context(), web.gvr, enforced, plain, patch); deniedBy(err) != "stele-forged-labels" {
		t.Errorf("labels are added to a template: %v", err)
	}
	jobs := all[indexOf(all, "batch/cronjobs")]
	if err := admin.patch(t.Context(), jobs.gvr, enforced, plain, `{"spec":{"jobTemplate":{"metadata":{"labels":{"stele.dev/track":"shop"}}}}}`); deniedBy(err) != "stele-forged-labels" {
		t.Errorf("labels are added to the template of Jobs: %v", err)
	}
	sets := all[indexOf(all, "apps/statefulsets")]
	claim := map[string]any{"metadata": map[string]any{"name": "data", "labels": map[string]any{"stele.dev/track": "shop"}},
		"spec": map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}}}
	if err := admin.create(t.Context(), sets.gvr, with(sets.as(plain, enforced, "forged"), []any{claim}, "spec", "volumeClaimTemplates")); deniedBy(err) != "stele-forged-labels" {
		t.Errorf("labels are added to a claim template: %v", err)
	}
}

func indexOf(all []kind, name string) int {
	for n, k := range all {
		if k.name() == name {
			return n
		}
	}
	return -1
}

// TestForgedEndpoints: an EndpointSlice of somebody else would bring a Service other addresses.
func TestForgedEndpoints(t *testing.T) {
	admin := one(t, "masters")
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	k := all[indexOf(all, "discovery.k8s.io/endpointslices")]
	u := k.as(plain, enforced, "forged")
	u.SetLabels(map[string]string{"kubernetes.io/service-name": versioned})
	if err := admin.create(t.Context(), k.gvr, u); deniedBy(err) != "stele-forged-labels" {
		t.Errorf("made for a Service: %v", err)
	}
	if err := admin.patch(t.Context(), k.gvr, enforced, plain, `{"metadata":{"labels":{"kubernetes.io/service-name":"versioned"}}}`); deniedBy(err) != "stele-forged-labels" {
		t.Errorf("given to a Service: %v", err)
	}
	if err := controller(t, "endpointslice-controller").create(t.Context(), k.gvr, u); err != nil {
		t.Errorf("made by its controller: %v", err)
	}
}

// TestClaimKeepsItsProtection: the one finalizer of a claim that is Kubernetes' own stays.
func TestClaimKeepsItsProtection(t *testing.T) {
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	claims := all[indexOf(all, "persistentvolumeclaims")]
	u := claims.as(stable, enforced, "held")
	u.SetFinalizers([]string{"kubernetes.io/pvc-protection"})
	if _, err := one(t, "operator").dyn.Resource(claims.gvr).Namespace(enforced).Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	admin := one(t, "masters")
	if err := admin.patch(t.Context(), claims.gvr, enforced, "held", `{"metadata":{"finalizers":["kubernetes.io/pvc-protection","example.org/snapshot"]}}`); err != nil {
		t.Errorf("a snapshot is refused: %v", err)
	}
	if err := admin.patch(t.Context(), claims.gvr, enforced, "held", `{"metadata":{"finalizers":null}}`); deniedBy(err) != "stele-objects" {
		t.Errorf("the protection is taken away: %v", err)
	}
	if err := controller(t, "pvc-protection-controller").patch(t.Context(), claims.gvr, enforced, "held", `{"metadata":{"finalizers":null}}`); err != nil {
		t.Errorf("its controller is refused: %v", err)
	}
}

// TestLargeObjects: an expression that costs too much is an error, and an error refuses.
func TestLargeObjects(t *testing.T) {
	operator, admin := one(t, "operator"), one(t, "masters")
	u := object(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, enforced, "large")
	u.SetLabels(map[string]string{"stele.dev/track": "shop"})
	u.SetAnnotations(map[string]string{"large": strings.Repeat("x", 200<<10)})
	data := map[string]any{"large": strings.Repeat("x", 500<<10)}
	for n := range 3000 {
		data[fmt.Sprintf("k%d", n)] = strings.Repeat("y", 50)
	}
	u.Object["data"] = data
	if _, err := operator.dyn.Resource(configMaps).Namespace(enforced).Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := admin.patch(t.Context(), configMaps, enforced, "large", `{"metadata":{"annotations":{"a":"b"}}}`); err != nil {
		t.Errorf("an annotation of others: %v", err)
	}
	if err := admin.patch(t.Context(), configMaps, enforced, "large", `{"data":{"k1":"other"}}`); deniedBy(err) != "stele-objects" || !strings.Contains(err.Error(), "track shop") {
		t.Errorf("changed: %v", err)
	}
	if err := operator.patch(t.Context(), configMaps, enforced, "large", `{"data":{"k1":"other"}}`); err != nil {
		t.Errorf("changed by the operator: %v", err)
	}
}

// TestPropagationOfDeletes: no way of deleting is another way.
func TestPropagationOfDeletes(t *testing.T) {
	admin := one(t, "masters")
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationForeground, metav1.DeletePropagationBackground, metav1.DeletePropagationOrphan} {
		options := dryDelete
		options.PropagationPolicy = &policy
		zero := int64(0)
		options.GracePeriodSeconds = &zero
		err := admin.dyn.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).Namespace(enforced).Delete(t.Context(), versioned, options)
		if deniedBy(err) != "stele-objects" {
			t.Errorf("%s: %v", policy, err)
		}
	}
}

// TestSquatting: who takes a name that a release will want gets an object that is nobody's, and cannot pass it off.
func TestSquatting(t *testing.T) {
	admin := one(t, "masters")
	squatter := object(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, enforced, "web-1111111111")
	if err := admin.create(t.Context(), configMaps, squatter); err != nil {
		t.Errorf("an object without labels is nobody's business: %v", err)
	}
	squatter.SetLabels(map[string]string{"stele.dev/release": releaseName})
	if err := admin.create(t.Context(), configMaps, squatter); deniedBy(err) != "stele-forged-labels" {
		t.Errorf("made with the label of a release: %v", err)
	}
}

// TestApplyWithoutAChange: who applies what is there takes part in managedFields and changes nothing.
func TestApplyWithoutAChange(t *testing.T) {
	force := true
	body := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"versioned"},"data":{"k":"VALUE"}}`
	for value, want := range map[string]string{"v": "", "other": "stele-objects"} {
		_, err := one(t, "masters").dyn.Resource(configMaps).Namespace(enforced).Patch(t.Context(), versioned, types.ApplyPatchType,
			[]byte(strings.ReplaceAll(body, "VALUE", value)), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "test", Force: &force})
		if deniedBy(err) != want || want == "" && err != nil {
			t.Errorf("value %s: %v", value, err)
		}
	}
}

// TestForgottenOwners: who empties managedFields would make a release look changed, or hide what was changed before.
func TestForgottenOwners(t *testing.T) {
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	operator, admin := one(t, "operator"), one(t, "masters")
	u := all[indexOf(all, "configmaps")].as(versioned, enforced, "owned")
	if _, err := operator.dyn.Resource(configMaps).Namespace(enforced).Create(t.Context(), u, metav1.CreateOptions{FieldManager: "stele"}); err != nil {
		t.Fatal(err)
	}
	for name, patch := range map[string]string{
		"emptied":          `[{"op":"replace","path":"/metadata/managedFields","value":[{}]}]`,
		"given to another": `[{"op":"replace","path":"/metadata/managedFields/0/manager","value":"thief"}]`,
		"fewer":            `[{"op":"replace","path":"/metadata/managedFields/0/fieldsV1","value":{"f:data":{}}}]`,
	} {
		_, err := admin.dyn.Resource(configMaps).Namespace(enforced).Patch(t.Context(), "owned", types.JSONPatchType, []byte(patch), dryPatch)
		if deniedBy(err) != "stele-objects" {
			t.Errorf("managedFields %s: %v", name, err)
		}
	}
	if err := admin.patch(t.Context(), configMaps, enforced, "owned", `{}`); err != nil {
		t.Errorf("no change at all: %v", err)
	}
	same := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owned"},"data":{"k":"v"}}`
	force := true
	_, err = admin.dyn.Resource(configMaps).Namespace(enforced).Patch(t.Context(), "owned", types.ApplyPatchType, []byte(same),
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "test", Force: &force})
	if err != nil {
		t.Errorf("applied as it is: %v", err)
	}
}

// TestTerminatingNamespace: the namespace controller empties a namespace that is being deleted, and nobody else does.
func TestTerminatingNamespace(t *testing.T) {
	operator, admin, ender := one(t, "operator"), one(t, "masters"), controller(t, "namespace-controller")
	const name = "ending"
	namespace := object(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, "", name)
	namespace.SetLabels(map[string]string{"stele.dev/immutable": "enforced"})
	if _, err := admin.dyn.Resource(namespaces).Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	owned := object(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, name, "owned")
	owned.SetLabels(map[string]string{"stele.dev/track": "shop"})
	for gvr, u := range map[schema.GroupVersionResource]*unstructured.Unstructured{configMaps: owned, releases: aRelease(name), tracks: track(name, "shop")} {
		if err := eventually(t.Context(), func() error {
			_, err := operator.dyn.Resource(gvr).Namespace(name).Create(t.Context(), u, metav1.CreateOptions{})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	all := map[schema.GroupVersionResource]string{configMaps: "owned", releases: releaseName}
	for gvr, object := range all {
		if err := ender.delete(t.Context(), gvr, name, object); deniedBy(err) == "" {
			t.Errorf("%s is deleted by the namespace controller while nobody deletes the namespace: %v", gvr.Resource, err)
		}
	}
	if err := admin.dyn.Resource(namespaces).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	all[tracks] = "shop"
	for gvr, object := range all {
		if err := eventually(t.Context(), func() error { return ender.delete(t.Context(), gvr, name, object) }); err != nil {
			t.Errorf("%s: %v", gvr.Resource, err)
		}
	}
	if err := admin.delete(t.Context(), configMaps, name, "owned"); deniedBy(err) != "stele-objects" {
		t.Errorf("a terminating namespace is open to people: %v", err)
	}
}

// TestWithoutBreakGlass: without its object the account gets into no pod, and for everybody else nothing changes.
func TestWithoutBreakGlass(t *testing.T) {
	admin, account, node := one(t, "masters"), one(t, "break-glass"), one(t, "node")
	glass := schema.GroupVersionResource{Group: "stele.dev", Version: "v1alpha1", Resource: "breakglasses"}
	kept := mustGet(t.Context(), admin, glass, "", "cluster")
	if err := account.connect(t.Context(), enforced, "pods", versioned, "exec"); deniedBy(err) != "" {
		t.Fatalf("with a grant: %v", err)
	}
	// It cannot be deleted while that is guarded.
	bindings := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"}
	guard := mustGet(t.Context(), admin, bindings, "", "stele-break-glass-grants")
	if err := admin.dyn.Resource(glass).Delete(t.Context(), "cluster", metav1.DeleteOptions{}); deniedBy(err) != guard.GetName() {
		t.Errorf("deleted: %v", err)
	}
	if err := admin.dyn.Resource(bindings).Delete(t.Context(), guard.GetName(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := eventually(t.Context(), func() error { return admin.dyn.Resource(glass).Delete(t.Context(), "cluster", metav1.DeleteOptions{}) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, u := range []*unstructured.Unstructured{kept, guard} {
			u.SetResourceVersion("")
			u.SetUID("")
		}
		if _, err := admin.dyn.Resource(bindings).Create(context.WithoutCancel(t.Context()), guard, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
		if _, err := admin.dyn.Resource(glass).Create(context.WithoutCancel(t.Context()), kept, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
		if err := eventually(context.WithoutCancel(t.Context()), func() error { return inForce(context.WithoutCancel(t.Context())) }); err != nil {
			t.Error(err)
		}
	})
	err := eventually(t.Context(), func() error {
		if err := account.connect(t.Context(), enforced, "pods", versioned, "exec"); deniedBy(err) == "" {
			return fmt.Errorf("still let in: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := node.patch(t.Context(), pods, enforced, versioned, `{"status":{"phase":"Running"}}`, "status"); err != nil {
		t.Errorf("a kubelet is refused: %v", err)
	}
	if err := node.delete(t.Context(), pods, enforced, versioned); err != nil {
		t.Errorf("a kubelet is refused: %v", err)
	}
	if err := controller(t, "replicaset-controller").create(t.Context(), pods, podOfRelease(t)); err != nil {
		t.Errorf("a controller is refused: %v", err)
	}
	if err := admin.patch(t.Context(), configMaps, enforced, versioned, forge); deniedBy(err) != "stele-objects" {
		t.Errorf("an administrator gets another answer: %v", err)
	}
}

func podOfRelease(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	return all[indexOf(all, "pods")].as(versioned, enforced, "of-a-release")
}

// TestWhatPeopleRead tries what people try, with kubectl, without a dry run: the answer says which rule, about what, and what to do instead.
func TestWhatPeopleRead(t *testing.T) {
	cases := map[string]struct {
		args, input string
		want        []string
	}{
		"label":         {args: "-n enforced label deployment versioned a=b", want: []string{"stele-objects", "release shop-0123456789", "Commit the change to Git", "spec.pin", "break-glass"}},
		"annotate":      {args: "-n enforced annotate configmap versioned a=b", want: []string{"stele-objects", "release shop-0123456789"}},
		"scale":         {args: "-n enforced scale deployment versioned --replicas=0", want: []string{"stele-subresources", "deployments/scale of versioned", "autoscaler"}},
		"set image":     {args: "-n enforced set image deployment/versioned c=evil", want: []string{"stele-objects", "deployments versioned"}},
		"rollout":       {args: "-n enforced rollout restart deployment/versioned", want: []string{"stele-objects"}},
		"exec":          {args: "-n enforced exec versioned -- true", want: []string{"stele-subresources", "pods/exec of versioned", "nobody gets into"}},
		"attach":        {args: "-n enforced attach versioned", want: []string{"stele-subresources", "pods/attach"}},
		"debug":         {args: "-n enforced debug versioned --image=x --target=c", want: []string{"stele-subresources", "pods/ephemeralcontainers"}},
		"delete":        {args: "-n enforced delete deployment versioned --wait=false", want: []string{"stele-objects", "deleted by Stele only"}},
		"delete force":  {args: "-n enforced delete pod versioned --force --grace-period=0", want: []string{"stele-objects"}},
		"replace force": {args: "-n enforced replace --force -f -", input: "{apiVersion: v1, kind: ConfigMap, metadata: {name: versioned}, data: {k: evil}}", want: []string{"stele-objects"}},
		"delete all":    {args: "-n enforced delete configmaps -l stele.dev/track=shop --wait=false", want: []string{"stele-objects"}},
		"namespace":     {args: "delete namespace busy --wait=false", want: []string{"stele-namespaces", "busy", "track shop runs release " + releaseName, "kubectl delete rtrack"}},
		"unlabel":       {args: "label namespace busy stele.dev/immutable-", want: []string{"stele-namespaces", "busy"}},
		"release":       {args: "-n ordinary delete irel " + releaseName + " --wait=false", want: []string{"stele-releases", releaseName, "Deletable"}},
		"edit release":  {args: "-n ordinary label irel " + releaseName + " a=b", want: []string{"stele-releases", releaseName, "spec.pin"}},
		"pin": {args: `-n ordinary patch rtrack shop --type merge -p {"spec":{"pin":"` + releaseName + `"}}`,
			want: []string{"stele-tracks", "track shop", "stele.dev/actor", "kubectl auth whoami"}},
		"token":    {args: "-n stele-system create token stele", want: []string{"stele-identity", "kubelet"}},
		"operator": {args: "-n stele-system set image deployment/stele operator=evil", want: []string{"stele-identity", "stele:installers"}},
		"role":     {args: "delete clusterrole stele", want: []string{"stele-installation", "stele:installers"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := kubectl(t.Context(), tc.input, strings.Fields(tc.args)...)
			if err == nil {
				t.Fatal("it was not refused")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}
