package admission

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

var update = flag.Bool("update", false, "write the golden matrix anew")

// row is a request and who may make it.
type row struct {
	request
	may []string
}

func (r row) mayDo(name string) bool {
	if slices.Contains(r.may, everyone) {
		return !slices.Contains(r.may, "-"+name)
	}
	return slices.Contains(r.may, name)
}

// TestMatrix asks everything, as everybody.
func TestMatrix(t *testing.T) {
	who := everybody(t)
	rows := append(tenantRows(t), steleRows()...)
	rows = append(rows, systemRows()...)
	lines := ask(t, who, rows)
	file := filepath.Join("testdata", "matrix.txt")
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the matrix has changed; look at it, and write it with -update (-golden +now):\n%s", diff)
	}
}

// TestOrdinaryNamespace: without the label people and machines do in a namespace what RBAC lets them.
func TestOrdinaryNamespace(t *testing.T) {
	who := people(t)
	delete(who, "installer") // in another namespace than the operator's, nobody special
	delete(who, "node")
	var rows []row
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		for _, r := range append(ofKind(k, ordinary), whole(k, ordinary)...) {
			rows = append(rows, row{request: r, may: []string{everyone}})
		}
	}
	for _, r := range withoutLabels(ordinary) {
		rows = append(rows, row{request: r, may: []string{everyone}})
	}
	ask(t, who, rows)
}

// TestOtherVerbs: update and deletecollection meet the same rules as patch and delete.
func TestOtherVerbs(t *testing.T) {
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for _, k := range all {
		for _, r := range whole(k, enforced) {
			names, ok := may(ofObjects, r.resource, r.action)
			if !ok {
				t.Fatalf("no rule for %s", r)
			}
			rows = append(rows, row{request: r, may: names})
		}
	}
	ask(t, people(t), rows)
}

// people are those who are asked about everything: not every controller has a part in everything.
func people(t *testing.T) map[string]*identity {
	t.Helper()
	out := map[string]*identity{"replicaset-controller": controller(t, "replicaset-controller")}
	for _, name := range []string{"operator", "impersonator", "masters", "tenant", "node", "break-glass", "installer"} {
		out[name] = one(t, name)
	}
	return out
}

// ask sends every request as everybody, and compares with the rules. It returns one line for each row: who may.
func ask(t *testing.T, who map[string]*identity, rows []row) []string {
	t.Helper()
	names := slices.Sorted(maps.Keys(who))
	for _, r := range rows {
		for _, name := range r.may {
			if _, known := who[strings.TrimPrefix(name, "-")]; !known && name != everyone && len(who) > 20 {
				t.Errorf("the rule for %s names %s, who does not exist", r, name)
			}
		}
	}
	outcomes := make([]map[string]string, len(rows))
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	var lock sync.Mutex
	for n, r := range rows {
		outcomes[n] = map[string]string{}
		group.Go(func() error {
			for _, name := range names {
				if r.notForTenants && name == "tenant" || !concerns(r, name) {
					continue
				}
				got := r.outcome(ctx, who[name])
				lock.Lock()
				outcomes[n][name] = got
				lock.Unlock()
			}
			return context.Cause(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	lines := make([]string, 0, len(rows))
	for n, r := range rows {
		lines = append(lines, compare(t, r, outcomes[n]))
	}
	return lines
}

// concerns: everybody is asked about the actions that matter most. About the other actions on an object only those controllers are asked that
// may do something to the resource, besides people: the rest are strangers to every policy, and no two strangers differ.
func concerns(r row, name string) bool {
	_, controller := classified[name]
	_, ofKind := may(ofObjects, r.resource, r.action)
	return !controller || !ofKind || slices.Contains([]string{"create", "change our annotation", "delete"}, r.action) || partners(r.resource)[name]
}

// partners are all that any rule names for a resource.
func partners(resource string) map[string]bool {
	out := map[string]bool{}
	for _, r := range slices.Concat(ofObjects, ofStatuses) {
		for _, name := range slices.Concat(r.always, r.also[resource]) {
			out[name] = true
		}
	}
	return out
}

func compare(t *testing.T, r row, outcomes map[string]string) string {
	t.Helper()
	var yes, no []string
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		want := denied
		if r.mayDo(name) {
			want = allowed
		}
		got := outcomes[name]
		if got != want {
			t.Errorf("%s as %s: %s, instead of %s", r, name, got, want)
		}
		if got == allowed {
			yes = append(yes, name)
		} else {
			no = append(no, name)
		}
	}
	text := strings.Join(yes, " ")
	switch {
	case len(no) == 0:
		text = everyone
	case len(yes) == 0:
		text = "nobody"
	case len(no) <= 4:
		text = everyone + " but " + strings.Join(no, " ")
	}
	return fmt.Sprintf("%-14s %-50s %-26s %s", r.namespace, r.resource, r.action, text)
}

// tenantRows are the rows of an enforced namespace.
func tenantRows(t *testing.T) []row {
	t.Helper()
	all, err := kinds()
	if err != nil {
		t.Fatal(err)
	}
	var out []row
	add := func(rules []rule, requests []request) {
		for _, r := range requests {
			names, ok := may(rules, r.resource, r.action)
			if !ok {
				t.Fatalf("no rule for %s", r)
			}
			out = append(out, row{request: r, may: names})
		}
	}
	statuses := discoveredStatuses(t)
	for _, k := range all {
		add(ofObjects, ofKind(k, enforced))
		switch {
		case !statuses[k.name()+"/status"]:
		case k.custom: // the API server keeps their metadata as it is
			for _, r := range ofStatus(k, enforced) {
				out = append(out, row{request: r, may: []string{everyone}})
			}
		default:
			add(ofStatuses, ofStatus(k, enforced))
		}
	}
	for _, r := range withoutLabels(enforced) {
		names, ok := ofSubresources[r.resource]
		if !ok {
			t.Fatalf("no rule for %s", r)
		}
		out = append(out, row{request: r, may: names})
	}
	return out
}
