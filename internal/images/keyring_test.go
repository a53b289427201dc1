package images

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestKeyring(t *testing.T) {
	for name, tc := range map[string]struct {
		entry, host, repository string
		want                    bool
	}{
		"the host":                         {"registry.example.eu", "registry.example.eu", "shop/web", true},
		"another host":                     {"registry.example.eu", "example.eu", "shop/web", false},
		"a host below it":                  {"example.eu", "registry.example.eu", "shop/web", false},
		"a pattern":                        {"*.example.eu", "registry.example.eu", "shop/web", true},
		"a pattern stands for one part":    {"*.eu", "registry.example.eu", "shop/web", false},
		"another port":                     {"registry.example.eu:5000", "registry.example.eu", "shop/web", false},
		"the port":                         {"registry.example.eu:5000", "registry.example.eu:5000", "shop/web", true},
		"a path":                           {"registry.example.eu/shop", "registry.example.eu", "shop/web", true},
		"another path":                     {"registry.example.eu/other", "registry.example.eu", "shop/web", false},
		"what a login writes for a hub":    {"https://index.docker.io/v1/", "index.docker.io", "library/web", true},
		"its short name":                   {"docker.io", "index.docker.io", "library/web", true},
		"a pattern that cannot be matched": {"[.example.eu", "registry.example.eu", "shop/web", false},
		"nothing":                          {"", "registry.example.eu", "shop/web", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := NewKeyring([]corev1.Secret{pullSecret("a", tc.entry)})
			if got := len(k.find(tc.host, tc.repository)) == 1; got != tc.want {
				t.Errorf("found: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestKeyringOrder(t *testing.T) {
	k := NewKeyring([]corev1.Secret{pullSecret("a", "registry.example.eu", "registry.example.eu/shop/web", "*.example.eu"), pullSecret("b", "registry.example.eu/shop")})
	var got []string
	for _, e := range k.keys {
		got = append(got, e.host+e.path)
	}
	want := []string{"registry.example.eu/shop/web", "registry.example.eu/shop", "registry.example.eu", "*.example.eu"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	old := corev1.Secret{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: []byte(`{"registry.example.eu":{"username":"a","password":"b"}}`)}}
	if k := NewKeyring([]corev1.Secret{old}); len(k.find("registry.example.eu", "web")) != 1 || k.notes() != "" {
		t.Errorf("of the old type: %+v", k)
	}
}
