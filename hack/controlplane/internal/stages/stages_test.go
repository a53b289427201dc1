package stages

import (
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	rendered, err := Render()
	if err != nil {
		t.Fatal(err)
	}
	text := string(rendered)
	for _, want := range []string{
		"name: pod-start\n", "name: pod-start-unready\n", "name: pod-become-ready\n", "name: pod-become-unready\n",
		"name: pod-crash\n", "name: pod-complete\n", "name: pod-end\n", "name: pod-end-slowly\n", "name: pod-remove\n",
		"name: node-initialize\n", "name: node-heartbeat-with-lease\n", "name: pvc-provision\n", "name: pv-delete\n",
		BehaviourAnnotation, ReadyAfterAnnotation, TerminateAfterAnnotation, Provisioner,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the rendered stages lack %q", want)
		}
	}
	for _, leftover := range []string{"[[", "]]:", "<no value>"} {
		if strings.Contains(text, leftover) {
			t.Errorf("the rendered stages hold %q", leftover)
		}
	}
}
