package main

import "testing"

func TestSpreadOf(t *testing.T) {
	for name, tc := range map[string]struct {
		values []float64
		want   spread
	}{
		"nothing":                     {nil, spread{}},
		"one value is its own spread": {[]float64{3}, spread{3, 3, 3}},
		"odd number, unsorted":        {[]float64{9, 1, 4}, spread{1, 4, 9}},
		"even number":                 {[]float64{4, 1, 2, 9}, spread{1, 3, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := spreadOf(tc.values); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
