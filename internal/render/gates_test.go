package render

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
)

// Whatever this package refuses, a gate answers for it.
func TestEveryReasonBelongsToAGate(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		n++
		reason := strings.TrimPrefix(spec.Names[0].Name, "Reason")
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			if reason, err = strconv.Unquote(lit.Value); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := policy.GateOf(reason); !ok {
			t.Errorf("reason %s belongs to no gate", reason)
		}
		return true
	})
	if n < 20 {
		t.Errorf("found only %d reasons", n)
	}
}

// One commit that fails several gates tells of all of them, also when one of them fails a hundred times.
func TestAllThatFailedIsTold(t *testing.T) {
	t.Parallel()
	var manifests []string
	for i := range 150 {
		manifests = append(manifests, "apiVersion: v1\nkind: Namespace\nmetadata: {name: a"+strconv.Itoa(i)+"}\n")
	}
	manifests = append(manifests, deployment("web"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: z, namespace: other, finalizers: [a/b]}\n")
	opt := shop
	opt.Gates = v1alpha1.Gates{Images: v1alpha1.ImagesRequire, Hardening: v1alpha1.GateEnforce}
	_, err := Build(one(manifests...), "deploy", opt)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	failed := policy.FailedGates(e.Findings())
	for _, gate := range []string{"kinds", "namespace", "metadata", "images", "hardening/non-root", "hardening/service-account-token"} {
		if !slices.Contains(failed, gate) {
			t.Errorf("gate %s has failed and is not told", gate)
		}
		if first, _, _ := strings.Cut(e.Error(), "\n"); !strings.Contains(first, gate) {
			t.Errorf("the first line does not name %s: %s", gate, first)
		}
	}
	if len(e.Problems) != maxProblems || e.Omitted < 50 {
		t.Errorf("%d problems, %d omitted", len(e.Problems), e.Omitted)
	}
}

func TestHardeningOfABuild(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode     v1alpha1.GateMode
		refused  bool
		warnings bool
	}{{"", false, true}, {v1alpha1.GateWarn, false, true}, {v1alpha1.GateIgnore, false, false}, {v1alpha1.GateEnforce, true, false}} {
		opt := shop
		opt.Gates.Hardening = tc.mode
		b, err := Build(one(deployment("web"), "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tick}\nspec: {schedule: '* * * * *', jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: a}]}}}}}\n"), "deploy", opt)
		var e *Error
		if refused := errors.As(err, &e); refused != tc.refused {
			t.Errorf("mode %q: %v", tc.mode, err)
			continue
		}
		if tc.refused {
			if !e.Has("RunsAsRoot") || !strings.Contains(err.Error(), "CronJob/tick: spec.jobTemplate.spec.template.spec.containers[0].securityContext.runAsNonRoot") {
				t.Error(err)
			}
			continue
		}
		if (len(b.Warnings) > 0) != tc.warnings {
			t.Errorf("mode %q: %d warnings", tc.mode, len(b.Warnings))
		}
	}
}

// The labels that the cluster is asked about are those that the pods get.
func TestPodLabelsAreThoseOfTheStampedPods(t *testing.T) {
	t.Parallel()
	b := mustBuild(t, one(deployment("web"), statefulSet("db"),
		"apiVersion: v1\nkind: Pod\nmetadata: {name: bare, labels: {app: bare}}\nspec: {containers: [{name: a, image: a}]}\n",
		"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tick}\nspec: {schedule: '* * * * *', jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: a}]}}}}}\n",
		configMap("config")))
	got := map[string]map[string]string{}
	for _, p := range b.PodLabels(laterRun.Track, laterRun.Release, laterRun.Run) {
		got[p.Workload] = p.Labels
	}
	want := map[string]map[string]string{}
	for _, o := range mustStamp(t, b, laterRun).Objects {
		if meta, spec := podParts(ruleFor(o.Source.groupKind()), o.Object.Object); spec != nil {
			labels, _ := stringMap(meta["labels"])
			want[o.Source.Object.GetKind()+"/"+o.Source.Object.GetName()] = labels
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 4 {
		t.Errorf("%d workloads\n%s", len(want), diff)
	}
}
