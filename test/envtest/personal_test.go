package envtest

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/render"
	"github.com/stele-dev/stele/test/testkit/gitserver"
)

// Who wrote a commit, what they wrote about it, and what of people is in labels and in names of files and other branches stays in
// Git: no release, condition or event repeats it, of a commit that is live, of one that is refused and of one that is passed over.
// The one exception is the name of a file that is itself refused: the message has to say where.
func TestPersonalDataStaysInGit(t *testing.T) {
	t.Parallel()
	personal := map[string]string{"author": "Canary Wrenfield", "e-mail": "canary.wrenfield@mail.example", "message": "canary-message-51c8",
		"branch": "canary-branch-51c8", "label": "canary-label-51c8", "file": "canary-file-51c8"}
	who := []gitserver.CommitOption{gitserver.Author(personal["author"], personal["e-mail"]), gitserver.Message(personal["message"] + "\n\nSigned-off-by: " + personal["author"] + " <" + personal["e-mail"] + ">")}
	s := newScene(t)
	labelled := strings.Replace(configMap("notes", "a: b"), "name: notes", "name: notes\n  labels:\n    owner: "+personal["label"], 1)
	refused := strings.Replace(configMap("more", "a: b"), "name: more", "name: more\n  labels:\n    stele.dev/owner: "+personal["label"], 1)

	side := commit(t, s.repo, map[string]string{"deploy/" + personal["file"] + ".yaml": labelled}, append(who, onBranch(personal["branch"], s.first)...)...)
	merge := commit(t, s.repo, shop("web", "2"), append(who, onBranch("next", s.first)...)...)
	merge = commit(t, s.repo, map[string]string{"deploy/" + personal["file"] + ".yaml": labelled}, append(who, gitserver.OnBranch("next"), gitserver.Parents(merge, side))...)
	branch(t, s.repo, "main", merge)
	poke(t, s.ns, "shop")
	s.live(merge)
	bad := s.commit(map[string]string{"deploy/bad.yaml": refused}, who...)
	s.rejected(bad, render.ReasonForgedMetadata, "deploy/bad.yaml", "stele.dev/owner")

	lists := map[string]client.ObjectList{"tracks": &v1alpha1.ReleaseTrackList{}, "releases": &v1alpha1.ImmutableReleaseList{},
		"events": &eventsv1.EventList{}, "old events": &corev1.EventList{}}
	for where, list := range lists {
		until(t, patience, func(ctx context.Context) error { return suite.api.List(ctx, list, client.InNamespace(s.ns)) })
		text, err := json.Marshal(list)
		if err != nil || !strings.Contains(string(text), "shop") {
			t.Fatalf("%s: nothing was found to look at: %s, %v", where, text, err)
		}
		for what, value := range personal {
			if strings.Contains(string(text), value) {
				t.Errorf("%s of the commit is in %s", what, where)
			}
		}
	}
}
