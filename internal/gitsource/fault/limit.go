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
	measured := "more"
	if e.Actual > 0 {
		measured = strconv.FormatInt(e.Actual, 10)
	}
	advice := ""
	if e.Advice != "" {
		advice = "; " + e.Advice
	}
	return fmt.Sprintf("%s%s is over the limit: %s %s, at most %d are read%s", where, e.What, measured, e.Unit, e.Limit, advice)
}

// Is makes errors.Is(err, fault.Limit) work.
func (e *LimitError) Is(target error) bool {
	k, ok := target.(*Kind)
	return ok && k == Limit
}

// FaultReason is the condition reason.
func (e *LimitError) FaultReason() string { return Limit.Reason }
