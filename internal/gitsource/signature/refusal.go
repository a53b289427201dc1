package signature

import (
	"fmt"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Refusal says why an object does not count as signed. Reason is one of SourceVerified; Message begins where "commit X" ends, and says
// what to do.
type Refusal struct{ Reason, Message string }

func refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// odd is what no program of Git writes.
func odd(format string, args ...any) *Refusal {
	return refuse(v1alpha1.SignatureInvalidReason, "%s; make the object anew with a current Git", fmt.Sprintf(format, args...))
}

func invalid(format string, args ...any) *Refusal {
	return refuse(v1alpha1.SignatureInvalidReason, format, args...)
}
