package render

import (
	"regexp"
	"strings"
)

// remotePattern matches more than kustomize takes for remote: a scheme, a forced protocol (git::), user@ at the start,
// github.com without a scheme, and the query that chooses a revision. More, because kustomize calls git or the network
// for what this pattern misses. An existing folder with such a name can still be named with "./" before it.
var remotePattern = regexp.MustCompile(`(?i)^\s*(?:[a-z][a-z0-9+.-]*::?//|[a-z0-9]+::|(?:https?|ssh|git|file):|[a-z0-9._-]+@|github\.com[/:])|://|[?&](?:ref|version|submodules|timeout)=`)

func remote(entry string) bool { return remotePattern.MatchString(entry) }

var (
	userinfoPattern = regexp.MustCompile(`(//|^)[^/]*@`)
	queryPattern    = regexp.MustCompile(`[?#].*$`)
)

// withoutCredentials shortens a URL to what may be shown: no user, no password, no query.
func withoutCredentials(url string) string {
	url = queryPattern.ReplaceAllString(strings.Join(strings.Fields(url), " "), "")
	url = userinfoPattern.ReplaceAllString(url, "$1")
	if len(url) > 100 {
		url = url[:100] + "…"
	}
	return url
}
