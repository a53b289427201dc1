package fault

import (
	"fmt"
	"runtime"
)

// Panicked is the error of a panic over hostile input. What was panicked with may repeat the input, so that only the runtime's own words are
// taken over.
func Panicked(doing string, p any) error {
	if r, ok := p.(runtime.Error); ok {
		return fmt.Errorf("internal error while %s: %w", doing, r)
	}
	return fmt.Errorf("internal error while %s (%T)", doing, p)
}
