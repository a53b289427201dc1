package release

import (
	"time"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// RunKey names one run of a release: the two labels that its objects and pods carry.
type RunKey struct {
	Release string
	Run     int32
}

// ObjectKey names an object of a track as it is in Git.
type ObjectKey struct {
	Group, Kind, Name string
}

// View is everything that a plan is made from.
type View struct {
	// Now is the time of the decision, from a clock that does not jump while the process lives.
	Now time.Time
	// Since is when this process took over. Every deadline is counted from then at the earliest, so that a clock that
	// was stepped while nobody looked makes deadlines late and never early.
	Since time.Time
	Track Track
	// Releases of the track, in any order.
	Releases []*v1alpha1.ImmutableRelease
	// Contents of the releases that matter now (wanted, staging, active), by release name; nil entry: not loaded.
	Contents map[string]*Content
	// Broken says why a release cannot be run (it was altered, or its archive is missing or was changed), by release name.
	Broken map[string]Problem
	// Runs that have anything left in the cluster, by their labels, whether the release is known or not.
	Runs map[RunKey]Run
	// InPlace workloads of the track that exist, by name in Git.
	InPlace map[ObjectKey]InPlace
	// Drift of the active run, in any order.
	Drift []Drift
	// InPlacePods are their pods, without those that are being deleted. Filled when Track.ReplaceBefore is set.
	InPlacePods map[ObjectKey][]InPlacePod
	// Traffic of the Services of the track that exist, by name.
	Traffic map[string]Traffic
	// Switched is the run for which every step of the switch was done by this process; it is done again after a restart.
	Switched RunKey
	// Overlapped is the run whose overlap this process has begun, and OverlapSince when that was.
	Overlapped   RunKey
	OverlapSince time.Time
	// SwitchRefused is the release whose switch the cluster refuses; empty: none.
	SwitchRefused string
	// SwitchFailed is the release whose switch did not succeed when it was last tried, for whatever reason; empty: none.
	SwitchFailed string
	// Refused are releases whose beginning the cluster, or a registry, has refused, and when it is asked again.
	Refused map[string]time.Time
	// InUse are Versioned objects of ended releases that a live InPlace workload still names, by release name.
	InUse map[string][]string
	// Swept are releases whose leftovers this process has already deleted, with the objects in use at that time.
	Swept map[string]string
}

// Track is the part of a ReleaseTrack that the plan obeys.
type Track struct {
	Name string
	// Pin is spec.pin; PinSince is when it was first seen.
	Pin      string
	PinSince time.Time
	// Promote is spec.promote, unless it was handled already; empty: nothing.
	Promote string
	// Manual: a release that is healthy waits for a person.
	Manual bool
	// Held is why no release of Git is started, although what runs goes on and a pin is obeyed; nil: nothing holds the track.
	Held *Problem
	// Rejected are commits that a person has rejected.
	Rejected map[string]bool
	// Purged are releases, by name, that were purged, also those that are gone.
	Purged map[string]bool
	// Verify: signatures are asked for.
	Verify bool
	// ResolveImages: gate images, or the floor of the cluster, is not Ignore.
	ResolveImages bool
	// Head is the release of the newest commit that changes the path.
	Head string
	// Active is the release that took the traffic when that was last written. Lost: its record is gone, and what it runs may serve on.
	Active string
	Lost   bool
	// Restart is what the annotation stele.dev/restart says and nobody has answered yet; empty: nothing.
	Restart string
	// ReportDrift: drift is said and not answered.
	ReportDrift bool
	// ReplaceBefore is when the namespace was closed after break-glass: what was begun before then is run again. Zero: never.
	ReplaceBefore       time.Time
	ProgressDeadline    time.Duration
	Drain               time.Duration
	Overlap             time.Duration
	Observe             time.Duration
	TerminationDeadline time.Duration
	// KeepFailed is how long what a failed run has made stays.
	KeepFailed time.Duration
	Keep       int
	MinAge     time.Duration
	Max        int
}

// Unchecked: a release that has never run was made before signatures were asked for. It is not begun by itself; a person may pin it.
func (t *Track) Unchecked(r *v1alpha1.ImmutableRelease) bool {
	return t.Verify && r.Spec.Verification == nil && r.Spec.Refusal == nil && r.Spec.Digest != "" && r.Status.Run == 0
}

// Problem is why something cannot be done, in the words of a condition.
type Problem struct {
	Reason, Message string
}

// Content is what a release holds, read from its archive.
type Content struct {
	// Workloads (Versioned) that must be healthy before the switch.
	Workloads []ObjectKey
	// Recreate workloads, created when the old ones are gone.
	Recreate []ObjectKey
	// Jobs that must have succeeded before the switch. Each runs once per run.
	Jobs []ObjectKey
	// AtSwitch workloads, created when traffic moves.
	AtSwitch []ObjectKey
	// InPlace workloads with the digest of their content.
	InPlace map[ObjectKey]string
	// Services whose selector is narrowed to the run.
	Services []string
	// External is what the release depends on and does not hold, in words; nil: not known.
	External []string
}

// Run is what the cluster holds of one run.
type Run struct {
	// Made: every object that is created when staged is known to be there.
	Made bool
	// Workloads of the run that exist, by their name in Git.
	Workloads map[ObjectKey]Workload
	// Pods that exist, Ready of them, and Live: those not being deleted.
	Pods, Ready, Live int32
	// PodNames is a sample for messages.
	PodNames []string
	// DeletedSince is the earliest deletion timestamp among workloads and pods; zero: nothing is being deleted.
	DeletedSince time.Time
}

// Health of a workload.
type Health string

const (
	// Current: all replicas are up to date and ready.
	Current Health = "Current"
	// InProgress: on its way, or not.
	InProgress Health = "InProgress"
	// Failing: something is wrong that time alone rarely mends (a crash loop, an image that cannot be pulled, a quota).
	Failing Health = "Failing"
)

// Workload is the state of one workload.
type Workload struct {
	Health         Health
	Message        string
	Desired, Ready int32
	// Deleting: it has a deletion timestamp.
	Deleting bool
	// Finishing: a Job that a schedule has started and that has not ended. It is left to finish, also when its run ends.
	Finishing bool
	// Digest of the rendered object that it was made of; empty where it is not asked for.
	Digest string
}

// InPlace is the state of one InPlace workload.
type InPlace struct {
	Workload
	// Content is the digest of what it was last given.
	Content string
}

// Traffic is where a Service sends its traffic.
type Traffic struct {
	// Selects is the run in its selector; zero when it selects without run.
	Selects RunKey
	// Overlap is the run that traffic moves to while the Service selects the pods of two; zero: it does not.
	Overlap RunKey
	// Endpoints by the run of their pod. Pods without run labels count under the zero key.
	Endpoints map[RunKey]int32
	// ReadyPods is the number of ready pods that its selector picks.
	ReadyPods int32
}
