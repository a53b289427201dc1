package cliread

import (
	"strings"
	"testing"
	"testing/fstest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/archive"
	"github.com/stele-dev/stele/internal/render"
)

const operatorNamespace = "stele-system"

// secret is a value that nobody may see.
const secret = "canary-secret-91bd"

// shop are manifests in two versions.
func shop(version string) string {
	one := `
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  color: COLOR
  web.conf: |
    listen 80
    root /srv
    workers WORKERS
    gzip on
---
apiVersion: v1
kind: Secret
metadata: {name: keys, annotations: {example.eu/note: SECRET-note}}
stringData: {password: SECRET-VERSION, same: SECRET-same, KEY: SECRET-x}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: shop.example/web:VERSION
        env:
        - {name: A, value: a}
        - {name: KEY, value: "1"}
        envFrom: [{configMapRef: {name: web}}, {secretRef: {name: keys}}]
EXTRA---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: only-VERSION}
`
	values := []string{"VERSION", "1", "COLOR", "red", "WORKERS", "2", "REPLICAS", "2", "KEY", "OLD", "EXTRA", "", "SECRET", secret}
	if version == "2" {
		values = []string{"VERSION", "2", "COLOR", `"a\u001b[2Jb"`, "WORKERS", "4", "REPLICAS", "3", "KEY", "NEW", "EXTRA", "      - {name: side, image: shop.example/side:1}\n", "SECRET", secret}
	}
	return strings.NewReplacer(values...).Replace(one)
}

// rendered makes a release with what the renderer makes of manifests, and its archive.
func rendered(t *testing.T, ns string, n int, manifests string, change func(*v1alpha1.ImmutableRelease)) *v1alpha1.ImmutableRelease {
	t.Helper()
	bundle, err := render.Build(fstest.MapFS{"deploy/all.yaml": {Data: []byte(manifests)}}, "deploy", render.OptionsOf(ns, "shop", nil, nil, v1alpha1.Gates{Images: "Ignore"}))
	if err != nil {
		t.Fatal(err)
	}
	data, err := bundle.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return makeRelease(t, ns, "shop", n, func(r *v1alpha1.ImmutableRelease) {
		active(r)
		r.Spec.Digest, r.Spec.Objects, r.Spec.Images = bundle.Digest, nil, nil
		for _, o := range bundle.Objects {
			gvk := o.Object.GroupVersionKind()
			r.Spec.Objects = append(r.Spec.Objects, v1alpha1.ReleaseObject{Group: gvk.Group, Kind: gvk.Kind, Namespace: ns, Name: o.Object.GetName(), Class: o.Class, Digest: o.Digest})
		}
		for _, i := range bundle.Images {
			r.Spec.Images = append(r.Spec.Images, v1alpha1.ReleaseImage{Name: i.Name, Tag: i.Tag, Digest: i.Digest})
		}
		store := archive.Store{Client: suite.api, Namespace: operatorNamespace}
		if r.Spec.Archive, err = store.Save(t.Context(), archive.Key{Namespace: ns, Track: "shop", Release: r.Name, Digest: r.Spec.Digest}, data, nil); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(r)
		}
	})
}

func TestDiff(t *testing.T) {
	ns := newNamespace(t, "diff")
	newNamespace(t, operatorNamespace)
	viewer := viewerOf(t, ns)
	makeTrack(t, ns, "shop", runs("shop-1111111111"))
	one, two := rendered(t, ns, 1, shop("1"), nil), rendered(t, ns, 2, shop("2"), retired2)
	check := func(r result) string {
		t.Helper()
		if r.code != 0 || strings.Contains(r.stdout+r.stderr, secret) {
			t.Errorf("exit code %d; a secret is shown: %v:\n%s%s", r.code, strings.Contains(r.stdout+r.stderr, secret), r.stdout, r.stderr)
		}
		return r.stdout
	}
	golden(t, "diff", check(stele(t, "diff", one.Name, two.Name, "-n", ns)))
	golden(t, "diff-json", check(stele(t, "diff", one.Name, two.Name, "-n", ns, "-o", "json")))
	check(stele(t, "diff", one.Name, two.Name, "-n", ns, "-o", "yaml"))
	// Against what runs: what would change if it took over.
	if got, want := check(stele(t, "diff", two.Name, "-n", ns)), check(stele(t, "diff", one.Name, two.Name, "-n", ns)); got != want {
		t.Errorf("against what runs:\n%s", got)
	}
	if got := check(stele(t, "diff", one.Name, "-n", ns)); !strings.HasSuffix(got, "\nNo object differs.\n") {
		t.Errorf("nothing differs:\n%s", got)
	}
	// Without the right to read archives, objects are compared by their digests.
	golden(t, "diff-viewer", check(steleAs(t, viewer, "diff", one.Name, two.Name, "-n", ns)))
	if got := check(steleAs(t, viewer, "diff", one.Name, two.Name, "-n", ns, "-o", "json")); !strings.Contains(got, `"fields": "NotCompared"`) {
		t.Errorf("got:\n%s", got)
	}
	if got := check(stele(t, "diff", one.Name, two.Name, "-n", ns, "--operator-namespace", "default")); !strings.Contains(got, "the archive is missing") || !strings.Contains(got, "--operator-namespace") {
		t.Errorf("another namespace:\n%s", got)
	}
	// An archive that was changed is not believed.
	var secrets corev1.SecretList
	if err := suite.api.List(t.Context(), &secrets, client.InNamespace(operatorNamespace)); err != nil || len(secrets.Items) != 2 {
		t.Fatalf("%d archives, %v", len(secrets.Items), err)
	}
	for i := range secrets.Items {
		if s := &secrets.Items[i]; strings.Contains(s.Name, two.Name) {
			if err := suite.api.Delete(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			forged := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}, Type: s.Type, Data: secrets.Items[1-i].Data}
			if err := suite.api.Create(t.Context(), forged); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := check(stele(t, "diff", one.Name, two.Name, "-n", ns)); !strings.Contains(got, "Fields are not compared: the archive of release shop-2222222222 is not what was stored") || !strings.Contains(got, "~ Deployment web") {
		t.Errorf("a forged archive:\n%s", got)
	}
}

func retired2(r *v1alpha1.ImmutableRelease) {
	r.Status.Phase, r.Status.ActiveRun, r.Status.Outcome = v1alpha1.PhaseRetired, 0, v1alpha1.OutcomeRolledBack
}
