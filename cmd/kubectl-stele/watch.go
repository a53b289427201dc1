package main

import (
	"context"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// world is what is followed: tracks and releases as they were seen last.
type world struct {
	tracks   map[client.ObjectKey]*v1alpha1.ReleaseTrack
	releases map[client.ObjectKey]*v1alpha1.ImmutableRelease
}

// follow calls changed with the world as it is, and then after each change of it, until changed says that it is done, or fails, or ctx ends:
// that is no error, and the caller looks at ctx. A connection that breaks is made again, and said to be so once.
func (s *shell) follow(ctx context.Context, c client.WithWatch, namespace string, changed func(*world) (done bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := make(chan news)
	for _, list := range []client.ObjectList{&v1alpha1.ReleaseTrackList{}, &v1alpha1.ImmutableReleaseList{}} {
		f := &feed{client: c, list: list, namespace: namespace, to: news}
		go f.run(ctx)
	}
	w := &world{}
	lost := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-news:
			if n.fatal != nil {
				return n.fatal
			}
			if n.lost != nil {
				if !lost {
					s.notef("The connection to the cluster is lost, trying again: %s\n", safe(n.lost.Error()))
				}
				lost = true
				continue
			}
			lost = false
			w.take(n)
			if w.tracks == nil || w.releases == nil {
				continue // half of the world
			}
			if done, err := changed(w); done || err != nil {
				return err
			}
		}
	}
}

// news of one kind.
type news struct {
	// all objects of the kind; nil: one has changed.
	all []client.Object
	one client.Object
	// gone: it was deleted.
	gone bool
	// ofTracks tells the kinds apart where all is empty.
	ofTracks bool
	// lost is why there are none for now, fatal why there will be none.
	lost, fatal error
}

func (w *world) take(n news) {
	if n.one == nil {
		if n.ofTracks {
			w.tracks = map[client.ObjectKey]*v1alpha1.ReleaseTrack{}
		} else {
			w.releases = map[client.ObjectKey]*v1alpha1.ImmutableRelease{}
		}
		for _, o := range n.all {
			w.put(o)
		}
		return
	}
	if n.gone {
		key := client.ObjectKeyFromObject(n.one)
		if n.ofTracks {
			delete(w.tracks, key)
		} else {
			delete(w.releases, key)
		}
		return
	}
	w.put(n.one)
}

func (w *world) put(o client.Object) {
	switch o := o.(type) {
	case *v1alpha1.ReleaseTrack:
		w.tracks[client.ObjectKeyFromObject(o)] = o
	case *v1alpha1.ImmutableRelease:
		w.releases[client.ObjectKeyFromObject(o)] = o
	}
}

// releasesOf a track, newest first; "": of all.
func (w *world) releasesOf(track string) []v1alpha1.ImmutableRelease {
	var out []v1alpha1.ImmutableRelease
	for r := range maps.Values(w.releases) {
		if track == "" || r.Spec.Track == track {
			out = append(out, *r)
		}
	}
	sortReleases(out)
	return out
}

// feed lists one kind and watches it, again and again.
type feed struct {
	client    client.WithWatch
	list      client.ObjectList
	namespace string
	to        chan<- news
}

// Waits between two attempts to reach a cluster that does not answer.
const (
	firstWait = 250 * time.Millisecond
	longWait  = 10 * time.Second
)

func (f *feed) run(ctx context.Context) {
	wait, began := firstWait, false
	for ctx.Err() == nil {
		listed, err := f.listAndWatch(ctx)
		if listed {
			wait, began = firstWait, true
		}
		switch {
		case err == nil: // the server ends watches now and then
		case !began || final(err):
			f.send(ctx, news{fatal: err})
			return
		default:
			f.send(ctx, news{lost: err})
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		if !listed {
			wait = min(2*wait, longWait)
		}
	}
}

// final: trying again does not help.
func final(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apimeta.IsNoMatchError(err) || isMissingResource(err)
}

func (f *feed) send(ctx context.Context, n news) {
	_, n.ofTracks = f.list.(*v1alpha1.ReleaseTrackList)
	select {
	case f.to <- n:
	case <-ctx.Done():
	}
}

// listAndWatch sends all there is and what changes, until the watch ends. It reports whether it got as far as to list.
func (f *feed) listAndWatch(ctx context.Context) (bool, error) {
	list := f.list.DeepCopyObject().(client.ObjectList)
	if err := f.client.List(ctx, list, client.InNamespace(f.namespace)); err != nil {
		return false, err
	}
	n := news{}
	if err := apimeta.EachListItem(list, func(o runtime.Object) error {
		n.all = append(n.all, o.(client.Object))
		return nil
	}); err != nil {
		return false, err
	}
	f.send(ctx, n)
	w, err := f.client.Watch(ctx, f.list.DeepCopyObject().(client.ObjectList), client.InNamespace(f.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion(), AllowWatchBookmarks: true}})
	if err != nil {
		return true, err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case event, ok := <-w.ResultChan():
			if !ok || event.Type == watch.Error {
				return true, nil // it is listed again, which says what is wrong
			}
			if o, is := event.Object.(client.Object); is && event.Type != watch.Bookmark {
				f.send(ctx, news{one: o, gone: event.Type == watch.Deleted})
			}
		}
	}
}
