package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// statusView is what status tells programs.
type statusView struct {
	metav1.TypeMeta `json:",inline"`
	Items           []trackView `json:"items"`
	// Ledger is absent where the caller may not read it, or there is none.
	Ledger *ledgerView `json:"ledger,omitempty"`
}

// trackView is a track: what runs, and what waits and why.
type trackView struct {
	metav1.TypeMeta `json:",inline"`

	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Ready is the status of the condition Ready; Reason and Message are its own.
	Ready   metav1.ConditionStatus `json:"ready"`
	Reason  string                 `json:"reason,omitempty"`
	Message string                 `json:"message,omitempty"`
	// Revision is the tip of Git that was looked at last.
	Revision string       `json:"revision,omitempty"`
	Active   *releaseView `json:"active,omitempty"`
	// Waiting are the releases that are on their way or wait, newest first.
	Waiting   []releaseView `json:"waiting"`
	Pin       string        `json:"pin,omitempty"`
	Suspended bool          `json:"suspended,omitempty"`
	// Notes are what is not as usual: Suspended, Deleting, Unprotected, types of conditions, reasons of Git.
	Notes []string `json:"notes"`
	// Conditions of the track that are worth words, by type.
	Protected *conditionView `json:"protected,omitempty"`
	Source    *conditionView `json:"source,omitempty"`
	Drift     *conditionView `json:"drift,omitempty"`
}

// releaseView is a release in a few words.
type releaseView struct {
	Name   string                `json:"name"`
	Commit string                `json:"commit"`
	Phase  v1alpha1.ReleasePhase `json:"phase,omitempty"`
	Run    int32                 `json:"run"`
	// Since is when it took the traffic, or when its run was begun, or when it was made.
	Since   *metav1.MicroTime `json:"since,omitempty"`
	Ready   int32             `json:"ready"`
	Desired int32             `json:"desired"`
	// Reason and Message say why it waits.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// conditionView is a condition without its type.
type conditionView struct {
	Status  metav1.ConditionStatus `json:"status"`
	Reason  string                 `json:"reason"`
	Message string                 `json:"message,omitempty"`
	Since   metav1.Time            `json:"since"`
}

// ledgerView is the audit ledger in a few words.
type ledgerView struct {
	Size     int64                  `json:"size"`
	Backlog  int32                  `json:"backlog"`
	Ready    metav1.ConditionStatus `json:"ready"`
	Problems []conditionView        `json:"problems"`
}

// viewOf puts tracks and their releases together, by namespace and name.
func viewOf(tracks []v1alpha1.ReleaseTrack, releases []v1alpha1.ImmutableRelease) *statusView {
	sortReleases(releases)
	out := &statusView{TypeMeta: metav1.TypeMeta{APIVersion: viewVersion, Kind: "TrackStatusList"}, Items: []trackView{}}
	for i := range tracks {
		out.Items = append(out.Items, viewOfTrack(&tracks[i], releases))
	}
	slices.SortFunc(out.Items, func(a, b trackView) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out
}

func viewOfTrack(t *v1alpha1.ReleaseTrack, releases []v1alpha1.ImmutableRelease) trackView {
	ready := find(t.Status.Conditions, v1alpha1.ReadyCondition)
	out := trackView{TypeMeta: metav1.TypeMeta{APIVersion: viewVersion, Kind: "TrackStatus"}, Namespace: t.Namespace, Name: t.Name, Ready: ready.Status, Reason: ready.Reason, Message: ready.Message, Revision: t.Status.ObservedRevision,
		Pin: t.Spec.Pin, Suspended: t.Spec.Suspend, Waiting: []releaseView{}}
	if out.Ready == "" {
		out.Ready, out.Message = metav1.ConditionUnknown, "no operator has looked at this track yet"
	}
	var active *v1alpha1.ImmutableRelease
	for i := range releases {
		r := &releases[i]
		if r.Namespace != t.Namespace || r.Spec.Track != t.Name {
			continue
		}
		switch {
		case r.Name == t.Status.ActiveRelease:
			active = r
		case waits(r):
			view := viewOfRelease(r)
			if view.Reason, view.Message = why(r); view.Message == "" {
				view.Reason, view.Message = waitsFor(t)
			}
			out.Waiting = append(out.Waiting, view)
		}
	}
	if active != nil {
		view := viewOfRelease(active)
		out.Active = &view
		out.Drift = worded(active.Status.Conditions, v1alpha1.DriftedCondition)
	} else if t.Status.ActiveRelease != "" {
		out.Active = &releaseView{Name: t.Status.ActiveRelease, Message: "the release is not there"}
	}
	out.Notes = notes(t, active)
	out.Protected = worded(t.Status.Conditions, v1alpha1.ProtectedCondition)
	out.Source = worded(t.Status.Conditions, v1alpha1.SourceFetchedCondition)
	return out
}

// waitsFor says why a release waits of which nothing is said: by the track.
func waitsFor(t *v1alpha1.ReleaseTrack) (reason, message string) {
	if t.Spec.Pin != "" {
		return v1alpha1.PinnedReason, fmt.Sprintf("the track is pinned to %s; kubectl stele resume %s lets it go on", t.Spec.Pin, t.Name)
	}
	return v1alpha1.WaitingReason, "it waits for its turn"
}

func viewOfRelease(r *v1alpha1.ImmutableRelease) releaseView {
	out := releaseView{Name: r.Name, Commit: r.Spec.Source.Commit, Phase: r.Status.Phase, Run: r.Status.Run,
		Ready: r.Status.Replicas.Ready, Desired: r.Status.Replicas.Desired}
	switch times := r.Status.Times; {
	case r.Status.ActiveRun > 0 && times.Activated != nil:
		out.Since = times.Activated
	case times.Standby != nil:
		out.Since = times.Standby
	case times.Staged != nil:
		out.Since = times.Staged
	case times.Created != nil:
		out.Since = times.Created
	default:
		made := metav1.NewMicroTime(r.CreationTimestamp.Time)
		out.Since = &made
	}
	return out
}

func worded(conditions []metav1.Condition, kind string) *conditionView {
	c := find(conditions, kind)
	if c.Type == "" {
		return nil
	}
	return &conditionView{Status: c.Status, Reason: c.Reason, Message: c.Message, Since: c.LastTransitionTime}
}

// ledger is nil where there is none, or it is not ours to read.
func (s *shell) ledger(ctx context.Context, c client.Client) (*ledgerView, error) {
	var l v1alpha1.AuditLedger
	err := c.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, &l)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apimeta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &ledgerView{Size: l.Status.Size, Backlog: l.Status.Backlog, Ready: find(l.Status.Conditions, v1alpha1.ReadyCondition).Status, Problems: []conditionView{}}
	if out.Ready == "" {
		out.Ready = metav1.ConditionUnknown
		out.Problems = append(out.Problems, conditionView{Status: metav1.ConditionUnknown, Reason: "NotStarted", Since: l.CreationTimestamp,
			Message: "nothing has written it yet, and entries wait; when they have waited for " + l.Spec.BacklogDeadline.Duration.String() + ", new commits wait too. " +
				"Does the pod of StatefulSet stele-ledger run, and has its claim a volume?"})
	}
	seen := map[string]bool{}
	for _, c := range l.Status.Conditions {
		abnormal := c.Type == v1alpha1.StalledCondition
		if (abnormal && isTrue(c) || !abnormal && c.Type != v1alpha1.ReconcilingCondition && isFalse(c)) && !seen[c.Reason+c.Message] {
			seen[c.Reason+c.Message] = true
			out.Problems = append(out.Problems, *worded(l.Status.Conditions, c.Type))
		}
	}
	return out, nil
}
