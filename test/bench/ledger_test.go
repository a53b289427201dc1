package main

import (
	"testing"
	"time"
)

func TestAddedByLedger(t *testing.T) {
	begin := time.Unix(0, 0)
	at := func(from, took int, verb, target, namespace string) apiRequest {
		return apiRequest{start: begin.Add(time.Duration(from) * time.Millisecond), took: time.Duration(took) * time.Millisecond, verb: verb, target: target, namespace: namespace}
	}
	entry := func(from, took int) apiRequest { return at(from, took, "create", "configmaps", "stele-system") }
	move := at(100, 5, "patch", "services", "a")
	for name, tc := range map[string]struct {
		calls calls
		want  int
	}{
		"none":                   {calls{move}, 0},
		"two alone":              {calls{entry(0, 3), entry(20, 4), move}, 7},
		"beside another":         {calls{entry(0, 5), at(0, 9, "list", "services", "a"), move}, 0},
		"partly beside another":  {calls{entry(0, 10), at(2, 3, "list", "services", "a"), at(7, 1, "get", "secrets", "a"), move}, 6},
		"after the switch":       {calls{move, entry(110, 4)}, 0},
		"a ConfigMap of an app":  {calls{at(0, 5, "create", "configmaps", "a"), move}, 0},
		"a watch is no other":    {calls{at(0, 90, "watch", "pods", ""), entry(10, 4), move}, 4},
		"nothing was moved":      {calls{entry(0, 5)}, 0},
		"longer than the others": {calls{at(0, 4, "get", "secrets", "a"), entry(1, 9), move}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.calls.addedByLedger(); got != time.Duration(tc.want)*time.Millisecond {
				t.Errorf("got %s, want %d ms", got, tc.want)
			}
		})
	}
}
