package envtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

const goodLedger = `
apiVersion: stele.dev/v1alpha1
kind: AuditLedger
metadata: {name: cluster}
spec:
  anchor: {url: "https://git.example/anchor.git"}
`

// dryRun creates an object, or puts it in place of the one that is there, and keeps nothing.
func dryRun(t *testing.T, u *unstructured.Unstructured) error {
	t.Helper()
	strict := client.WithFieldValidation(suite.api, "Strict")
	err := strict.Create(t.Context(), u, client.DryRunAll)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	there := &unstructured.Unstructured{}
	there.SetGroupVersionKind(u.GroupVersionKind())
	if err := suite.api.Get(t.Context(), key("", u.GetName()), there); err != nil {
		return err
	}
	u.SetResourceVersion(there.GetResourceVersion())
	return strict.Update(t.Context(), u, client.DryRunAll)
}

// Every field of a ledger's spec with values that are taken and values that are refused.
func TestLedgerValidation(t *testing.T) {
	t.Parallel()
	type row struct{ good, bad []any }
	duration := func(good, bad []any) row {
		g, b := durationRows(good, bad)
		return row{g, b}
	}
	secret := func(name any) any { return map[string]any{"name": name} }
	rows := map[string]row{
		"spec.backlogDeadline": duration([]any{"10s", "10m", "24h", "1h30m", nil}, []any{"0", "0s", "9s", "24h1s", "25h"}),
		"spec.anchor":          {[]any{nil, map[string]any{"url": "https://git.example/a"}}, []any{"https://git.example/a", map[string]any{}, map[string]any{"branch": "main"}, []any{}}},
		"spec.anchor.interval": duration([]any{"1s", "1m", "24h", "1500ms", nil}, []any{"0", "0s", "999ms", "24h1s", "25h"}),
		"spec.anchor.url": {
			[]any{"https://git.example/shop.git", "http://git.example/shop", "ssh://git@git.example/shop.git", "ssh://git@git.example:2222/a/b.git", "https://git.example/a@b"},
			[]any{nil, "", "git@git.example:shop.git", "file:///etc/passwd", "/etc/passwd", "ext::sh -c id", "git://git.example/x.git",
				"HTTPS://git.example/x.git", "ftp://git.example/x", "ssh://-oProxyCommand=id/x", "ssh://git@-oProxyCommand=id/x", "https://user:secret@git.example/x.git",
				"https://token@git.example/x.git", "http://user@git.example/x.git", "ssh://git:secret@git.example/x.git", "https://", "https://git.example/\nx", " https://git.example/x",
				"https://git.example/" + long(2048), 5},
		},
		"spec.anchor.branch": {[]any{"main", "stele/anchor", "ledger-1.x", nil}, []any{"", "-x", "a b", "a..b", "a\nb", "a~1", "a:b", long(256), 5}},
		"spec.anchor.secretRef": {[]any{secret("anchor"), secret("a.b-c"), nil},
			[]any{map[string]any{}, "anchor", secret(""), secret(nil), secret("../other/git"), secret("A"), secret(long(254)), map[string]any{"name": "a", "namespace": "other"}}},
		"spec.anchor.secretRef.name": {}, // tested with the reference
		"metadata.name":              {[]any{"cluster"}, []any{"other", "Cluster", "cluster2", "default"}},
		"spec.unknown":               {nil, []any{"x"}},
		"spec.anchor.unknown":        {nil, []any{"x"}},
		"spec.anchor.force":          {nil, []any{true}}, // there is no such thing
	}
	for path, r := range rows {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			try := func(value any) error {
				u := parse(t, goodLedger)
				setAt(t, u.Object, path, value)
				return dryRun(t, u)
			}
			for _, v := range r.good {
				if err := try(v); err != nil {
					t.Errorf("%#v is refused: %v", v, err)
				}
			}
			for _, v := range r.bad {
				switch err := try(v); {
				case err == nil:
					t.Errorf("%#v is taken", v)
				case !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err):
					t.Errorf("%#v: want an answer about the value, got %v", v, err)
				case !strings.Contains(err.Error(), lastPart(path)):
					t.Errorf("%#v: the message does not name the field: %v", v, err)
				}
			}
		})
	}
	fieldsOf(t, "auditledgers", "spec", func(path string) {
		if _, ok := rows[path]; !ok {
			t.Errorf("no row for field %s", path)
		}
	})
}

// What a ledger is when nothing is said.
func TestLedgerDefaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ spec, want map[string]any }{
		"nothing said": {nil, map[string]any{"backlogDeadline": "10m"}},
		"null":         {map[string]any{"backlogDeadline": nil, "anchor": nil}, map[string]any{"backlogDeadline": "10m"}},
		"an anchor": {map[string]any{"anchor": map[string]any{"url": "https://git.example/a", "branch": nil}},
			map[string]any{"backlogDeadline": "10m", "anchor": map[string]any{"url": "https://git.example/a", "branch": "main", "interval": "1m"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := parse(t, goodLedger)
			u.Object["spec"] = tc.spec
			if tc.spec == nil {
				u.Object["spec"] = map[string]any{}
			}
			if err := dryRun(t, u); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, u.Object["spec"]); diff != "" {
				t.Errorf("defaults (-want +got):\n%s", diff)
			}
		})
	}
}

// Columns and names are a contract.
func TestLedgerColumns(t *testing.T) {
	t.Parallel()
	version := versionOf(t, "auditledgers")
	var got []string
	for _, c := range version["additionalPrinterColumns"].([]any) {
		column := c.(map[string]any)
		name := column["name"].(string)
		if p, ok := column["priority"].(int64); ok && p > 0 {
			name = "wide:" + name
		}
		got = append(got, name)
	}
	if want := []string{"Size", "Backlog", "Anchored", "Ready", "wide:Status", "wide:Root", "Age"}; !slices.Equal(got, want) {
		t.Errorf("columns %v, want %v", got, want)
	}
	if _, ok := version["subresources"].(map[string]any)["status"]; !ok {
		t.Error("there is no status subresource")
	}
	spec := crdOf(t, "auditledgers").Object["spec"].(map[string]any)
	names := spec["names"].(map[string]any)
	want := []any{v1alpha1.AuditLedgerKind, "aledger", "stele", "Cluster"}
	if diff := cmp.Diff(want, []any{names["kind"], names["shortNames"].([]any)[0], names["categories"].([]any)[0], spec["scope"]}); diff != "" {
		t.Error(diff)
	}
}
