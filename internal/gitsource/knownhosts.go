package gitsource

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the form of hashed names in known_hosts
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

// knownHosts are the lines of a known_hosts file. What is not understood trusts nobody: lines with @cert-authority are left out, and
// a key with @revoked is refused whatever host it was revoked for.
type knownHosts struct {
	lines   []knownHost
	revoked []ssh.PublicKey
}

type knownHost struct {
	patterns []string
	key      ssh.PublicKey
}

func parseKnownHosts(data []byte) (knownHosts, error) {
	var out knownHosts
	for rest := data; ; {
		marker, hosts, key, _, left, err := ssh.ParseKnownHosts(rest)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return knownHosts{}, fault.New(fault.InvalidSecret, "known_hosts of the Secret cannot be read; write it with ssh-keyscan", nil)
		}
		switch marker {
		case "":
			out.lines = append(out.lines, knownHost{hosts, key})
		case "revoked":
			out.revoked = append(out.revoked, key)
		}
		rest = left
	}
	if len(out.lines) == 0 {
		return knownHosts{}, fault.New(fault.InvalidSecret, "known_hosts of the Secret has no line with the key of a host (certificate "+
			"authorities are not read); write it with ssh-keyscan", nil)
	}
	return out, nil
}

// check is an ssh.HostKeyCallback. All keys of the host count, so that the old and the new one can be there while it is changed.
func (k knownHosts) check(address string, _ net.Addr, key ssh.PublicKey) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	offered := fmt.Sprintf("its host key %s %s", key.Type(), ssh.FingerprintSHA256(key))
	for _, r := range k.revoked {
		if sameKey(r, key) {
			return errors.New(offered + " is marked as @revoked in known_hosts of the Secret")
		}
	}
	known := k.keysOf(host, port)
	if slices.ContainsFunc(known, func(known ssh.PublicKey) bool { return sameKey(known, key) }) {
		return nil
	}
	if len(known) == 0 {
		return errors.New("known_hosts of the Secret has no line for it; " + offered)
	}
	return errors.New(offered + " is another one than known_hosts of the Secret has for it: it was changed, or somebody is in between")
}

// algorithms are what to ask a host to prove itself with: those of the keys that are known of it, without the signatures that are
// no longer safe. None: whatever it has is refused.
func (k knownHosts) algorithms(host, port string) []string {
	safe := ssh.SupportedAlgorithms().HostKeys
	var out []string
	for _, key := range k.keysOf(host, port) {
		forms := []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			forms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, f := range forms {
			if slices.Contains(safe, f) && !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

func (k knownHosts) keysOf(host, port string) []ssh.PublicKey {
	name := hostAndPort(host, port)
	var out []ssh.PublicKey
	for _, l := range k.lines {
		if matchesHost(l.patterns, name) {
			out = append(out, l.key)
		}
	}
	return out
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// hostAndPort is how known_hosts writes a host: with brackets and port, if that is not 22.
func hostAndPort(host, port string) string {
	host = strings.ToLower(host)
	if port == "" || port == "22" {
		return host
	}
	return "[" + host + "]:" + port
}

// matchesHost: one of the patterns fits, and none that is negated does. See SSH_KNOWN_HOSTS FILE FORMAT in sshd(8).
func matchesHost(patterns []string, name string) bool {
	found := false
	for _, p := range patterns {
		if strings.HasPrefix(p, "|") {
			found = found || matchesHash(p, name)
			continue
		}
		p, negated := strings.CutPrefix(p, "!")
		if host, port, err := net.SplitHostPort(p); err == nil { // [host]:22 too, and host:2222, which ssh does not write
			p = hostAndPort(host, port)
		} else {
			p = strings.Trim(p, "[]")
		}
		if wildcard(strings.ToLower(p), name) {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// matchesHash: |1|salt|hash with HMAC-SHA1.
func matchesHash(p, name string) bool {
	parts := strings.Split(p, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return false
	}
	salt, e1 := base64.StdEncoding.DecodeString(parts[2])
	want, e2 := base64.StdEncoding.DecodeString(parts[3])
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return e1 == nil && e2 == nil && hmac.Equal(mac.Sum(nil), want)
}

// wildcard knows * and ?, as ssh does. It takes no more steps than the product of the lengths.
func wildcard(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
