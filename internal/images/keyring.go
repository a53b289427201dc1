package images

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	corev1 "k8s.io/api/core/v1"
)

// maxCredentials bounds how many credentials are tried for one image.
const maxCredentials = 5

// Keyring holds the credentials of pull Secrets and finds those that are for an image, in the way of the kubelet: an entry is for a
// host, in which a part between dots may be a pattern, or for the repositories below a path; longer entries come first.
type Keyring struct {
	keys []key
	// told are what is wrong with Secrets, for messages.
	told []string
}

type key struct {
	host, path string
	config     authn.AuthConfig
}

// NewKeyring takes the credentials of Secrets of the types kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg. What cannot
// be read of a Secret is left out and told of when a registry wants other credentials.
func NewKeyring(secrets []corev1.Secret) *Keyring {
	k := &Keyring{}
	for i := range secrets {
		k.add(&secrets[i])
	}
	slices.SortStableFunc(k.keys, func(a, b key) int { return cmp.Compare(b.host+b.path, a.host+a.path) })
	return k
}

// Tell notes what is wrong with a Secret.
func (k *Keyring) Tell(format string, args ...any) {
	k.told = append(k.told, fmt.Sprintf(format, args...))
}

func (k *Keyring) add(s *corev1.Secret) {
	entries := map[string]json.RawMessage{}
	var err error
	switch s.Type {
	case corev1.SecretTypeDockerConfigJson:
		config := struct {
			Auths map[string]json.RawMessage `json:"auths"`
		}{}
		err = json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &config)
		entries = config.Auths
	case corev1.SecretTypeDockercfg:
		err = json.Unmarshal(s.Data[corev1.DockerConfigKey], &entries)
	default:
		k.Tell("Secret %s is not of type %s", s.Name, corev1.SecretTypeDockerConfigJson)
		return
	}
	if err != nil {
		k.Tell("Secret %s holds no valid %s", s.Name, s.Type)
		return
	}
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		next := key{}
		if json.Unmarshal(entries[name], &next.config) != nil || !next.parse(name) {
			k.Tell("Secret %s has an entry that cannot be read", s.Name)
			continue
		}
		k.keys = append(k.keys, next)
	}
}

// parse reads what an entry is for: a host, or a path on it, with or without a scheme. /v1/ and /v2/ stand for the whole host.
func (k *key) parse(entry string) bool {
	if !strings.HasPrefix(entry, "https://") && !strings.HasPrefix(entry, "http://") {
		entry = "https://" + entry
	}
	u, err := url.Parse(entry)
	if err != nil || u.Host == "" {
		return false
	}
	p := u.Path
	if strings.HasPrefix(p, "/v1/") || strings.HasPrefix(p, "/v2/") {
		p = p[3:]
	}
	if p == "/" || p == "/v1" || p == "/v2" {
		p = ""
	}
	k.host, k.path = dockerHub(u.Host), p
	return true
}

// dockerHub is the one name that the library has for a host that goes by several.
func dockerHub(host string) string {
	switch host {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return "index.docker.io"
	}
	return host
}

// find returns the credentials for a repository, the most specific first.
func (k *Keyring) find(host, repository string) []authn.Authenticator {
	var out []authn.Authenticator
	if k == nil {
		return nil
	}
	for i := range k.keys {
		if e := &k.keys[i]; len(out) < maxCredentials && matchesHost(e.host, host) && strings.HasPrefix("/"+repository, e.path) {
			out = append(out, authn.FromConfig(e.config))
		}
	}
	return out
}

// matchesHost compares part by part; a pattern never stands for a dot, nor for a port.
func matchesHost(pattern, host string) bool {
	patternParts, patternPort := splitHost(pattern)
	parts, port := splitHost(host)
	if patternPort != port || len(patternParts) != len(parts) {
		return false
	}
	for i := range parts {
		if ok, err := path.Match(patternParts[i], parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func splitHost(s string) ([]string, string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, ""
	}
	return strings.Split(host, "."), port
}

// notes are what is wrong with Secrets, to be put behind a message.
func (k *Keyring) notes() string {
	if k == nil || len(k.told) == 0 {
		return ""
	}
	return ". " + strings.Join(k.told, "; ")
}
