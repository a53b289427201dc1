package record_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/record"
)

func TestTrack(t *testing.T) {
	type status = v1alpha1.ReleaseTrackStatus
	pinned := &v1alpha1.PinnedRelease{Release: "shop-a", Since: *at(1)}
	conditions := func(kind string, s metav1.ConditionStatus, message string) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: s, Reason: "Because", Message: message, LastTransitionTime: metav1.NewTime(now)}}
	}
	unprotected := conditions(v1alpha1.ProtectedCondition, metav1.ConditionFalse, "")
	protected := conditions(v1alpha1.ProtectedCondition, metav1.ConditionTrue, "")
	for name, tc := range map[string]struct {
		before, after status
		want          []string
	}{
		"nothing":          {before: status{Pinned: pinned}, after: status{Pinned: pinned}},
		"pinned":           {after: status{Pinned: pinned}, want: []string{"TrackPinned"}},
		"pinned elsewhere": {before: status{Pinned: pinned}, after: status{Pinned: &v1alpha1.PinnedRelease{Release: "shop-b"}}, want: []string{"TrackPinned"}},
		"unpinned":         {before: status{Pinned: pinned}, want: []string{"TrackUnpinned"}},
		"promoted":         {after: status{Promotion: &v1alpha1.PromotedRelease{Release: "shop-a"}}, want: []string{"TrackPromoted"}},
		"promotion handled": {before: status{Promotion: &v1alpha1.PromotedRelease{Release: "shop-a"}},
			after: status{Promotion: &v1alpha1.PromotedRelease{Release: "shop-a", Handled: at(3)}}},
		"rejected":  {before: status{Rejected: []string{"a"}}, after: status{Rejected: []string{"a", "b"}}, want: []string{"CommitRejected"}},
		"admitted":  {before: status{Rejected: []string{"a"}}, want: []string{"CommitAdmitted"}},
		"rewritten": {after: status{Conditions: conditions(v1alpha1.HistoryRewrittenCondition, metav1.ConditionTrue, "a is not in b")}, want: []string{"HistoryRewritten Because"}},
		"rewritten still": {before: status{Conditions: conditions(v1alpha1.HistoryRewrittenCondition, metav1.ConditionTrue, "a is not in b")},
			after: status{Conditions: conditions(v1alpha1.HistoryRewrittenCondition, metav1.ConditionTrue, "a is not in b")}},
		"the first verdict":          {after: status{Conditions: protected}},
		"never protected":            {after: status{Conditions: unprotected}, want: []string{"ProtectionLost Because"}},
		"protection lost":            {before: status{Conditions: protected}, after: status{Conditions: unprotected}, want: []string{"ProtectionLost Because"}},
		"protection there again":     {before: status{Conditions: unprotected}, after: status{Conditions: protected}, want: []string{"ProtectionRestored Because"}},
		"protection not known today": {before: status{Conditions: protected}, after: status{Conditions: conditions(v1alpha1.ProtectedCondition, metav1.ConditionUnknown, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			track := newTrack()
			track.Status = tc.after
			about := record.About{Track: track, Now: now}
			got := record.Track(tc.before, about)
			if !slices.Equal(kinds(got), tc.want) {
				t.Errorf("got %v, want %v", kinds(got), tc.want)
			}
			about.Now = now.Add(time.Hour)
			for i, e := range record.Track(tc.before, about) {
				if e.Key != got[i].Key {
					t.Errorf("found again, its key is %s and was %s", e.Key, got[i].Key)
				}
			}
		})
	}
}

func TestFollowed(t *testing.T) {
	about := record.About{Track: newTrack(), Now: now}
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	if got := kinds(record.Followed(a, b, "", about)); !slices.Equal(got, []string{"HistoryRewritten Followed"}) {
		t.Errorf("by the track: got %v", got)
	}
	got := record.Followed(a, b, b, about)
	if !slices.Equal(kinds(got), []string{"HistoryRewritten Followed", "HistoryAccepted"}) || !record.OfPerson(got[1].Kind) || record.OfPerson(got[0].Kind) {
		t.Errorf("by a person: got %v", kinds(got))
	}
}

func TestBreakGlass(t *testing.T) {
	grant := v1alpha1.OpenGrant{Namespaces: []string{"shop"}, ReasonCode: "INC-1", Until: metav1.NewTime(now)}
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: "cluster", UID: "bg"}}
	first := record.BreakGlass(b, []v1alpha1.OpenGrant{grant}, nil, now)
	b.Status.Ended = []v1alpha1.EndedGrant{{Namespace: "shop", At: *at(4)}}
	again := record.BreakGlass(b, []v1alpha1.OpenGrant{grant}, []v1alpha1.OpenGrant{grant}, now)
	if !slices.Equal(kinds(again), []string{"BreakGlassOpened INC-1", "BreakGlassEnded INC-1"}) || first[0].Key == again[0].Key {
		t.Errorf("got %v then %v, want another key for a grant that is given again", first, again)
	}
	for _, e := range again {
		if _, err := entry.Encode(e); err != nil {
			t.Error(err)
		}
	}
}

// A wish that is found again after something else of the track was changed is the same; one that was written, taken back and made again is another.
func TestWishIsToldOnce(t *testing.T) {
	type status = v1alpha1.ReleaseTrackStatus
	pinned, rejected := &v1alpha1.PinnedRelease{Release: "shop-a", Since: *at(1)}, []string{strings.Repeat("a", 40)}
	told := func(before, after status, generation int64) []string {
		track := newTrack()
		track.Status, track.Generation = after, generation
		var keys []string
		for _, e := range record.Track(before, record.About{Track: track, Now: now}) {
			keys = append(keys, e.Key)
		}
		return keys
	}
	wished := status{Pinned: pinned, Promotion: &v1alpha1.PromotedRelease{Release: "shop-a"}, Rejected: rejected}
	first := told(status{ObservedGeneration: 4}, wished, 5)
	if again := told(status{ObservedGeneration: 4}, wished, 6); len(first) != 3 || !slices.Equal(first, again) {
		t.Errorf("told as %v, and after another change as %v", first, again)
	}
	for _, later := range told(status{ObservedGeneration: 6}, wished, 7) {
		if slices.Contains(first, later) {
			t.Errorf("%s is told of the same wish at another time", later)
		}
	}
}

// The longest branch that a track may have does not keep the rewriting of its history from being recorded, and is not in it: people name branches after themselves.
func TestRewrittenHistoryOfALongBranch(t *testing.T) {
	track, seen := newTrack(), strings.Repeat("a", 40)
	track.Status.Conditions = []metav1.Condition{{Type: v1alpha1.HistoryRewrittenCondition, Status: metav1.ConditionTrue, Reason: "Because", Message: "x"}}
	for _, ref := range []string{"jane-doe/" + strings.Repeat("\u00e4", 230) + "@sha1:x", "refs/tags/jane@acme.example"} {
		got := record.Track(v1alpha1.ReleaseTrackStatus{ObservedRevision: ref + "@sha1:" + seen}, record.About{Track: track, Now: now})
		if len(got) != 1 || got[0].Details["from"] != seen {
			t.Fatalf("got %+v", got)
		}
		if _, err := entry.Encode(got[0]); err != nil {
			t.Errorf("it cannot be written: %v", err)
		}
	}
}

// Every namespace of the largest grant is in its entry.
func TestBreakGlassOfManyNamespaces(t *testing.T) {
	grant := v1alpha1.OpenGrant{ReasonCode: strings.Repeat("x", 63), Until: metav1.NewTime(now)}
	for i := range 50 {
		grant.Namespaces = append(grant.Namespaces, fmt.Sprintf("%s-%02d", strings.Repeat("n", 60), i))
	}
	e := record.BreakGlass(&v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: "cluster", UID: "bg"}}, []v1alpha1.OpenGrant{grant}, nil, now)[0]
	if _, err := entry.Encode(e); err != nil {
		t.Fatal(err)
	}
	var named []string
	for name, text := range e.Details {
		if strings.HasPrefix(name, "namespaces") {
			named = append(named, strings.Split(text, ", ")...)
		}
	}
	if slices.Sort(named); !slices.Equal(named, grant.Namespaces) {
		t.Errorf("it names %d namespaces: %v", len(named), e.Details)
	}
}

// The whole list may be exchanged in one request: that is two entries and not two hundred, and nothing is left out.
func TestRejectedAllAtOnce(t *testing.T) {
	list := func(digit string) []string {
		var out []string
		for i := range 100 {
			out = append(out, fmt.Sprintf("%039d%s", i, digit))
		}
		return out
	}
	track := newTrack()
	track.Status.Rejected = list("a")
	got := record.Track(v1alpha1.ReleaseTrackStatus{Rejected: list("b")}, record.About{Track: track, Now: now})
	if !slices.Equal(kinds(got), []string{"CommitRejected", "CommitAdmitted"}) {
		t.Fatalf("got %v", kinds(got))
	}
	for i, want := range [][]string{list("a"), list("b")} {
		if _, err := entry.Encode(got[i]); err != nil {
			t.Error(err)
		}
		said := fmt.Sprint(got[i].Details)
		for _, commit := range want {
			if !strings.Contains(said, commit) {
				t.Errorf("%s does not name %s", got[i].Kind, commit)
			}
		}
	}
}
