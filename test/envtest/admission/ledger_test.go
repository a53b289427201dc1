package admission

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const anID, anotherID = "0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff"

func erasing(ids, actor string) string {
	return `{"metadata":{"annotations":{"stele.dev/erase":"` + ids + `","stele.dev/actor":"` + actor + `"}}}`
}

// TestVerbsOfTheLedger: configure for its settings, erase for an erasure, and who asks is who is named.
func TestVerbsOfTheLedger(t *testing.T) {
	officer, engineer, admin := person(t, "officer"), person(t, "engineer"), one(t, "masters")
	writer, err := impersonated("writer", "system:serviceaccount:stele-system:stele-ledger", []string{"system:masters"}, map[string][]string{podUID: {"0"}})
	if err != nil {
		t.Fatal(err)
	}
	status := func(i *identity) func(context.Context) error {
		return func(ctx context.Context) error {
			return i.patch(ctx, ledgers, "", "cluster", `{"status":{"size":7}}`, "status")
		}
	}
	send := func(i *identity, patch string) func(context.Context) error {
		return func(ctx context.Context) error { return i.patch(ctx, ledgers, "", "cluster", patch) }
	}
	hundred := strings.TrimSuffix(strings.Repeat(anID+",", 100), ",")
	cases := map[string]struct {
		send   func(context.Context) error
		denied bool
	}{
		"the officer erases":                            {send(officer, erasing(anID, "officer")), false},
		"a hundred":                                     {send(officer, erasing(hundred, "officer")), false},
		"more than a hundred":                           {send(officer, erasing(hundred+","+anID, "officer")), true},
		"what is no id":                                 {send(officer, erasing("shop", "officer")), true},
		"in the name of another":                        {send(officer, erasing(anID, "engineer")), true},
		"without saying who":                            {send(officer, `{"metadata":{"annotations":{"stele.dev/erase":"`+anID+`"}}}`), true},
		"and configures":                                {send(officer, `{"spec":{"backlogDeadline":"20m"}}`), true},
		"and labels":                                    {send(officer, `{"metadata":{"labels":{"a":"b"}}}`), true},
		"and holds it":                                  {send(officer, `{"metadata":{"finalizers":["example.org/hold"]}}`), true},
		"an administrator erases":                       {send(admin, erasing(anID, "root")), false},
		"an administrator configures":                   {send(admin, `{"spec":{"backlogDeadline":"20m"}}`), false},
		"an administrator writes the status":            {status(admin), true},
		"the operator writes it":                        {status(one(t, "operator")), false},
		"the writer of the log writes it":               {status(writer), false},
		"an impersonator of the operator does":          {status(one(t, "impersonator")), true},
		"the writer of the log configures nothing else": {send(writer, `{"metadata":{"annotations":{"stele.dev/erase":"`+anID+`"}}}`), true},
		"an administrator deletes it":                   {func(ctx context.Context) error { return admin.delete(ctx, ledgers, "", "cluster") }, true},
		"an installer deletes it":                       {func(ctx context.Context) error { return one(t, "installer").delete(ctx, ledgers, "", "cluster") }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.send(t.Context())
			if got := deniedBy(err); (got == "stele-ledger") != tc.denied || err != nil && got == "" {
				t.Errorf("denied: %t; %v", got != "", err)
			}
		})
	}
	if err := engineer.patch(t.Context(), ledgers, "", "cluster", erasing(anID, "engineer")); err == nil {
		t.Error("who has no right at the AuditLedger may erase")
	}
}

// TestErasureStands: nobody takes an erasure back, or puts another in its place, before the operator has obeyed it.
func TestErasureStands(t *testing.T) {
	officer, admin, operator := person(t, "officer"), one(t, "masters"), one(t, "operator")
	write := func(i *identity, patch string) error {
		_, err := i.dyn.Resource(ledgers).Patch(t.Context(), "cluster", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	}
	const none = `{"metadata":{"annotations":{"stele.dev/erase":null,"stele.dev/actor":null}}}`
	if err := write(officer, erasing(anID, "officer")); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"taken back":                  write(officer, none),
		"replaced":                    write(officer, erasing(anotherID, "officer")),
		"replaced by another":         write(admin, erasing(anotherID, "root")),
		"the name of who asks":        write(admin, `{"metadata":{"annotations":{"stele.dev/actor":null}}}`),
		"the name, by another's name": write(admin, `{"metadata":{"annotations":{"stele.dev/actor":"somebody"}}}`),
	} {
		if deniedBy(err) != "stele-ledger" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := write(admin, `{"spec":{"backlogDeadline":"30m"}}`); err != nil {
		t.Errorf("other settings wait for it: %v", err)
	}
	if err := write(operator, none); err != nil {
		t.Errorf("the operator: %v", err)
	}
}
