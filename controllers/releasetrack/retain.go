package releasetrack

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/stele-dev/stele/internal/gitsource"
)

// retainInterval is how often caches of repositories that nobody follows any more are deleted. By the first time, every track
// has been looked at since the process started.
const retainInterval = time.Hour

// Start deletes unused caches until ctx is done. The manager runs it on the leader.
func (f *Follower) Start(ctx context.Context) error {
	ticker := time.NewTicker(retainInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if removed, err := f.retain(); err != nil || removed > 0 {
				ctrl.LoggerFrom(ctx).Info("unused Git caches", "removed", removed, "error", err)
			}
		}
	}
}

func (f *Follower) retain() (int, error) {
	f.mu.Lock()
	var used []gitsource.Remote
	for _, t := range f.tracks {
		if t.remote.URL != "" {
			used = append(used, t.remote)
		}
	}
	f.mu.Unlock()
	return f.store.Retain(used)
}
