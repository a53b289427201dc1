package writer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/log"
)

func waits(t *testing.T, key, version string) item {
	t.Helper()
	data, err := entry.Encode(entry.Entry{Key: key, Kind: entry.ReleaseCreated, Time: entry.Time(time.Unix(0, 0)), Object: entry.Object{Kind: "ImmutableRelease", Name: "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	return item{Name: entry.OutboxName(key), ResourceVersion: version, Data: string(data)}
}

func names(items []item) []string {
	var out []string
	for _, i := range items {
		out = append(out, i.Name)
	}
	return out
}

func TestDecide(t *testing.T) {
	a, b, c, d := waits(t, "a", "9"), waits(t, "b", "10"), waits(t, "c", "100"), waits(t, "d", "11")
	misnamed, half := waits(t, "e", "12"), waits(t, "f", "13")
	misnamed.Name = "outbox-else"
	half.Data = half.Data[:40]
	empty := item{Name: "outbox-empty", ResourceVersion: "1"}
	known := index{}
	known.add([]byte(d.Data))
	known.add([]byte("what cannot be read has no key"))
	got := decide([]item{c, misnamed, b, d, half, a, empty}, known.has)
	if diff := cmp.Diff([][]byte{[]byte(a.Data), []byte(b.Data), []byte(c.Data)}, got.Append); diff != "" {
		t.Errorf("appended, by resource version (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{d.Name}, names(got.Done)); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	var bad []string
	for _, p := range got.Bad {
		bad = append(bad, p.Name)
		if strings.Contains(p.Why, "shop") || p.Why == "" {
			t.Errorf("%s: %s", p.Name, p.Why)
		}
	}
	if diff := cmp.Diff([]string{"outbox-empty", "outbox-else", half.Name}, bad); diff != "" {
		t.Errorf("bad (-want +got):\n%s", diff)
	}
	if len(got.Waiting) != 6 || len(known) != 1 {
		t.Errorf("%d wait, %d are known", len(got.Waiting), len(known))
	}
	if again := decide([]item{empty, a, half, d, b, misnamed, c}, known.has); cmp.Diff(got, again) != "" {
		t.Error("the order of the list matters")
	}
}

func TestOldest(t *testing.T) {
	early, late := time.Unix(10, 0), time.Unix(20, 0)
	if got := oldest([]item{{Created: late}, {Created: early}, {Created: late}}); !got.Equal(early) {
		t.Errorf("got %s", got)
	}
	if got := oldest(nil); !got.IsZero() {
		t.Errorf("got %s", got)
	}
}

func TestSeenBefore(t *testing.T) {
	hash := tlog.Hash{1}
	for name, tc := range map[string]struct {
		status v1alpha1.AuditLedgerStatus
		want   []log.Tree
		fails  bool
	}{
		"nothing":           {},
		"a size":            {status: v1alpha1.AuditLedgerStatus{Size: 3, RootHash: hash.String()}, want: []log.Tree{{Size: 3, Root: hash}}},
		"and an anchor":     {status: v1alpha1.AuditLedgerStatus{Size: 3, RootHash: hash.String(), Anchor: &v1alpha1.AnchoredCheckpoint{Size: 2, RootHash: hash.String()}}, want: []log.Tree{{Size: 3, Root: hash}, {Size: 2, Root: hash}}},
		"a size alone":      {status: v1alpha1.AuditLedgerStatus{Size: 3}, fails: true},
		"an anchor's alone": {status: v1alpha1.AuditLedgerStatus{Anchor: &v1alpha1.AnchoredCheckpoint{Size: 3, RootHash: "x"}}, fails: true},
	} {
		got, err := seenBefore(tc.status)
		if diff := cmp.Diff(tc.want, got); diff != "" && !tc.fails {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if failed := errors.As(err, new(*log.ShorterError)); failed != tc.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatus(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	hash := tlog.Hash{1}
	before := v1alpha1.AuditLedgerStatus{Origin: "o", PublicKey: "k", Size: 7, RootHash: "was"}
	okay := facts{now: now, generation: 2, origin: "o", publicKey: "k2", known: true, tree: log.Tree{Size: 9, Root: hash},
		spec: v1alpha1.AuditLedgerSpec{BacklogDeadline: metav1.Duration{Duration: time.Minute}}}
	with := func(change func(*facts)) facts {
		f := okay
		change(&f)
		return f
	}
	anchoring := &v1alpha1.LedgerAnchor{Interval: metav1.Duration{Duration: time.Minute}}
	last := &v1alpha1.AnchoredCheckpoint{Size: 5, Time: metav1.NewTime(now.Add(-3 * time.Hour))}
	for name, tc := range map[string]struct {
		facts   facts
		reason  string // of Ready
		stalled bool
		size    int64
		says    string
		anchor  string // status and reason of Anchored
	}{
		"all is well":         {facts: okay, reason: "Succeeded", size: 9, says: "9 entries"},
		"not opened yet":      {facts: with(func(f *facts) { f.known, f.err = false, errors.New("no space left on device") }), reason: "LogUnwritable", size: 7, says: "no space left"},
		"the volume is full":  {facts: with(func(f *facts) { f.err = errors.New("no space left on device") }), reason: "LogUnwritable", size: 9, says: "see to the volume"},
		"shorter":             {facts: with(func(f *facts) { f.err = fmt.Errorf("x: %w", &log.ShorterError{What: "it has 3"}) }), reason: "LogShorter", stalled: true, size: 7, says: "it has 3"},
		"no key":              {facts: with(func(f *facts) { f.err = &keyError{"the key is gone"} }), reason: "LogKeyLost", stalled: true, size: 7, says: "the key is gone"},
		"the cluster refuses": {facts: with(func(f *facts) { f.err = fromCluster("delete: %w", context.DeadlineExceeded) }), reason: "InternalError", size: 9, says: "delete"},
		"a bad object":        {facts: with(func(f *facts) { f.bad = []problem{{"outbox-x", "why"}} }), reason: "EntryInvalid", size: 9, says: "outbox-x"},
		"behind":              {facts: with(func(f *facts) { f.waiting = []item{{Created: now.Add(-2 * time.Minute)}} }), reason: "LedgerBehind", size: 9, says: "1m0s"},
		"not behind yet":      {facts: with(func(f *facts) { f.waiting = []item{{Created: now.Add(-time.Second)}} }), reason: "Succeeded", size: 9, says: "9 entries"},
		"forked":              {facts: with(func(f *facts) { f.spec.Anchor, f.anchor.err = anchoring, fmt.Errorf("%w: x", anchor.ErrForked) }), reason: "LogForked", stalled: true, size: 7, says: "another log", anchor: "False LogForked"},
		"the anchor is down": {facts: with(func(f *facts) {
			f.spec.Anchor, f.anchor = anchoring, anchorFacts{last: last, err: errors.New("refused")}
		}), reason: "Succeeded", size: 9, says: "9 entries", anchor: "False AnchorFailed"},
		"the anchor was taken out of the spec": {facts: with(func(f *facts) { f.anchor = anchorFacts{last: last, err: anchor.ErrForked} }), reason: "Succeeded", size: 9, says: "9 entries"},
		"not anchored yet":                     {facts: with(func(f *facts) { f.spec.Anchor = anchoring }), reason: "Succeeded", size: 9, says: "9 entries", anchor: "False Progressing"},
		"anchored":                             {facts: with(func(f *facts) { f.spec.Anchor, f.anchor = anchoring, anchorFacts{last: last} }), reason: "Succeeded", size: 9, says: "9 entries", anchor: "True Succeeded"},
		"the key before the volume":            {facts: with(func(f *facts) { f.err = errors.Join(&keyError{"the key is gone"}, errors.New("x")) }), reason: "LogKeyLost", stalled: true, size: 7, says: "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			got := computeStatus(tc.facts, before)
			ready := apimeta.FindStatusCondition(got.Conditions, v1alpha1.ReadyCondition)
			if ready == nil || ready.Reason != tc.reason || (ready.Status == metav1.ConditionTrue) != (tc.reason == "Succeeded") || !strings.Contains(strings.ToLower(ready.Message), strings.ToLower(tc.says)) {
				t.Fatalf("Ready: %+v", ready)
			}
			if stalled := apimeta.IsStatusConditionTrue(got.Conditions, v1alpha1.StalledCondition); stalled != tc.stalled {
				t.Errorf("Stalled: %v", stalled)
			}
			if busy := apimeta.IsStatusConditionTrue(got.Conditions, v1alpha1.ReconcilingCondition); busy != (!tc.stalled && tc.reason != "Succeeded") {
				t.Errorf("Reconciling: %v", busy)
			}
			if got.Size != tc.size || got.ObservedGeneration != 2 || (tc.size == 7 && got.RootHash != "was") {
				t.Errorf("status %+v", got)
			}
			c := apimeta.FindStatusCondition(got.Conditions, v1alpha1.AnchoredCondition)
			if text := ""; c != nil {
				if text = string(c.Status) + " " + c.Reason; text != tc.anchor {
					t.Errorf("Anchored: %s, want %s", text, tc.anchor)
				}
				if tc.facts.anchor.last != nil && c.Status == metav1.ConditionFalse && !strings.Contains(c.Message, "has 5 entries and is more than 3 hours old") {
					t.Errorf("it says: %s", c.Message)
				}
			} else if tc.anchor != "" {
				t.Error("Anchored is missing")
			}
			// Nothing new is nothing to write.
			if diff := cmp.Diff(got, computeStatus(tc.facts, got)); diff != "" {
				t.Errorf("a second time (-first +second):\n%s", diff)
			}
		})
	}
}

func TestCoarse(t *testing.T) {
	for age, want := range map[time.Duration]string{0: "less than 10 minutes", 10 * time.Minute: "more than 10 minutes", 39 * time.Minute: "more than 30 minutes", 49 * time.Hour: "more than 49 hours"} {
		if got := coarse(age); got != want {
			t.Errorf("%s: %s", age, got)
		}
	}
}

func TestKeys(t *testing.T) {
	data, err := newKeys("origin")
	if err != nil {
		t.Fatal(err)
	}
	k, err := parseKeys(data, "origin")
	if err != nil {
		t.Fatal(err)
	}
	signature, err := k.signer.Sign([]byte("text"))
	if err != nil || !k.verifier.Verify([]byte("text"), signature) || !strings.HasPrefix(k.sshPublic(), "ssh-ed25519 ") {
		t.Errorf("%v, %s", err, k.sshPublic())
	}
	for name, change := range map[string]func(map[string][]byte){
		"no log key":        func(d map[string][]byte) { delete(d, logKey) },
		"a cut log key":     func(d map[string][]byte) { d[logKey] = d[logKey][:40] },
		"no anchor key":     func(d map[string][]byte) { delete(d, anchorKey) },
		"a cut anchor key":  func(d map[string][]byte) { d[anchorKey] = d[anchorKey][:80] },
		"another log's key": func(d map[string][]byte) { other, _ := newKeys("other"); d[logKey] = other[logKey] },
	} {
		altered := map[string][]byte{logKey: data[logKey], anchorKey: data[anchorKey]}
		change(altered)
		if _, err := parseKeys(altered, "origin"); err == nil || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tc := range map[string]struct {
		r      keyRequest
		former []keys
		may    bool
	}{
		"a first start":               {may: true},
		"a log that is recorded":      {r: keyRequest{recorded: k.public}},
		"a log on the volume":         {r: keyRequest{begun: true}},
		"a change of keys on purpose": {r: keyRequest{recorded: k.public, begun: true}, former: []keys{k}, may: true},
	} {
		if err := mayMakeKeys(tc.r, tc.former); (err == nil) != tc.may {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := isRecorded(keyRequest{recorded: k.public}, []keys{{public: "x"}, k}); err != nil {
		t.Error(err)
	}
	if err := isRecorded(keyRequest{recorded: "y"}, []keys{k}); err == nil {
		t.Error("another key was taken")
	}
}

// An object is read once, however often the outbox is looked at.
func TestReadOnce(t *testing.T) {
	a := waits(t, "a", "1")
	a.Is, a.Data = read(a), "it is not read again"
	if got := decide([]item{a}, func(string) bool { return false }); len(got.Append) != 1 || len(got.Bad) != 0 {
		t.Errorf("got %+v", got)
	}
	bad := item{Name: "outbox-bad", ResourceVersion: "2", Data: "{}"}
	bad.Is = read(bad)
	if got := decide([]item{bad}, func(string) bool { return false }); len(got.Bad) != 1 || got.Bad[0].Why == "" {
		t.Errorf("got %+v", got)
	}
}
