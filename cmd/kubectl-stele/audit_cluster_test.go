package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/tlog"
)

// ledgerServer is an API server as far as these commands need one: it has the AuditLedger, and is a proxy to the log.
func ledgerServer(t *testing.T, files tlog.Files, status v1alpha1.AuditLedgerStatus, allowed bool) (kubeconfig string) {
	t.Helper()
	answer := func(w http.ResponseWriter, value any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
	version := metav1.GroupVersionForDiscovery{GroupVersion: "stele.dev/v1alpha1", Version: "v1alpha1"}
	group := metav1.APIGroup{TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: "stele.dev", Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, isLog := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/stele-system/services/stele-ledger:http/proxy/")
		switch {
		case isLog && !allowed:
			http.Error(w, "forbidden", http.StatusForbidden)
		case isLog && path == "checkpoints/":
		case isLog && files[path] != nil:
			_, _ = w.Write(files[path])
		case r.URL.Path == "/apis":
			answer(w, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{group}})
		case r.URL.Path == "/apis/stele.dev":
			answer(w, group)
		case r.URL.Path == "/apis/stele.dev/v1alpha1":
			answer(w, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "stele.dev/v1alpha1",
				APIResources: []metav1.APIResource{{Name: "auditledgers", SingularName: "auditledger", Kind: "AuditLedger", Verbs: metav1.Verbs{"get"}}}})
		case r.URL.Path == "/apis/stele.dev/v1alpha1/auditledgers/cluster":
			answer(w, v1alpha1.AuditLedger{TypeMeta: metav1.TypeMeta{Kind: "AuditLedger", APIVersion: "stele.dev/v1alpha1"}, ObjectMeta: metav1.ObjectMeta{Name: "cluster"}, Status: status})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x","namespace":"shop"}}],`+
		`"clusters":[{"name":"x","cluster":{"server":%q}}],"users":[{"name":"x","user":{}}]}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// Without --ledger the log is read through the API server, and checked with the key of the AuditLedger.
func TestLedgerOfTheCluster(t *testing.T) {
	files := tlog.Make(ledgerKey, tlog.Entries(20))
	for name, tc := range map[string]struct {
		files   tlog.Files
		status  v1alpha1.AuditLedgerStatus
		denied  bool
		code    int
		want    string
		nothing bool
	}{
		"read and verified":       {files: files, status: v1alpha1.AuditLedgerStatus{PublicKey: ledgerKey.Public, Size: 20}, want: "as-of"},
		"signed with another key": {files: files, status: v1alpha1.AuditLedgerStatus{PublicKey: tlog.NewKey(9, tlog.Origin).Public}, code: exitInvalid, want: "no trusted key", nothing: true},
		"shorter than it was":     {files: files, status: v1alpha1.AuditLedgerStatus{PublicKey: ledgerKey.Public, Size: 21}, code: exitInvalid, want: "says that it had 21", nothing: true},
		"no key yet":              {files: files, code: exitFailed, want: "has not started yet", nothing: true},
		"no right to read it":     {files: files, status: v1alpha1.AuditLedgerStatus{PublicKey: ledgerKey.Public}, denied: true, code: exitRefused, want: "services/proxy", nothing: true},
	} {
		t.Run(name, func(t *testing.T) {
			kubeconfig := ledgerServer(t, tc.files, tc.status, !tc.denied)
			for _, args := range [][]string{{"audit", "show"}, {"as-of", "shop", tlog.Entry(18).Time}, {"audit", "export", "--file", filepath.Join(t.TempDir(), "x.tar")}} {
				var out, errOut bytes.Buffer
				code := run(t.Context(), append(args, "--kubeconfig", kubeconfig), genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut})
				if tc.want == "as-of" {
					want(t, args[0], code, exitDone, out.String()+errOut.String())
					continue
				}
				want(t, strings.Join(args, " "), code, tc.code, errOut.String(), tc.want)
				if tc.nothing && out.Len() > 0 {
					t.Errorf("%v has shown: %s", args, &out)
				}
			}
		})
	}
}

// A log that nobody serves is no log that does not verify.
func TestLedgerThatIsNotServed(t *testing.T) {
	for answer, code := range map[string]int{
		`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","details":{"name":"stele-ledger","kind":"services"},"code":404}`: http.StatusNotFound,
		`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"ServiceUnavailable","code":503}`:                                           http.StatusServiceUnavailable,
	} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = w.Write([]byte(answer))
		}))
		code, _, errOut := stele(t, "audit", "show", "--ledger", api.URL, "--key", ledgerKey.Public)
		api.Close()
		want(t, answer, code, exitFailed, errOut, "not served", "--operator-namespace")
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }))
	defer api.Close()
	code, _, errOut := stele(t, "audit", "show", "--ledger", api.URL, "--key", ledgerKey.Public)
	want(t, "a log without a checkpoint", code, exitInvalid, errOut, "it is missing")
}

// Who answers for the log is trusted with nothing: a redirect does not take the auditor's credentials to another server.
func TestLedgerThatRedirects(t *testing.T) {
	seen := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }))
	defer api.Close()
	log, err := proxied(&rest.Config{Host: api.URL, BearerToken: "of-the-auditor"}, "stele-system")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Read(t.Context(), "checkpoint"); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("got %v, want the redirect told", err)
	}
	select {
	case got := <-seen:
		t.Errorf("the redirect was followed, with the credentials %q", got)
	default:
	}
}
