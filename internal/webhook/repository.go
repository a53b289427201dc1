package webhook

import (
	"net/url"
	"slices"
	"strings"
)

// maxAddress is the greatest length of an address; that of spec.source.url.
const maxAddress = 2048

// Repository is the form in which two addresses of one repository are equal: host and path, without scheme, user, port, .git and
// capitals. It is "" for what is no address. Two repositories may get one form (two servers on one host, names that differ in
// capitals): then a listing too much is made, and never one too few.
func Repository(address string) string {
	if len(address) > maxAddress || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return ""
	}
	host, path := "", ""
	if strings.Contains(address, "://") {
		u, err := url.Parse(address)
		if err != nil || strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") {
			return ""
		}
		host, path = u.Hostname(), u.Path
	} else {
		// git@host:path, as scp has it
		before, after, found := strings.Cut(address, ":")
		if !found || strings.Contains(before, "/") {
			return ""
		}
		host, path = before[strings.LastIndex(before, "@")+1:], after
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if host == "" || path == "" {
		return ""
	}
	return strings.ToLower(host) + "/" + strings.ToLower(path)
}

// known are the forms of the addresses that are ones.
func known(addresses []string) []string {
	var out []string
	for _, a := range addresses {
		if r := Repository(a); r != "" && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}
