package protection

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var configMaps = schema.GroupResource{Resource: "configmaps"}

func denial(policy string) error {
	return fmt.Errorf("ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s: no", policy, policy, policy)
}

func TestClassify(t *testing.T) {
	several := apierrors.NewForbidden(configMaps, "x", denial("other"))
	several.ErrStatus.Details.Causes = []metav1.StatusCause{{Message: denial("other").Error()}, {Message: denial(CanaryPolicy).Error()}}
	cases := map[string]struct {
		err  error
		want Result
	}{
		"allowed":                   {nil, ResultAllowed},
		"allowed, and it is there":  {apierrors.NewAlreadyExists(configMaps, "x"), ResultAllowed},
		"denied":                    {apierrors.NewForbidden(configMaps, "x", denial(CanaryPolicy)), ResultDenied},
		"denied, wrapped":           {fmt.Errorf("create: %w", apierrors.NewForbidden(configMaps, "x", denial(CanaryPolicy))), ResultDenied},
		"denied as invalid":         {&apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: denial(CanaryPolicy).Error()}}, ResultDenied},
		"among several":             {several, ResultDenied},
		"another policy":            {apierrors.NewForbidden(configMaps, "x", denial("other")), ResultFailed},
		"a policy of a longer name": {apierrors.NewForbidden(configMaps, "x", denial(CanaryPolicy+"-2")), ResultFailed},
		"no right":                  {apierrors.NewForbidden(configMaps, "x", errors.New(`User "stele-forged-labels" cannot create resource`)), ResultFailed},
		"no account":                {apierrors.NewUnauthorized("no"), ResultFailed},
		"no connection":             {errors.New("dial tcp: connection refused"), ResultFailed},
		"a proxy that says so":      {denial(CanaryPolicy), ResultFailed},
		"timeout":                   {apierrors.NewTimeoutError("slow", 1), ResultFailed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Classify(tc.err); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// Each case is a row of canaries, 30 s from each other, and what is known after the last of them.
func TestCanaryIsDamped(t *testing.T) {
	start := time.Date(2026, time.March, 3, 12, 0, 0, 0, time.UTC)
	allowed := []Problem{{What: CanaryAllowed, Kind: KindPolicy, Name: CanaryPolicy}}
	failed := func(detail string) []Problem { return []Problem{{What: CheckFailed, Detail: detail}} }
	cases := map[string]struct {
		row      string // d: denied, a: allowed, f: failed
		answered bool
		want     []Problem
	}{
		"none yet":                  {row: ""},
		"denied":                    {row: "d", answered: true},
		"allowed":                   {row: "a", answered: true, want: allowed},
		"allowed at once":           {row: "dda", answered: true, want: allowed},
		"denied again":              {row: "ad", answered: true},
		"one failure":               {row: "df", answered: true},
		"failures for a minute":     {row: "dff", answered: true, want: failed("no answer came; last answer at 2026-03-03T12:00:00Z")},
		"the text stays":            {row: "dffff", answered: true, want: failed("no answer came; last answer at 2026-03-03T12:00:00Z")},
		"it comes back":             {row: "dfffd", answered: true},
		"allowed, then a failure":   {row: "af", answered: true, want: allowed},
		"allowed, then failures":    {row: "aff", answered: true, want: failed("no answer came; last answer at 2026-03-03T12:00:00Z")},
		"first one fails":           {row: "f"},
		"two fail":                  {row: "ff"},
		"failing from the start on": {row: "fff", answered: true, want: failed("no answer came; no answer since 2026-03-03T12:00:00Z")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, now := Canary{Since: start}, start
			for i, r := range tc.row {
				now = start.Add(time.Duration(i) * 30 * time.Second)
				c.Note(map[rune]Result{'d': ResultDenied, 'a': ResultAllowed, 'f': ResultFailed}[r], "no answer came", now)
			}
			if got := c.Answered(now); got != tc.answered {
				t.Errorf("answered is %v", got)
			}
			if diff := cmp.Diff(tc.want, c.Problems(now)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	missing := Problem{What: Missing, Kind: KindPolicy, Name: "one"}
	unbound := Problem{What: Unbound, Kind: KindBinding, Name: "three", Policy: "two"}
	changed := Problem{What: Changed, Kind: KindPolicy, Name: "two", Field: "spec.validations[0]"}
	also := Problem{What: Changed, Kind: KindPolicy, Name: "two-and-a-half", Field: "spec.failurePolicy"}
	definition := Problem{What: Changed, Kind: KindDefinition, Name: "things", Field: "spec.group"}
	allowed := Problem{What: CanaryAllowed, Kind: KindPolicy, Name: CanaryPolicy}
	failed := Problem{What: CheckFailed, Detail: "no answer"}
	unread := Problem{What: CheckFailed, Kind: KindDefinition, Name: "things"}
	cases := map[string]struct {
		problems   []Problem
		unchecked  bool
		unenforced bool
		status     metav1.ConditionStatus
		reason     string
		says       []string
	}{
		"enforced":         {status: "True", reason: "Enforced", says: []string{"namespace shop"}},
		"not looked at":    {unchecked: true, status: "Unknown", reason: "NotChecked"},
		"not enforced":     {unenforced: true, status: "False", reason: "NamespaceNotEnforced", says: []string{"stele.dev/immutable: enforced", "make onboard NAMESPACE=shop"}},
		"missing":          {problems: []Problem{missing}, status: "False", reason: "PolicyMissing", says: []string{"missing: ValidatingAdmissionPolicy one", "make deploy", "kubectl apply"}},
		"unbound":          {problems: []Problem{unbound}, status: "False", reason: "PolicyMissing", says: []string{"ValidatingAdmissionPolicyBinding three (of policy two)", "make deploy"}},
		"changed":          {problems: []Problem{changed, also}, status: "False", reason: "PolicyChanged", says: []string{"changed: ValidatingAdmissionPolicy two (spec.validations[0]), two-and-a-half (spec.failurePolicy)", "make deploy"}},
		"two kinds":        {problems: []Problem{definition, changed}, status: "False", reason: "PolicyChanged", says: []string{"changed: CustomResourceDefinition things (spec.group); changed: ValidatingAdmissionPolicy two"}},
		"allowed":          {problems: []Problem{allowed}, status: "False", reason: "CanaryAllowed", says: []string{"was allowed in namespace stele-system", "stele.dev/immutable"}},
		"failed":           {problems: []Problem{failed}, status: "False", reason: "CheckFailed", says: []string{"could not be asked: no answer"}},
		"failed twice":     {problems: []Problem{failed, {What: CheckFailed, Detail: "no watch"}}, status: "False", reason: "CheckFailed", says: []string{"could not be asked: no answer; no watch"}},
		"unread":           {problems: []Problem{unread}, status: "False", reason: "CheckFailed", says: []string{"CustomResourceDefinition things could not be read"}},
		"all at once":      {problems: []Problem{missing, changed, allowed}, unenforced: true, status: "False", reason: "PolicyMissing", says: []string{"missing:", "changed:", "was allowed", "namespace shop lacks"}},
		"label before ask": {problems: []Problem{failed}, unenforced: true, status: "False", reason: "NamespaceNotEnforced", says: []string{"could not be asked", "namespace shop lacks"}},
		"label after all":  {problems: []Problem{allowed}, unenforced: true, status: "False", reason: "CanaryAllowed", says: []string{"namespace shop lacks"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Judge(Finding{Checked: !tc.unchecked, Problems: tc.problems, Namespace: "stele-system"}, "shop", !tc.unenforced)
			if got.Status != tc.status || got.Reason != tc.reason {
				t.Errorf("got %s %s, want %s %s", got.Status, got.Reason, tc.status, tc.reason)
			}
			for _, part := range tc.says {
				if !strings.Contains(got.Message, part) {
					t.Errorf("%q is not in: %s", part, got.Message)
				}
			}
			if got.Message == "" {
				t.Error("no message")
			}
		})
	}
}

func TestOnlyTheOneValueEnforces(t *testing.T) {
	for labels, want := range map[string]bool{"": false, "enforced": true, "Enforced": false, "true": false} {
		if got := IsEnforced(map[string]string{"stele.dev/immutable": labels}); got != want {
			t.Errorf("%q: %v", labels, got)
		}
	}
	if IsEnforced(nil) {
		t.Error("no labels")
	}
}
