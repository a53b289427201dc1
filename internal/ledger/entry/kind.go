package entry

// Kind says what happened. Kinds that end in Intended were written before the act; an outcome of the same run follows.
type Kind string

// The kinds of entries. A reader takes others too, of later versions: words in CamelCase.
const (
	// LedgerStarted is the first entry of a log, by its writer.
	LedgerStarted Kind = "LedgerStarted"
	// LedgerKeyChanged: from here on checkpoints are signed with another key (details "publicKey" and "former"), by its writer.
	LedgerKeyChanged Kind = "LedgerKeyChanged"

	// ReleaseCreated: a commit became a release; ReleaseRejected, ReleaseSkipped: one that never runs; ReleaseFailed: a run did not get healthy or was given up.
	ReleaseCreated  Kind = "ReleaseCreated"
	ReleaseRejected Kind = "ReleaseRejected"
	ReleaseSkipped  Kind = "ReleaseSkipped"
	ReleaseFailed   Kind = "ReleaseFailed"
	// ReleaseStaged: the run of a release was begun, its objects are being made.
	ReleaseStaged Kind = "ReleaseStaged"
	// SwitchIntended: traffic is about to move to the run; ReleaseActivated: it has.
	SwitchIntended   Kind = "SwitchIntended"
	ReleaseActivated Kind = "ReleaseActivated"
	// TerminationIntended: the replicas of the run are about to end; ReleaseRetired: the last one was seen to be gone.
	TerminationIntended Kind = "TerminationIntended"
	ReleaseRetired      Kind = "ReleaseRetired"
	// RollbackIntended: an earlier release is about to run again, for a pin or because what replaced it was unhealthy; ReleaseActivated follows.
	RollbackIntended Kind = "RollbackIntended"
	// ReleaseRestarted: a person asked for another run of what runs.
	ReleaseRestarted Kind = "ReleaseRestarted"
	// ReleaseRestored: a release or its archive was lost or altered, and was made again from what is known of it.
	ReleaseRestored Kind = "ReleaseRestored"

	// TrackPinned, TrackUnpinned, TrackPromoted: a person changed a wish of the track; CommitRejected, CommitAdmitted: a commit was put on the list of those that never run, and taken from
	// it; TrackChanged: a person changed something else of the track, in their own name.
	TrackPinned    Kind = "TrackPinned"
	TrackUnpinned  Kind = "TrackUnpinned"
	TrackPromoted  Kind = "TrackPromoted"
	CommitRejected Kind = "CommitRejected"
	CommitAdmitted Kind = "CommitAdmitted"
	TrackChanged   Kind = "TrackChanged"
	// TrackDeleted: the track is gone; what was intended for its releases and has no outcome ends with it. Reason says what became of its objects.
	TrackDeleted Kind = "TrackDeleted"

	// HistoryRewritten: the commit that was seen last is no ancestor of the new tip; HistoryAccepted: a person accepted that.
	HistoryRewritten Kind = "HistoryRewritten"
	HistoryAccepted  Kind = "HistoryAccepted"

	// ObjectAdopted: a live object was taken over, as a person had permitted.
	ObjectAdopted Kind = "ObjectAdopted"

	// DriftFound: a live object is not what was made of it; DriftReplaced: a new run has replaced it.
	DriftFound    Kind = "DriftFound"
	DriftReplaced Kind = "DriftReplaced"

	// ProtectionLost, ProtectionRestored: the admission policies did not hold for a track, and hold again.
	ProtectionLost     Kind = "ProtectionLost"
	ProtectionRestored Kind = "ProtectionRestored"

	// BreakGlassOpened, BreakGlassEnded: a grant was given, and is over.
	BreakGlassOpened Kind = "BreakGlassOpened"
	BreakGlassEnded  Kind = "BreakGlassEnded"

	// PurgeIntended, ReleasePurged: the archive of a release is about to be deleted for good, and was.
	PurgeIntended Kind = "PurgeIntended"
	ReleasePurged Kind = "ReleasePurged"
	// ActorErased: who acted in an earlier entry can no longer be told (detail "key": the key of that entry).
	ActorErased Kind = "ActorErased"
)

// Outcomes of an intent: one of them, of the same run, closes it. TrackDeleted of its track closes every one.
func (k Kind) Outcomes() []Kind {
	switch k {
	case SwitchIntended, RollbackIntended:
		return []Kind{ReleaseActivated, ReleaseFailed, ReleaseSkipped, ReleaseRetired}
	case TerminationIntended:
		return []Kind{ReleaseRetired}
	case PurgeIntended:
		return []Kind{ReleasePurged}
	default:
		return nil
	}
}
