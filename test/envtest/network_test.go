package envtest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit/gitserver"
	"github.com/stele-dev/stele/test/testkit/proxyserver"
)

// newSSHKey is a signer and its PEM.
func newSSHKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// rotated is a scene whose track reads a server of its own, with a Secret.
type rotated struct {
	*scene
	server *gitserver.Server
}

func newRotated(t *testing.T, url func(*gitserver.Server, string) string, data func(*gitserver.Server) map[string][]byte, options ...gitserver.Option) *rotated {
	t.Helper()
	server, err := gitserver.New(t.TempDir(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	r := &rotated{&scene{T: t, ns: newNamespace(t)}, server}
	if r.repo, err = server.CreateRepo("shop"); err != nil {
		t.Fatal(err)
	}
	r.first = commit(t, r.repo, shop("web", "1"))
	startOperator(t, operatorOptions{}, r.ns)
	create(t, r.secret("git", data(server)))
	track := newTrack(r.ns, "shop", "shop")
	track.Spec.Source.URL = url(server, "shop")
	track.Spec.Source.SecretRef = &v1alpha1.LocalObjectReference{Name: "git"}
	create(t, track)
	untilLive(t, r.ns, "shop", r.first)
	r.running = r.world()
	return r
}

func (r *rotated) replaceSecret(data map[string][]byte) {
	r.Helper()
	if err := suite.api.Update(r.Context(), r.secret("git", data)); err != nil {
		r.Fatal(err)
	}
}

// Whatever is rotated on the server is refused with the old Secret, says so and touches nothing that runs; with the new one the track
// goes on by itself, in the same process.
func TestRotation(t *testing.T) {
	t.Parallel()
	hostKey, _ := newSSHKey(t)
	clientKey, identity := newSSHKey(t)
	web := func(s *gitserver.Server) map[string][]byte { return s.HTTPSecret() }
	overSSH := func(s *gitserver.Server) map[string][]byte { return s.SSHSecret() }
	for name, tc := range map[string]struct {
		url    func(*gitserver.Server, string) string
		data   func(*gitserver.Server) map[string][]byte
		before []gitserver.Option
		after  []gitserver.Option
		// renewed is the Secret that fits again; nil: as data says.
		renewed func(*gitserver.Server) map[string][]byte
		reason  string
		words   []string
	}{
		"password": {
			url: (*gitserver.Server).HTTPURL, data: web, before: []gitserver.Option{gitserver.BasicAuth("reader", "canary-one")},
			after: []gitserver.Option{gitserver.BasicAuth("reader", "canary-two")}, reason: v1alpha1.GitAuthenticationReason, words: []string{"Secret"},
		},
		"bearer token": {
			url: (*gitserver.Server).HTTPSURL, data: web, before: []gitserver.Option{gitserver.BearerToken("canary-one")},
			after: []gitserver.Option{gitserver.BearerToken("canary-two")}, reason: v1alpha1.GitAuthenticationReason, words: []string{"Secret"},
		},
		"certificate authority": {
			url: (*gitserver.Server).HTTPSURL, data: web, after: []gitserver.Option{gitserver.NewAuthority()},
			reason: v1alpha1.GitCertificateReason, words: []string{"ca.crt"},
		},
		"SSH key": {
			url: (*gitserver.Server).SSHURL, data: overSSH, after: []gitserver.Option{gitserver.AuthorizedKey(clientKey.PublicKey())},
			renewed: func(s *gitserver.Server) map[string][]byte {
				return map[string][]byte{"identity": identity, "known_hosts": s.KnownHosts()}
			},
			reason: v1alpha1.GitAuthenticationReason, words: []string{"identity"},
		},
		"host key": {
			url: (*gitserver.Server).SSHURL, data: overSSH, after: []gitserver.Option{gitserver.HostKey(hostKey)},
			reason: v1alpha1.GitHostKeyReason, words: []string{"was changed", ssh.FingerprintSHA256(hostKey.PublicKey()), "known_hosts", "compare"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRotated(t, tc.url, tc.data, tc.before...)
			if err := r.server.Restart(tc.after...); err != nil {
				t.Fatal(err)
			}
			poke(t, r.ns, "shop")
			r.sourceFails(tc.reason, tc.words...)
			r.untouched()
			if tc.renewed == nil {
				tc.renewed = tc.data
			}
			r.replaceSecret(tc.renewed(r.server))
			r.live(r.commit(shop("web", "2")))
			noCanary(t, r.ns, "canary-one", "canary-two", "reader")
		})
	}
}

// The Secret is deleted: what runs goes on, and a rollback does not need it.
func TestSecretRemovedWhileItRuns(t *testing.T) {
	t.Parallel()
	r := newRotated(t, (*gitserver.Server).HTTPURL, func(s *gitserver.Server) map[string][]byte { return s.HTTPSecret() }, gitserver.BasicAuth("reader", "canary-one"))
	second := r.commit(shop("web", "2"))
	r.live(second)
	if err := suite.api.Delete(t.Context(), r.secret("git", nil)); err != nil {
		t.Fatal(err)
	}
	poke(t, r.ns, "shop")
	r.sourceFails(v1alpha1.GitSecretReason, "spec.source.secretRef", "Secret git does not exist")
	if track, err := getTrack(t.Context(), r.ns, "shop"); err != nil || track.Status.ActiveRelease != releaseOf("shop", second) {
		t.Fatalf("active is %q (%v)", track.Status.ActiveRelease, err)
	}
	r.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Pin = releaseOf("shop", r.first) })
	untilLive(t, r.ns, "shop", r.first)
}

// A track behind a proxy, and what is said when its Secret is missing, cannot be used, or is refused. Rotated like any other.
func TestProxyOfATrack(t *testing.T) {
	t.Parallel()
	const hidden = "git.behind-the-proxy.test"
	proxy, err := proxyserver.New(proxyserver.Password("canary-user", "canary-one"), proxyserver.Host(hidden, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	s := newScene(t)
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Source.URL = strings.Replace(spec.Source.URL, "127.0.0.1", hidden, 1)
		spec.Source.ProxySecretRef = &v1alpha1.LocalObjectReference{Name: "proxy"}
	})
	s.sourceFails(v1alpha1.GitSecretReason, "spec.source.proxySecretRef: Secret proxy does not exist in namespace")
	data := proxy.Secret("http")
	data["address"] = []byte("ftp://proxy.example.test")
	create(t, s.secret("proxy", data))
	poke(t, s.ns, "shop")
	s.sourceFails(v1alpha1.GitSecretReason, "spec.source.proxySecretRef: Secret proxy: ", "http://")
	for _, scheme := range []string{"http", "socks5"} {
		data = proxy.Secret(scheme)
		data["password"] = []byte("canary-two")
		update(t, s.secret("proxy", data))
		poke(t, s.ns, "shop")
		address, _ := strings.CutPrefix(proxy.Address(scheme), scheme+"://")
		s.sourceFails(v1alpha1.GitAuthenticationReason, "the proxy "+address+" refuses the credentials", "spec.source.proxySecretRef")
	}
	s.untouched()
	s.othersGoOn()
	update(t, s.secret("proxy", proxy.Secret("http")))
	second := s.commit(shop("web", "2"))
	s.live(second)
	if len(proxy.Targets()) == 0 {
		t.Error("the proxy was not asked")
	}
	if err := suite.api.Delete(t.Context(), s.secret("proxy", nil)); err != nil {
		t.Fatal(err)
	}
	s.update(func(spec *v1alpha1.ReleaseTrackSpec) {
		spec.Source.URL = suite.git.HTTPURL(s.ns)
		spec.Source.ProxySecretRef = nil
	})
	s.live(s.commit(shop("web", "3")))
	noCanary(t, s.ns, "canary-user", "canary-one", "canary-two")
}

// An operator as it is installed connects to no port of its own machine, and says which flag would let it.
func TestLoopbackIsRefused(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	commit(t, newRepo(t, ns), shop("web", "1"))
	startOperator(t, operatorOptions{noLoopback: true}, ns)
	before := len(suite.git.Requests())
	create(t, newTrack(ns, "shop", ns))
	s := &scene{T: t, ns: ns}
	s.sourceFails(v1alpha1.GitInvalidURLReason, "127.0.0.1", "--allow-loopback")
	for _, url := range []string{"http://169.254.169.254/latest/x", "http://100.100.100.200/latest/x", "http://[fd00:ec2::254]/x", "http://[64:ff9b::a9fe:a9fe]/x", "http://2130706433/x"} {
		s.update(func(spec *v1alpha1.ReleaseTrackSpec) { spec.Source.URL = url })
		s.sourceFails(v1alpha1.GitInvalidURLReason, "refused")
	}
	for _, r := range suite.git.Requests()[before:] {
		if strings.Contains(r.Path, ns) {
			t.Errorf("the server was asked for %s", r.Path)
		}
	}
}

func update(t *testing.T, o client.Object) {
	t.Helper()
	if err := suite.api.Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// noCanary looks through all that the operator has written about a namespace.
func noCanary(t *testing.T, ns string, canaries ...string) {
	t.Helper()
	until(t, patience, func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := suite.api.List(ctx, &events, client.InNamespace(ns)); err != nil {
			return err
		}
		if len(events.Items) == 0 {
			return errors.New("no event was written yet")
		}
		track, err := getTrack(ctx, ns, "shop")
		if err != nil {
			return err
		}
		text := fmt.Sprint(track.Status, track.Annotations, track.Labels)
		for _, e := range events.Items {
			text += fmt.Sprintln(e.Note, e.Reason, e.Action, e.Annotations)
		}
		for _, rel := range releasesOf(t, ns) {
			text += fmt.Sprintln(rel.Spec, rel.Status, rel.Annotations)
		}
		for _, c := range canaries {
			if strings.Contains(text, c) {
				t.Errorf("%q is in what the operator wrote: %s", c, text)
			}
		}
		return nil
	})
}
