package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// invariants are what no story may break at any moment, whatever happens in it. Each takes the film of a namespace and
// returns what is wrong.
var invariants = map[string]func([]frame) []string{
	"versioned objects are written once":                 writtenOnce,
	"names of versioned objects are not used again":      namesUsedOnce,
	"a run is in status before its first object is made": runBeforeObjects,
	"a release's spec never changes":                     specsStay,
	"a Service moves to a run whose pods are ready":      movedWhenReady,
	"Retired means that no pod is left":                  retiredIsGone,
}

// checkInvariants checks all of them over the film of a namespace.
func checkInvariants(t *testing.T, namespace string, broken ...string) {
	t.Helper()
	frames := suite.film.of(namespace)
	if len(frames) == 0 {
		t.Errorf("nothing was filmed in %s", namespace)
	}
	for name, check := range invariants {
		if slices.Contains(broken, name) {
			if len(check(frames)) == 0 {
				t.Errorf("nobody has broken what the story breaks: %s", name)
			}
			continue
		}
		for _, problem := range check(frames) {
			t.Errorf("invariant broken: %s: %s", name, problem)
		}
	}
}

// versioned picks the frames of objects that belong to a run, without their pods.
func versioned(frames []frame) []frame {
	return slices.DeleteFunc(slices.Clone(frames), func(fr frame) bool {
		if fr.release() == "" {
			return true
		}
		switch fr.obj.(type) {
		case *appsv1.Deployment, *corev1.ConfigMap, *corev1.Secret, *policyv1.PodDisruptionBudget, *autoscalingv2.HorizontalPodAutoscaler:
			return false
		}
		return true
	})
}

// writtenOnce: neither the content of a Versioned object nor its labels are ever updated. The scale of a Deployment may be:
// it belongs to the autoscaler, or to whoever plays it in a story.
func writtenOnce(frames []frame) []string {
	var out []string
	first := map[types.UID]string{}
	for _, fr := range versioned(frames) {
		content, uid := contentOf(fr.obj), fr.obj.GetUID()
		was, seen := first[uid]
		switch {
		case !seen:
			first[uid] = content
		case was != content:
			out = append(out, fmt.Sprintf("%s was updated from %s to %s", fr.key(), was, content))
		}
	}
	return out
}

// contentOf is what of an object people and the operator write: all but status and metadata of the API server.
func contentOf(obj client.Object) string {
	copied, ok := obj.DeepCopyObject().(client.Object)
	if !ok {
		return ""
	}
	if d, ok := copied.(*appsv1.Deployment); ok {
		d.Spec.Replicas = nil
	}
	data, err := json.Marshal(copied)
	if err != nil {
		return err.Error()
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		return err.Error()
	}
	delete(all, "status")
	all["metadata"] = map[string]any{"labels": obj.GetLabels(), "owners": obj.GetOwnerReferences()}
	data, _ = json.Marshal(all)
	return string(data)
}

// namesUsedOnce: nothing waits for a name to become free.
func namesUsedOnce(frames []frame) []string {
	var out []string
	owner := map[string]types.UID{}
	for _, fr := range versioned(frames) {
		if uid, taken := owner[fr.key()]; taken && uid != fr.obj.GetUID() {
			out = append(out, fr.key()+" was made twice")
		}
		owner[fr.key()] = fr.obj.GetUID()
	}
	return out
}

// runBeforeObjects: status.run never goes down, and when an object of a run appears it is in status.
func runBeforeObjects(frames []frame) []string {
	var out []string
	byUID, byName := map[types.UID]int32{}, map[string]int32{}
	seen := map[types.UID]bool{}
	for _, fr := range frames {
		uid := fr.obj.GetUID()
		if r, ok := fr.obj.(*v1alpha1.ImmutableRelease); ok {
			if r.Status.Run < byUID[uid] && !fr.removed {
				out = append(out, fmt.Sprintf("status.run of %s went down from %d to %d", r.Name, byUID[uid], r.Status.Run))
			}
			byUID[uid] = r.Status.Run
			byName[r.Name] = max(r.Status.Run, byName[r.Name])
			continue
		}
		label, err := strconv.ParseInt(fr.run(), 10, 32)
		if err == nil && !seen[uid] && int32(label) > byName[fr.release()] {
			out = append(out, fmt.Sprintf("%s has run %d of %s, whose status says %d", fr.key(), label, fr.release(), byName[fr.release()]))
		}
		seen[uid] = true
	}
	return out
}

func specsStay(frames []frame) []string {
	var out []string
	for _, fr := range framesOf[*v1alpha1.ImmutableRelease](frames) {
		if fr.obj.GetGeneration() > 1 && fr.obj.GetDeletionTimestamp() == nil {
			out = append(out, fmt.Sprintf("%s has generation %d", fr.key(), fr.obj.GetGeneration()))
		}
	}
	return out
}

// movedWhenReady: at the moment in which a Service that had another run gets a new one, all pods of the new run that it
// selects are ready, and there is at least one.
func movedWhenReady(frames []frame) []string {
	var out []string
	selected := map[string]string{}
	pods := map[string]*corev1.Pod{}
	for _, fr := range frames {
		switch obj := fr.obj.(type) {
		case *corev1.Pod:
			notePod(pods, fr, obj)
		case *corev1.Service:
			to := obj.Spec.Selector[v1alpha1.ReleaseLabel] + "/" + obj.Spec.Selector[v1alpha1.RunLabel]
			from := selected[obj.Name]
			if selected[obj.Name] = to; from == "" || from == "/" || from == to || to == "/" || fr.removed {
				continue
			}
			ready, unready := countPods(pods, obj.Spec.Selector)
			if ready == 0 || unready > 0 {
				out = append(out, fmt.Sprintf("Service %s went from %s to %s with %d ready and %d unready pods", obj.Name, from, to, ready, unready))
			}
		}
	}
	return out
}

// retiredIsGone: when a release becomes Retired (or a failed one ReplicasTerminated), no pod of it exists.
func retiredIsGone(frames []frame) []string {
	var out []string
	retired := map[string]bool{}
	pods := map[string]*corev1.Pod{}
	for _, fr := range frames {
		switch obj := fr.obj.(type) {
		case *corev1.Pod:
			notePod(pods, fr, obj)
		case *v1alpha1.ImmutableRelease:
			was, is := retired[obj.Name], obj.Status.Times.Retired != nil
			if retired[obj.Name] = is; was || !is || fr.removed {
				continue
			}
			for name, p := range pods {
				if p.Labels[v1alpha1.ReleaseLabel] == obj.Name {
					out = append(out, fmt.Sprintf("%s is retired and pod %s is there", obj.Name, name))
				}
			}
		}
	}
	return out
}

func notePod(pods map[string]*corev1.Pod, fr frame, p *corev1.Pod) {
	if fr.removed {
		delete(pods, p.Name)
		return
	}
	pods[p.Name] = p
}

func countPods(pods map[string]*corev1.Pod, selector map[string]string) (ready, unready int) {
	for _, p := range pods {
		if !matches(selector, p.Labels) || p.DeletionTimestamp != nil {
			continue
		}
		if podReady(p) {
			ready++
		} else {
			unready++
		}
	}
	return ready, unready
}

func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// checkServed fails the test when a Service, once it had a ready endpoint, had none at any moment since.
func checkServed(t *testing.T, namespace, service string) {
	t.Helper()
	ready := map[string]int{}
	served, moments := false, 0
	for _, fr := range framesOf[*discoveryv1.EndpointSlice](suite.film.of(namespace)) {
		slice, ok := fr.obj.(*discoveryv1.EndpointSlice)
		if !ok || slice.Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		ready[slice.Name] = 0
		for i := range slice.Endpoints {
			if !fr.removed && ptr.Deref(slice.Endpoints[i].Conditions.Ready, true) {
				ready[slice.Name]++
			}
		}
		total := 0
		for n := range maps.Values(ready) {
			total += n
		}
		if served && total == 0 {
			t.Errorf("invariant broken: Service %s points at nothing at version %d (%s)", service, fr.version, slice.Name)
		}
		served = served || total > 0
		moments++
	}
	if !served {
		t.Errorf("Service %s never had a ready endpoint (%d states)", service, moments)
	}
}

// checkReplicas fails the test when a release had fewer than want ready pods at any moment between the first one with that
// many and the given version (0: the end).
func checkReplicas(t *testing.T, namespace, release string, want int, until uint64) {
	t.Helper()
	pods := map[string]*corev1.Pod{}
	full := false
	for _, fr := range framesOf[*corev1.Pod](suite.film.of(namespace)) {
		if until > 0 && fr.version >= until {
			break
		}
		if p, ok := fr.obj.(*corev1.Pod); ok {
			notePod(pods, fr, p)
		}
		ready, _ := countPods(pods, map[string]string{v1alpha1.ReleaseLabel: release})
		if full && ready < want {
			t.Errorf("release %s lost a replica at version %d: %d ready of %d", release, fr.version, ready, want)
			return
		}
		full = full || ready >= want
	}
	if !full {
		t.Errorf("release %s never had %d ready pods", release, want)
	}
}
