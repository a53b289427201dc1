package apply

import "k8s.io/apimachinery/pkg/fields"

// exceptNames selects every object but those named; nil when none is.
func exceptNames(names []string) fields.Selector {
	var all []fields.Selector
	for _, n := range names {
		all = append(all, fields.OneTermNotEqualSelector("metadata.name", n))
	}
	if all == nil {
		return nil
	}
	return fields.AndSelectors(all...)
}
