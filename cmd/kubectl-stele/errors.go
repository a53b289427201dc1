package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// exitError ends the command with a code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the command line.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitf ends the command with a code and says why. The text says what is wrong and what to do.
func exitf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// fail says what went wrong and what to do, and returns the exit code.
func (s *shell) fail(cmd *cobra.Command, err error) int {
	code, text := s.explain(err)
	own := (*exitError)(nil)
	if !s.began && !errors.As(err, &own) {
		code = exitUsage
	}
	s.notef("error: %s\n", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  "))
	if code == exitUsage {
		s.notef("See '%s --help'.\n", cmd.CommandPath())
	}
	return code
}

// explain gives the exit code and the text of an error: what is wrong, and what to do next.
func (s *shell) explain(err error) (int, string) {
	var own *exitError
	var address *url.Error
	switch {
	case errors.As(err, &own):
		return own.code, err.Error()
	case errors.Is(err, context.Canceled):
		return exitFailed, "interrupted"
	case apimeta.IsNoMatchError(err), isMissingResource(err):
		return exitFailed, fmt.Sprintf("%s\nThis cluster does not know all kinds of %s: Stele is not installed in it, or another version is, or --context names another cluster. "+
			"To install it: make build-installer, then kubectl apply --server-side -f dist/install.yaml (docs/install.md).", err, v1alpha1.GroupVersion)
	case apierrors.IsForbidden(err):
		return exitRefused, err.Error() + rightNeeded(err)
	case apierrors.IsUnauthorized(err):
		return exitRefused, "You must be logged in to the server (" + err.Error() + ")\nkubectl auth whoami says who you are; renew your credentials, or choose others with --context."
	case apierrors.IsInvalid(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return exitRefused, err.Error()
	case clientcmd.IsContextNotFound(err), noContext.MatchString(err.Error()):
		return exitFailed, err.Error() + "\nkubectl config get-contexts lists them."
	case clientcmd.IsEmptyConfig(err):
		return exitFailed, err.Error() + "\nName a file with --kubeconfig or in the environment variable KUBECONFIG."
	case errors.As(err, &address) && errors.Is(err, syscall.ECONNREFUSED):
		return exitFailed, fmt.Sprintf("The connection to the server %s was refused - did you specify the right host or port?%s", hostOf(address.URL), whichCluster)
	case errors.As(err, &address):
		return exitFailed, fmt.Sprintf("Unable to connect to the server: %s%s", address.Err, whichCluster)
	}
	return exitFailed, err.Error()
}

// noContext is what the loader of kubeconfigs says of a context that it was asked for by name.
var noContext = regexp.MustCompile(`^context ".*" does not exist$`)

const whichCluster = "\nkubectl config current-context says which cluster is meant; choose another with --context or --kubeconfig."

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// isMissingResource: the server has no such path. An object that is missing has a name.
func isMissingResource(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return status.Status().Reason == metav1.StatusReasonNotFound && (details == nil || details.Name == "")
}

// deniedForm is how the API server says which right is missing.
var deniedForm = regexp.MustCompile(`cannot ([a-z]+) resource "([^"]+)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]*)")?`)

// rightNeeded says which right is missing and which role has it.
func rightNeeded(err error) string {
	m := deniedForm.FindStringSubmatch(err.Error())
	if m == nil {
		return ""
	}
	resource, where := m[2], "in the whole cluster"
	if m[3] != "" {
		resource += "." + m[3]
	}
	if m[4] != "" {
		where = "in namespace " + m[4]
	}
	out := fmt.Sprintf("\nYou need the right to %s %s %s", m[1], resource, where)
	switch read := m[1] == "get" || m[1] == "list" || m[1] == "watch"; {
	case read && m[2] == "auditledgers":
		out += ", which belongs to no namespace; the ClusterRole stele-privacy has it, and docs/evidence.md has one for auditors"
	case read && m[2] != "secrets": // which no role of ours has
		out += "; the ClusterRole view has it for tracks and releases"
		if m[4] == "" {
			out += ". Without it, name a namespace with -n instead of -A"
		}
	}
	return out + ". docs/cli.md lists the rights of each command."
}

// notFound says that an object is missing, which ones have such a name, and which command lists them.
func (s *shell) notFound(what, name, namespace string, names []string, list string) error {
	text := fmt.Sprintf("%s %s does not exist in namespace %s", what, safe(name), namespace)
	if like := similar(name, names); len(like) > 0 {
		text += "; did you mean " + strings.Join(like, " or ") + "?"
	}
	return exitf(exitFailed, "%s\n%s %s lists what there is; -n chooses another namespace.", text, s.called, list)
}

// similar names, the most similar first; at most three.
func similar(name string, names []string) []string {
	var out []string
	for limit := 0; limit <= max(2, len(name)/4) && len(out) < 3; limit++ {
		for _, n := range names {
			if distance(name, n) == limit && len(out) < 3 {
				out = append(out, safe(n))
			}
		}
	}
	for _, n := range names {
		if len(out) < 3 && len(name) > 2 && strings.Contains(n, name) && !contains(out, n) {
			out = append(out, safe(n))
		}
	}
	return out
}

func contains(list []string, one string) bool {
	for _, each := range list {
		if each == one {
			return true
		}
	}
	return false
}

// distance is the number of characters to add, take away or change (Levenshtein).
func distance(a, b string) int {
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		diagonal := last[0]
		last[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = last[j+1]
			last[j+1] = min(cost, last[j]+1, diagonal+1)
		}
	}
	return last[len(b)]
}
