package fault

import (
	"fmt"
	"strconv"
)

// LimitError says that something in the repository is larger than Stele reads. Limits are checked before the content
// is read or held in memory.
type LimitError struct {
	// What is measured: "size of a file", "number of files read"...
	What string
	// Path inside the repository; empty where the limit is on the whole.
	Path string
	// Limit and Actual are in the same unit. Actual is 0 where only "more than Limit" is known.
	Limit, Actual int64
	// Unit is "bytes" or a plural noun such as "files".
	Unit string
	// Advice says what to do, where that is not to make the thing smaller. May be empty.
	Advice string
}

// Error names the limit, the measured value and the path.
func (e *LimitError) Error() string {
	where := ""
	if e.Path != "" {
		where = strconv.Quote(e.Path) + ": "
	}
	advice := ""
	if e.Advice != "" {
		advice = "; " + e.Advice
	}
	if e.Actual <= 0 {
		return fmt.Sprintf("%s%s is over the limit: at most %s are read%s", where, e.What, e.limit(), advice)
	}
	return fmt.Sprintf("%s%s is over the limit: %d %s, at most %s are read%s", where, e.What, e.Actual, e.Unit, e.limit(), advice)
}

// limit with its unit, and in the one that people set it in.
func (e *LimitError) limit() string {
	const mebi = 1 << 20
	if e.Unit == "bytes" && e.Limit >= mebi && e.Limit%mebi == 0 {
		return fmt.Sprintf("%d bytes (%d MiB)", e.Limit, e.Limit/mebi)
	}
	return fmt.Sprintf("%d %s", e.Limit, e.Unit)
}

// Is makes errors.Is(err, fault.Limit) work.
func (e *LimitError) Is(target error) bool {
	k, ok := target.(*Kind)
	return ok && k == Limit
}

// FaultReason is the condition reason.
func (e *LimitError) FaultReason() string { return Limit.Reason }
