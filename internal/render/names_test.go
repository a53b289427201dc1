package render

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// madeOf lists the names and label values that the controllers of Kubernetes and others make of an object's name, the longest
// ones, with the limits that these have.
var madeOf = map[string][]struct {
	what  string
	form  string
	limit int
}{
	"Deployment": {
		{"ReplicaSet", "%s-7d4b9c8f65", limitSubdomain},
		// A name is made of at most 58 characters and 5 random ones. What does not fit is cut off, the run first.
		{"base of the pods' names", "%s-7d4b9c8f65-", 58},
		{"pod", "%s-7d4b9c8f65-x2x4z", limitLabel},
	},
	"Pod": {{"host name", "%s", limitLabel}},
	"Job": {
		{"label batch.kubernetes.io/job-name", "%s", limitLabel},
		{"base of the pods' names", "%s-", 58},
		{"host name of an indexed pod", "%s-2147483647", limitLabel},
	},
	"CronJob": {
		{"what the API server takes", "%s", 52},
		{"Job and its label", "%s-2147483647", limitLabel},
	},
	"ScaledObject": {
		{"label scaledobject.keda.sh/name", "%s", limitLabel},
		{"label of its HorizontalPodAutoscaler", "keda-hpa-%s", limitLabel},
	},
}

// awkwardNames end, after the cut at any place, with every character that a name may not end with, or differ only at the end.
func awkwardNames() []string {
	var names []string
	for n := 1; n <= limitSubdomain; n++ {
		a := strings.Repeat("a", n)
		names = append(names, a)
		for _, pattern := range []string{"a-", "a.", "a--", "a---------"} {
			name := strings.Repeat(pattern, n/len(pattern)+1)[:n]
			names = append(names, name[:n-1]+"b", name[:n-1]+"c")
		}
	}
	return names
}

// TestLongNames: of every kind of the table that gets a name for each run, whatever the name in Git: what is made of the name
// is valid, tells the run, and is of one object only.
func TestLongNames(t *testing.T) {
	t.Parallel()
	names := awkwardNames()
	kinds := 0
	for _, rule := range kindTable {
		if !isVersioned(rule.class) {
			continue
		}
		kinds++
		if _, known := madeOf[rule.kind]; rule.workload() && !known {
			t.Errorf("%s: what is made of its name is not listed", rule.kind)
		}
		seen := map[string]string{}
		for _, name := range names {
			if len(validation.IsDNS1123Subdomain(name)) > 0 {
				continue
			}
			got := StampedName(rule.kind, name, laterRun)
			if len(validation.IsDNS1123Subdomain(got)) > 0 || !strings.HasSuffix(got, "-"+laterRun.Suffix()) {
				t.Fatalf("%s: %q became %q", rule.kind, name, got)
			}
			if other, taken := seen[got]; taken && other != name {
				t.Fatalf("%s: %q and %q are both %q", rule.kind, other, name, got)
			}
			seen[got] = name
			for _, m := range madeOf[rule.kind] {
				if made := fmt.Sprintf(m.form, got); len(made) > m.limit {
					t.Fatalf("%s: %s has %d characters, and %d are possible", rule.kind, m.what, len(made), m.limit)
				}
			}
		}
		if len(seen) < 1000 {
			t.Errorf("%s: only %d names", rule.kind, len(seen))
		}
	}
	if kinds < 9 {
		t.Errorf("only %d kinds", kinds)
	}
}

// TestNamesThatStay: objects that keep their names cannot be shortened. A StatefulSet whose pods could never be made is refused.
func TestNamesThatStay(t *testing.T) {
	t.Parallel()
	const hash = "-7d4b9c8f65"
	fits, long := strings.Repeat("a", limitLabel-len(hash)), strings.Repeat("a", limitLabel-len(hash)+1)
	for _, manifest := range []string{statefulSet(fits), strings.Replace(statefulSet(long[:40]+"-b"), "StatefulSet", "DaemonSet", 1),
		annotated(deployment(long[:40]+"-b"), "stele.dev/class", string(v1alpha1.ClassInPlace))} {
		for _, o := range mustStamp(t, mustBuild(t, one(manifest)), laterRun).Objects {
			if o.Object.GetName() != o.Source.Object.GetName() {
				t.Errorf("%s became %s", o.Source.Object.GetName(), o.Object.GetName())
			}
		}
	}
	runBad(t, []badCase{
		{"a StatefulSet whose pods cannot be labelled", one(statefulSet(long)), ReasonInvalidObject, "deploy/a.yaml", 1, "metadata.name: longer than 52"},
	})
}

// TestShortenedNamesStayDistinct: a name that is what another one becomes is refused, and a name that looks like a stamped one
// is a name like any other.
func TestShortenedNamesStayDistinct(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60)
	made := strings.TrimSuffix(StampedName("Deployment", long, laterRun), "-"+laterRun.Suffix())
	stays := func(name string) string {
		return annotated(configMap(name), "stele.dev/class", string(v1alpha1.ClassStable))
	}
	runBad(t, []badCase{
		{"two Deployments of which one has the name that the other gets", one(deployment(long), deployment(made)), ReasonNameCollision, "deploy/a.yaml", 0, "metadata.name"},
		{"a Stable object with the name that another one can get in a run", one(configMap("a"), stays("a-0000000000")), ReasonNameCollision, "deploy/a.yaml", 7,
			"metadata.name: is a name that ConfigMap/a can get"},
	})
	mustBuild(t, one(configMap("a"), stays("a-000000000"), stays("a-000000000g"), stays("b-0000000000"), statefulSet("a-0000000000")))
	s := mustStamp(t, mustBuild(t, one(configMap("a"), configMap("a-"+laterRun.Suffix()), configMap(made), configMap(long))), laterRun)
	seen := map[string]bool{}
	for _, o := range s.Objects {
		seen[o.Object.GetName()] = true
	}
	if len(seen) != 4 {
		t.Errorf("got %v", seen)
	}
}
