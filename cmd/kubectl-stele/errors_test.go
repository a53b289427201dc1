package main

import (
	"errors"
	"strings"
	"testing"
)

func TestRightNeeded(t *testing.T) {
	cases := map[string]struct{ said, want, never string }{
		"in a namespace": {`User "anna" cannot list resource "releasetracks" in API group "stele.dev" in the namespace "shop"`,
			"the right to list releasetracks.stele.dev in namespace shop; the ClusterRole view has it", "-A"},
		"everywhere": {`User "anna" cannot list resource "releasetracks" in API group "stele.dev" at the cluster scope`, "name a namespace with -n instead of -A", ""},
		"of no namespace": {`User "anna" cannot get resource "auditledgers" in API group "stele.dev" at the cluster scope`,
			"the right to get auditledgers.stele.dev in the whole cluster, which belongs to no namespace", "-n"},
		"secrets": {`User "anna" cannot list resource "secrets" in API group "" in the namespace "stele-system"`,
			"the right to list secrets in namespace stele-system. docs/cli.md", "ClusterRole"},
		"to write":   {`User "anna" cannot patch resource "releasetracks" in API group "stele.dev" in the namespace "shop"`, "docs/cli.md", "ClusterRole"},
		"no refusal": {"connection refused", "", "right"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := rightNeeded(errors.New(tc.said))
			if !strings.Contains(got, tc.want) || tc.never != "" && strings.Contains(got, tc.never) {
				t.Errorf("got %q", got)
			}
		})
	}
}
