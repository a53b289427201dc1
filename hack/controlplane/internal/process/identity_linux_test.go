package process

import "testing"

func TestParseStat(t *testing.T) {
	const tail = " S 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 98765 1000 2000"
	cases := map[string]struct {
		line, state, ticks string
		wantErr            bool
	}{
		"plain":                       {line: "42 (etcd)" + tail, state: "S", ticks: "98765"},
		"blanks and brackets in name": {line: "42 (a) b (c)" + tail, state: "S", ticks: "98765"},
		"no name":                     {line: "42", wantErr: true},
		"cut short":                   {line: "42 (etcd) S 1 2", wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			state, ticks, err := parseStat([]byte(tc.line))
			if (err != nil) != tc.wantErr || state != tc.state || ticks != tc.ticks {
				t.Errorf("parseStat = %q, %q, %v", state, ticks, err)
			}
		})
	}
}
