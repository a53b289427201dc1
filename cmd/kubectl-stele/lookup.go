package main

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// What -o name writes, and what arguments may begin with.
const (
	trackResource   = "releasetrack.stele.dev/"
	releaseResource = "immutablerelease.stele.dev/"
)

// bareName takes the kind off a name: rtrack/shop, releasetrack.stele.dev/shop.
func bareName(arg string) string {
	if _, name, ok := strings.Cut(arg, "/"); ok {
		return name
	}
	return arg
}

// track reads one of the namespace. One that is not there is an error with a next step.
func (s *shell) track(ctx context.Context, c client.Client, name string) (*v1alpha1.ReleaseTrack, error) {
	namespace, err := s.namespace()
	if err != nil {
		return nil, err
	}
	name = bareName(name)
	if name == "" {
		return nil, usagef("the name of the track is empty")
	}
	t := &v1alpha1.ReleaseTrack{}
	err = c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, t)
	if !apierrors.IsNotFound(err) || isMissingResource(err) {
		return t, err
	}
	all, err := s.listTracks(ctx, c)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, each := range all {
		names = append(names, each.Name)
	}
	return nil, s.notFound("ReleaseTrack", name, namespace, names, "status")
}

// commitForm is the beginning of the id of a commit, long enough to be no accident.
var commitForm = regexp.MustCompile(`^[0-9a-f]{7,40}$`)

// release reads one of the namespace, by its name or by the beginning of its commit.
func (s *shell) release(ctx context.Context, c client.Client, name string) (*v1alpha1.ImmutableRelease, error) {
	namespace, err := s.namespace()
	if err != nil {
		return nil, err
	}
	name = bareName(name)
	if name == "" {
		return nil, usagef("the name of the release is empty")
	}
	r := &v1alpha1.ImmutableRelease{}
	err = c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, r)
	if !apierrors.IsNotFound(err) || isMissingResource(err) {
		return r, err
	}
	all, err := s.listReleases(ctx, c, "")
	if err != nil {
		return nil, err
	}
	var names []string
	var found []v1alpha1.ImmutableRelease
	for _, each := range all {
		names = append(names, each.Name)
		if commitForm.MatchString(name) && strings.HasPrefix(each.Spec.Source.Commit, name) {
			found = append(found, each)
		}
	}
	switch len(found) {
	case 0:
		return nil, s.notFound("ImmutableRelease", name, namespace, names, "releases TRACK")
	case 1:
		return &found[0], nil
	}
	text := make([]string, len(found))
	for i := range found {
		text[i] = safe(found[i].Name)
	}
	return nil, exitf(exitUsage, "%d releases were made of commit %s: %s\nName one of them.", len(found), safe(name), strings.Join(text, ", "))
}

// listTracks of the namespace, by name.
func (s *shell) listTracks(ctx context.Context, c client.Client) ([]v1alpha1.ReleaseTrack, error) {
	namespace, err := s.namespace()
	if err != nil {
		return nil, err
	}
	var list v1alpha1.ReleaseTrackList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.ReleaseTrack) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return list.Items, nil
}

// listReleases of the namespace, newest first; those of one track if it is named.
func (s *shell) listReleases(ctx context.Context, c client.Client, track string) ([]v1alpha1.ImmutableRelease, error) {
	namespace, err := s.namespace()
	if err != nil {
		return nil, err
	}
	return listReleases(ctx, c, namespace, bareName(track))
}

// listReleases of a namespace, newest first; "": of all. The label of the track is the operator's word; the spec is what was sealed.
func listReleases(ctx context.Context, c client.Client, namespace, track string) ([]v1alpha1.ImmutableRelease, error) {
	var list v1alpha1.ImmutableReleaseList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	items := list.Items
	if track != "" {
		items = slices.DeleteFunc(items, func(r v1alpha1.ImmutableRelease) bool { return r.Spec.Track != track })
	}
	sortReleases(items)
	return items, nil
}

// ofTrack selects what the operator has labelled with a track.
func ofTrack(name string) client.ListOption {
	return client.MatchingLabelsSelector{Selector: labels.SelectorFromSet(labels.Set{v1alpha1.TrackLabel: name})}
}
