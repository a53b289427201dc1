package hostile

import (
	"bytes"
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// TestHostileSpecs: what the author of a track may write is refused by the API server, or by the operator with a reason.
func TestHostileSpecs(t *testing.T) {
	const ns = "hostile-specs"
	makeNamespace(t, ns)
	refusedByTheAPI(t, ns)
	_, err := suite.git.CreateRepo(ns)
	must(t, err)
	repo, err := suite.git.Repo(ns)
	must(t, err)
	id, err := repo.Commit(under(files("specs")))
	must(t, err)
	secret := func(name string, data map[string][]byte) string {
		create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: data})
		return name
	}
	long := bytes.Repeat([]byte(canaries["password"]+"\n"), 1_000_000/len(canaries["password"])-50_000)
	known := suite.git.SSHSecret()
	cases := map[string]struct {
		url, secret, reason string
		says                []string
	}{
		"metadata":           {"http://169.254.169.254/latest/meta-data", "", v1alpha1.GitInvalidURLReason, []string{"169.254.169.254"}},
		"metadata-as-ipv6":   {"http://[::ffff:169.254.169.254]/latest", "", v1alpha1.GitInvalidURLReason, []string{"169.254.169.254"}},
		"link-local":         {"http://[fe80::1]/x.git", "", v1alpha1.GitInvalidURLReason, []string{"fe80::1"}},
		"unspecified":        {"ssh://git@0.0.0.0/x.git", "ssh", v1alpha1.GitInvalidURLReason, []string{"0.0.0.0"}},
		"ipv6":               {"http://[::1]:1/x.git", "", v1alpha1.GitUnreachableReason, []string{"no connection"}},
		"letters-look-alike": {"https://g\u0456t.example/x.git", "", v1alpha1.GitInvalidURLReason, []string{"xn--"}},
		"credentials-in-plain": {"http://git.example.test/x.git", "basic", v1alpha1.GitInvalidURLReason,
			[]string{"plain http"}},
		"no-secret":             {suite.git.HTTPURL(ns), "nowhere", v1alpha1.GitSecretReason, []string{"nowhere", "does not exist"}},
		"secret-without-a-key":  {suite.git.HTTPURL(ns), secret("half", map[string][]byte{"username": []byte(canaries["user name"])}), v1alpha1.GitSecretReason, []string{"password"}},
		"secret-for-ssh":        {suite.git.SSHURL(ns), "basic", v1alpha1.GitSecretReason, []string{"identity"}},
		"huge-identity":         {suite.git.SSHURL(ns), secret("huge-identity", map[string][]byte{"identity": long, "known_hosts": known["known_hosts"]}), v1alpha1.GitSecretReason, []string{"identity"}},
		"huge-known-hosts":      {suite.git.SSHURL(ns), secret("huge-known-hosts", map[string][]byte{"identity": known["identity"], "known_hosts": long}), v1alpha1.GitSecretReason, []string{"known_hosts"}},
		"token-with-line-break": {suite.git.HTTPURL(ns), secret("line-break", map[string][]byte{"bearerToken": []byte(canaries["token"] + "\n")}), v1alpha1.GitSecretReason, []string{"bearerToken", "line break"}},
	}
	for name, c := range cases {
		create(t, newTrack(ns, name, c.url, c.secret))
	}
	for name, c := range cases {
		sourceFails(t, ns, name, c.reason, c.says...)
	}

	// A Secret that is being deleted is used until it is gone; then its absence is said.
	leaving := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "leaving", Finalizers: []string{"test.example/stays"}}, Data: known}
	create(t, leaving)
	must(t, suite.cluster.Client.Delete(t.Context(), leaving))
	create(t, newTrack(ns, "secret-leaves", suite.git.SSHURL(ns), "leaving"))
	live(t, ns, "secret-leaves", id)
	must(t, suite.cluster.Client.Patch(t.Context(), leaving, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))))
	poke(t, ns, "secret-leaves", "gone")
	sourceFails(t, ns, "secret-leaves", v1alpha1.GitSecretReason, "leaving", "does not exist")
	live(t, ns, "secret-leaves", id)
	stillThere(t)
	nothingLeaks(t)
}

// refusedByTheAPI are values that no track is stored with.
func refusedByTheAPI(t *testing.T, ns string) {
	t.Helper()
	values := map[string][]any{
		"interval":                {"0", "-1h", "9999999h", "1y", "5", `"5"`, 5, "2147483648s"},
		"timeout":                 {"0", "-1h", "9999999h", "1y", "5", `"5"`, 5},
		"source.secretRef":        {map[string]any{"name": "git", "namespace": "kube-system"}, map[string]any{"name": "../kube-system/git"}},
		"source.ref.branch":       {"-x", "../../config", "a\x1b[31m", "a b"},
		"source.ref.name":         {"refs/heads/../../config", "refs/heads/a\nb", "HEAD", "refs/heads/\x1b[31m"},
		"source.path":             {"../x", "/etc", "a/../../b"},
		"source.rewrittenHistory": {"Always"},
		"source.url": {"file:///etc/passwd", "ext::sh -c id", "ssh://-oProxyCommand=id/x", "ssh://git@-oProxyCommand=id/x", "git://git.example/x", "ftp://git.example/x",
			"https://user:" + canaries["password"] + "@git.example/x", "https://" + canaries["token"] + "@git.example/x", "git@git.example:x.git", "/srv/git/x.git"},
	}
	for path, list := range values {
		for _, value := range list {
			good := newTrack(ns, "refused", "https://git.example/x.git", "")
			content, err := kruntime.DefaultUnstructuredConverter.ToUnstructured(good)
			must(t, err)
			delete(content, "status")
			track := &unstructured.Unstructured{Object: content}
			track.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ReleaseTrack"))
			must(t, unstructured.SetNestedField(content, deep(value), append([]string{"spec"}, strings.Split(path, ".")...)...))
			if err := suite.cluster.Client.Create(context.WithoutCancel(t.Context()), track, client.DryRunAll, strict{}); !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Errorf("%s: %v: got %v, want a refusal", path, value, err)
			}
		}
	}
}

// deep makes numbers what unstructured objects take.
func deep(value any) any {
	if n, ok := value.(int); ok {
		return int64(n)
	}
	return value
}

// strict lets the API server refuse fields that it does not know.
type strict struct{}

func (strict) ApplyToCreate(o *client.CreateOptions) {
	o.FieldValidation = metav1.FieldValidationStrict
}
