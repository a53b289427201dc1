package protection

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// CanaryPolicy is the policy that has to deny the canary, and what its denial begins with.
const CanaryPolicy = "stele-forged-labels"

// Patience is how long an earlier answer stands when the canary is not answered any more: a connection that breaks once is no news.
const Patience = time.Minute

// Result is what became of a canary.
type Result string

const (
	// ResultDenied: by our policy, as it has to be.
	ResultDenied Result = "Denied"
	// ResultAllowed: nothing stood in its way.
	ResultAllowed Result = "Allowed"
	// ResultFailed: it did not get as far as our policies, or something else denied it. That proves nothing.
	ResultFailed Result = "Failed"
)

// Classify says what the answer to a canary means. That the object exists is said after admission has let the request pass.
func Classify(err error) Result {
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		return ResultAllowed
	case deniedBy(err, CanaryPolicy):
		return ResultDenied
	}
	return ResultFailed
}

// deniedBy: the answer is of the API server and names the policy. Of several policies that deny, the message is of one; all are among
// the causes.
func deniedBy(err error, policy string) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	denial := fmt.Sprintf("ValidatingAdmissionPolicy '%s' ", policy)
	s := status.Status()
	if strings.Contains(s.Message, denial) {
		return true
	}
	if s.Details == nil {
		return false
	}
	for _, c := range s.Details.Causes {
		if strings.Contains(c.Message, denial) {
			return true
		}
	}
	return false
}

// Canary is what canaries have shown so far. Its zero value, with Since set, is that of a process that has sent none.
type Canary struct {
	// Since is when this process began to send canaries.
	Since time.Time
	// Last is Denied or Allowed, whichever an answer said last, at At; empty: none has.
	Last Result
	At   time.Time
	// Failure is why the last canary proves nothing; empty: it does.
	Failure string
}

// Note takes in an answer. failure says why, with ResultFailed.
func (c *Canary) Note(result Result, failure string, now time.Time) {
	if result == ResultFailed {
		c.Failure = failure
		return
	}
	c.Last, c.At, c.Failure = result, now, ""
}

// Answered: enough is known to say something.
func (c *Canary) Answered(now time.Time) bool { return c.Last != "" || c.overdue(now) }

func (c *Canary) overdue(now time.Time) bool {
	since := c.At
	if c.Last == "" {
		since = c.Since
	}
	return c.Failure != "" && now.Sub(since) >= Patience
}

// Problems are what the canaries show to be wrong. The text of a problem stays the same from canary to canary.
func (c *Canary) Problems(now time.Time) []Problem {
	switch {
	case c.overdue(now) && c.Last == "":
		return []Problem{{What: CheckFailed, Detail: fmt.Sprintf("%s; no answer since %s", c.Failure, c.Since.UTC().Format(time.RFC3339))}}
	case c.overdue(now):
		return []Problem{{What: CheckFailed, Detail: fmt.Sprintf("%s; last answer at %s", c.Failure, c.At.UTC().Format(time.RFC3339))}}
	case c.Last == ResultAllowed:
		return []Problem{{What: CanaryAllowed, Kind: KindPolicy, Name: CanaryPolicy}}
	}
	return nil
}
