package fault

import (
	"errors"
	"strings"
	"testing"
)

// What a library panics with can hold what it was reading: a Secret, a name.
func TestPanicked(t *testing.T) {
	for _, p := range []any{"password: hunter2", errors.New("hunter2"), struct{ secret string }{"hunter2"}} {
		if text := Panicked("reading", p).Error(); strings.Contains(text, "hunter2") || !strings.HasPrefix(text, "internal error while reading") {
			t.Errorf("%s", text)
		}
	}
	defer func() {
		if text := Panicked("reading", recover()).Error(); !strings.Contains(text, "nil pointer") {
			t.Errorf("the runtime's own words are lost: %s", text)
		}
	}()
	var nothing *Error
	_ = nothing.Message
}
