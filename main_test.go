package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/gitsource"
)

// A cluster without our kinds is said at once, with what to do.
func TestFindKinds(t *testing.T) {
	empty := apimeta.NewDefaultRESTMapper(nil)
	half := apimeta.NewDefaultRESTMapper(nil)
	half.Add(v1alpha1.GroupVersion.WithKind("ReleaseTrack"), apimeta.RESTScopeNamespace)
	whole := apimeta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"ReleaseTrack", "ImmutableRelease", "BreakGlass", "AuditLedger"} {
		whole.Add(v1alpha1.GroupVersion.WithKind(kind), apimeta.RESTScopeNamespace)
	}
	for name, tc := range map[string]struct {
		mapper apimeta.RESTMapper
		kind   string
	}{"none is installed": {empty, "ReleaseTrack"}, "one is missing": {half, "ImmutableRelease"}, "all are there": {whole, ""}} {
		t.Run(name, func(t *testing.T) {
			err := findKinds(fake.NewClientBuilder().WithRESTMapper(tc.mapper).Build())
			switch {
			case tc.kind == "" && err != nil:
				t.Error(err)
			case tc.kind != "" && (err == nil || !strings.Contains(err.Error(), "kind "+tc.kind+" ") || !strings.Contains(err.Error(), "make install")):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestGitCacheSize(t *testing.T) {
	for text, want := range map[string]int64{"": 3 << 30, "256Mi": 256 << 20, "10Gi": 10 << 30, "1000000000": 1_000_000_000} {
		flags, o := pflag.NewFlagSet("", pflag.ContinueOnError), options{}
		o.register(flags)
		var args []string
		if text != "" {
			args = []string{"--git-cache-size", text}
		}
		if err := flags.Parse(args); err != nil || int64(o.gitCache) != want {
			t.Errorf("%q: %d, %v", text, o.gitCache, err)
		}
	}
	for text, says := range map[string]string{"lots": "500Mi or 3Gi", "255Mi": "256Mi", "0": "256Mi", "-1Gi": "256Mi", "3GB": "500Mi or 3Gi"} {
		flags, o := pflag.NewFlagSet("", pflag.ContinueOnError), options{}
		o.register(flags)
		if err := flags.Parse([]string{"--git-cache-size", text}); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "git-cache-size") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What the operator refuses is loosened by its own flags only, and not by default.
func TestNetworkFlags(t *testing.T) {
	const repo = "http://git.example.invalid/x"
	token := map[string][]byte{"bearerToken": []byte("t")}
	for _, tc := range []struct {
		args            []string
		loopback, plain bool
	}{{nil, false, false}, {[]string{"--allow-loopback"}, true, false}, {[]string{"--allow-http-credentials"}, false, true}} {
		var o options
		flags := pflag.NewFlagSet("stele", pflag.ContinueOnError)
		o.register(flags)
		if err := flags.Parse(tc.args); err != nil {
			t.Fatal(err)
		}
		store, err := gitsource.NewStore(t.TempDir(), o.network.sourceOptions()...)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Dialer().CheckHost("127.0.0.1"); (err == nil) != tc.loopback {
			t.Errorf("%v: loopback: %v", tc.args, err)
		}
		if err := store.Dialer().CheckHost("169.254.169.254"); err == nil {
			t.Errorf("%v: the metadata service is not refused", tc.args)
		}
		auth, err := gitsource.AuthFromSecret(repo, token)
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Resolve(t.Context(), gitsource.Remote{URL: repo, Auth: auth}, gitsource.Ref{Branch: "main"}, 0)
		if refused := errors.Is(err, gitsource.ErrInvalidURL); refused == tc.plain {
			t.Errorf("%v: credentials over plain http: %v", tc.args, err)
		}
	}
}
