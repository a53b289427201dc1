package gitsource

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"github.com/stele-dev/stele/internal/gitsource/fault"
)

const maxURL = 2048

// ValidateURL refuses what cannot or must not be the address of a repository. Schemes are http, https and ssh. A user
// name is part of an ssh address (ssh://git@host/path); anything else in that place is a credential and belongs into a
// Secret, because a URL is shown in status, events and logs.
func ValidateURL(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, invalidURL("it is longer than %d bytes", maxURL)
	}
	for _, r := range raw {
		if !unicode.IsPrint(r) || unicode.IsSpace(r) || r == '\\' || r == unicode.ReplacementChar {
			return nil, invalidURL("it holds a space, a backslash or a character that cannot be printed")
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, invalidURL("it cannot be parsed")
	}
	switch u.Scheme {
	case "http", "https", "ssh":
	case "":
		return nil, invalidURL("it has no scheme; write ssh://git@host/path instead of git@host:path")
	default:
		return nil, invalidURL("the scheme must be http, https or ssh")
	}
	if err := validateHost(u); err != nil {
		return nil, err
	}
	if _, secret := u.User.Password(); secret || u.User != nil && u.Scheme != "ssh" {
		return nil, invalidURL("it holds credentials; put them into the Secret")
	}
	if name := u.User.Username(); strings.HasPrefix(name, "-") || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }) {
		return nil, invalidURL("the user name begins with a dash, or holds a space or a control character")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return nil, invalidURL("it has a query or a fragment")
	}
	if strings.Trim(u.Path, "/") == "" {
		return nil, invalidURL("it has no path")
	}
	for _, part := range strings.Split(u.Path, "/") {
		if part == ".." || strings.HasPrefix(part, "-") && u.Scheme == "ssh" {
			return nil, invalidURL("a part of the path is %q", fault.Scrub(part))
		}
	}
	for _, r := range u.Path {
		if unicode.IsControl(r) { // percent-encoded in raw
			return nil, invalidURL("the path holds a control character")
		}
	}
	return u, nil
}

func validateHost(u *url.URL) error {
	host := u.Hostname()
	if host == "" {
		return invalidURL("it has no host")
	}
	if strings.HasPrefix(host, "-") {
		return invalidURL("the host begins with a dash")
	}
	for _, r := range host {
		if r > unicode.MaxASCII || unicode.IsControl(r) || strings.ContainsRune("%@/\\?#'\"`$&|;<>(){}*!", r) {
			return invalidURL("the host holds a character that host names do not have; write international names in " +
				"their xn-- form")
		}
	}
	if last := host[strings.LastIndex(strings.TrimSuffix(host, "."), ".")+1:]; !strings.Contains(host, ":") && isNumber(strings.TrimSuffix(last, ".")) {
		if _, err := netip.ParseAddr(host); err != nil {
			// Some resolvers and proxies read 2130706433, 0x7f.1 and 127.1 as 127.0.0.1, and a check of addresses would not see it.
			return invalidURL("the host ends with a number and is not an IP address")
		}
	}
	if u.Port() == "0" || strings.HasSuffix(u.Host, ":") {
		return invalidURL("the port is missing or zero")
	}
	return nil
}

// isNumber says whether inet_aton would read it as one: decimal, octal or hexadecimal.
func isNumber(s string) bool {
	if hex, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isLoopback says whether a host can only be this machine.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

func invalidURL(format string, args ...any) error {
	return fault.New(fault.InvalidURL, "the repository URL is refused: "+fmt.Sprintf(format, args...), nil)
}
