package guard

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/stele-dev/stele/internal/protection"
)

// State is what is known of the guard, for those who tell people. It is kept in memory only.
type State struct {
	mu          sync.Mutex
	finding     protection.Finding
	subscribers []chan event.GenericEvent
}

// Finding is what is known now.
func (s *State) Finding() protection.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finding
}

// Events is a subscription: an event comes after each change of the finding. Changes that follow each other fast may share one.
func (s *State) Events() <-chan event.GenericEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan event.GenericEvent, 1)
	s.subscribers = append(s.subscribers, c)
	return c
}

// set reports whether the finding is another one than before, and then wakes the subscribers.
func (s *State) set(f protection.Finding) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finding.Equal(f) {
		return false
	}
	s.finding = f
	for _, c := range s.subscribers {
		select {
		case c <- event.GenericEvent{Object: &metav1.PartialObjectMetadata{}}:
		default: // one is on its way, and whoever takes it reads what is known then
		}
	}
	return true
}
