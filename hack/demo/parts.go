package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

func (s *story) commitOne(ctx context.Context) error {
	s.t.heading("1. Commit 1 goes live")
	s.t.say("A team keeps its manifests in Git: two Deployments, their Services, a ConfigMap, a Secret, a ServiceAccount, an autoscaler " +
		"and a disruption budget.")
	s.t.command("git clone %s shop", s.url)
	s.t.command("cp -r hack/demo/shop/. shop/")
	s.t.command("%s", pushed("Open the shop"))
	var err error
	if s.releases[0], err = s.commitFiles(ctx, "Open the shop", s.copyShop); err != nil {
		return err
	}
	s.t.command("make onboard NAMESPACE=%s    # the namespace: Stele's rights in it, and protection of what runs in it", namespace)
	if err := s.cluster.Onboard(ctx, namespace); err != nil {
		return err
	}
	onboarding := filepath.Join("hack", "demo", "cluster", "onboarding.yaml")
	s.t.command("kubectl apply --server-side -f %s    # the team's service account and its rights", onboarding)
	if _, err := s.cluster.Kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(s.files.root, onboarding)); err != nil {
		return err
	}
	manifest, err := s.trackManifest()
	if err != nil {
		return err
	}
	s.t.command("kubectl apply --server-side -f %s    # follow that repository", s.short(s.files.in("track.yaml")))
	s.t.output(indent(manifest))
	w, err := s.watch(ctx)
	if err != nil {
		return err
	}
	w.begins()
	if _, err := s.cluster.Kubectl(ctx, "apply", "--server-side", "-f", s.files.in("track.yaml")); err != nil {
		return err
	}
	if err := w.until(ctx, s.reached(map[string]v1alpha1.ReleasePhase{s.releases[0]: v1alpha1.PhaseActive})); err != nil {
		return err
	}
	live, err := s.sinceBegin(ctx, w, s.releases[0])
	if err != nil {
		return err
	}
	s.t.result("Commit 1 is live, %s after the track was made; 2 s of them are the pods' own start. The objects carry the commit in "+
		"their names, and the Services select this release.", seconds(live))
	if err := s.show(ctx, "-n", namespace, "get", "deployments,pods,configmaps,secrets,hpa,pdb", "-l", "stele.dev/release="+s.releases[0], "-o", "name"); err != nil {
		return err
	}
	return s.showTraffic(ctx)
}

func (s *story) commitTwo(ctx context.Context) error {
	s.t.heading("2. Commit 2 replaces it")
	s.t.say("A new version of web, and another banner. The new release is staged beside the old one, takes the traffic when all of it is " +
		"healthy, and only then do the old pods end. Retired says that they were seen gone.")
	s.tellEdits(springSale)
	s.t.command("%s", pushed("Spring sale"))
	ending := s.catchEnding(ctx, s.releases[0])
	w, err := s.watch(ctx)
	if err != nil {
		return err
	}
	w.begins()
	s.releases[1], err = s.commitFiles(ctx, "Spring sale", func(dir string) error { return applyEdits(dir, springSale) })
	if err != nil {
		return err
	}
	err = w.until(ctx, s.reached(map[string]v1alpha1.ReleasePhase{s.releases[1]: v1alpha1.PhaseActive, s.releases[0]: v1alpha1.PhaseRetired}))
	if err != nil {
		return err
	}
	s.t.say("Meanwhile, the old pods were ending:")
	s.t.command("kubectl -n %s get pods -l stele.dev/release=%s", namespace, s.releases[0])
	s.t.output(<-ending)
	live, err := s.sinceBegin(ctx, w, s.releases[1])
	if err != nil {
		return err
	}
	old, err := s.release(ctx, s.releases[0])
	if err != nil {
		return err
	}
	s.t.result("Commit 2 is live %s after the push. The old replicas drained for 3 s, and the last of their %d pods was seen gone %s after "+
		"the push.", seconds(live), old.Status.Terminated.Confirmed+old.Status.Terminated.Unconfirmed, seconds(old.Status.Times.Retired.Sub(w.begin)))
	return s.showTraffic(ctx)
}

// refuse tries what people do when they are in a hurry. The kubeconfig of the demo is a cluster administrator's.
func (s *story) refuse(ctx context.Context) error {
	s.t.heading("3. Nobody changes it by hand")
	s.t.say("What runs is what a commit says. A cluster administrator, whom the API server asks no questions, tries another image, fewer " +
		"replicas, and a shell in a pod:")
	before, err := s.release(ctx, s.releases[1])
	if err != nil {
		return err
	}
	web := "deployment/web-" + strings.TrimPrefix(s.releases[1], track+"-")
	for _, args := range [][]string{
		{"set", "image", web, "web=shop.example/web:9.9.9"},
		{"scale", web, "--replicas=1"},
		{"exec", web, "--", "sh"},
	} {
		if err := s.refused(ctx, append([]string{"-n", namespace}, args...)...); err != nil {
			return err
		}
	}
	after, err := s.release(ctx, s.releases[1])
	if err != nil {
		return err
	}
	if after.Status.ActiveRun != before.Status.ActiveRun || after.Status.Replicas != before.Status.Replicas {
		return fmt.Errorf("release %s has changed: from run %d, %+v to run %d, %+v", after.Name, before.Status.ActiveRun, before.Status.Replicas,
			after.Status.ActiveRun, after.Status.Replicas)
	}
	s.t.result("All three were refused, by policies in the API server: no process has to run for that. Commit 2 runs on, all of its %d pods.",
		after.Status.Replicas.Ready)
	return nil
}

func (s *story) commitThree(ctx context.Context) error {
	s.t.heading("4. Commit 3 never gets healthy")
	s.t.say("A version of web that crashes as soon as it starts. The track gives a release 15 s to become healthy (progressDeadline).")
	s.tellEdits(summerSale)
	s.t.command("%s", pushed("Summer sale"))
	w, err := s.watch(ctx)
	if err != nil {
		return err
	}
	w.begins()
	s.releases[2], err = s.commitFiles(ctx, "Summer sale", func(dir string) error { return applyEdits(dir, summerSale) })
	if err != nil {
		return err
	}
	least := int32(-1)
	err = w.until(ctx, func(ctx context.Context) error {
		serving, err := s.release(ctx, s.releases[1])
		if err != nil {
			return err
		}
		if ready := serving.Status.Replicas.Ready; least < 0 || ready < least {
			least = ready
		}
		return s.removed(ctx, s.releases[2])
	})
	if err != nil {
		return err
	}
	if err := s.showMessage(ctx, "irel", s.releases[2], v1alpha1.HealthyCondition); err != nil {
		return err
	}
	if err := s.showTraffic(ctx); err != nil {
		return err
	}
	failed, err := s.release(ctx, s.releases[2])
	if err != nil {
		return err
	}
	s.t.result("Commit 3 was given up after %s and its objects were removed. Commit 2 served all the time and never had fewer than %d "+
		"ready pods.", seconds(failed.Status.Times.Superseded.Sub(failed.Status.Times.Staged.Time)), least)
	return nil
}

func (s *story) rollBack(ctx context.Context) error {
	s.t.heading("5. Rollback to commit 1, while Git is down")
	s.t.command("go run ./hack/demo git stop")
	if err := (gitServer{s.files}).control(ctx, "stop"); err != nil {
		return err
	}
	s.t.command("git ls-remote %s", s.url)
	if _, err := git(ctx, s.files.state, "ls-remote", s.url); err != nil {
		s.t.output(wrap(afterLast(err.Error(), "fatal: ")))
	} else {
		return fmt.Errorf("the Git server answers although it was stopped")
	}
	s.t.say("One command rolls back to the last good release. It writes one field of the track (spec.pin), which holds until it is removed, " +
		"whatever is pushed meanwhile, and who asks for it.")
	began := time.Now()
	if err := s.stele(ctx, "rollback", track, "-n", namespace); err != nil {
		return err
	}
	live, err := s.moved(ctx, began, s.releases[0], s.releases[1])
	if err != nil {
		return err
	}
	s.rolledBack = time.Now()
	if err := s.showTraffic(ctx); err != nil {
		return err
	}
	s.t.result("Commit 1 is back after %s, from its archive in the cluster: a second run of the same release, with new objects.", seconds(live))
	return nil
}

func (s *story) unpin(ctx context.Context) error {
	s.t.heading("6. The pin is removed")
	s.t.say("Git is there again, and the track goes on to the newest release that is good. Commit 3 has failed, so that is commit 2.")
	s.t.command("go run ./hack/demo git start")
	if err := (gitServer{s.files}).control(ctx, "start"); err != nil {
		return err
	}
	began := time.Now()
	if err := s.stele(ctx, "resume", track, "-n", namespace); err != nil {
		return err
	}
	live, err := s.moved(ctx, began, s.releases[1], s.releases[0])
	if err != nil {
		return err
	}
	s.t.result("Commit 2 takes the traffic again, after %s.", seconds(live))
	return nil
}

// moved is the time from an act to the moment at which all traffic had moved from one release to the other, whose last pod is gone.
func (s *story) moved(ctx context.Context, began time.Time, to, from string) (time.Duration, error) {
	err := testkit.Eventually(ctx, pace, s.reached(map[string]v1alpha1.ReleasePhase{to: v1alpha1.PhaseActive, from: v1alpha1.PhaseRetired}))
	if err != nil {
		return 0, err
	}
	return s.since(ctx, began, to)
}

// sinceBegin is the time from the step's act to the moment at which all traffic had moved to the release.
func (s *story) sinceBegin(ctx context.Context, w *watching, name string) (time.Duration, error) {
	return s.since(ctx, w.begin, name)
}

func (s *story) since(ctx context.Context, began time.Time, name string) (time.Duration, error) {
	rel, err := s.release(ctx, name)
	if err != nil {
		return 0, err
	}
	if rel.Status.Times.Activated == nil {
		return 0, fmt.Errorf("release %s has no time of activation", name)
	}
	return rel.Status.Times.Activated.Sub(began), nil
}

// removed is done when a release has failed and none of its pods is left.
func (s *story) removed(ctx context.Context, name string) error {
	if err := s.reached(map[string]v1alpha1.ReleasePhase{name: v1alpha1.PhaseFailed})(ctx); err != nil {
		return err
	}
	rel, err := s.release(ctx, name)
	if err == nil && rel.Status.Replicas.Remaining > 0 {
		err = fmt.Errorf("%d pods of release %s remain", rel.Status.Replicas.Remaining, name)
	}
	return err
}

// showTraffic tells where the Service of web points; the others point there too.
func (s *story) showTraffic(ctx context.Context) error {
	return s.show(ctx, "-n", namespace, "get", "service", "web", "-o", "jsonpath={.spec.selector}")
}

// showMessage tells the message of a condition.
func (s *story) showMessage(ctx context.Context, kind, name, condition string) error {
	args := []string{"-n", namespace, "get", kind, name, "-o", fmt.Sprintf(`jsonpath={.status.conditions[?(@.type=="%s")].message}`, condition)}
	s.t.command("kubectl %s", quoted(args))
	out, err := s.cluster.Kubectl(ctx, args...)
	s.t.output(wrap(out))
	return err
}

// catchEnding takes the table of a release's pods at the moment when the first of them is being deleted.
func (s *story) catchEnding(ctx context.Context, release string) <-chan string {
	table := make(chan string, 1)
	go func() {
		err := testkit.Eventually(ctx, pace, func(ctx context.Context) error {
			pods := &corev1.PodList{}
			err := s.cluster.Client.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ReleaseLabel: release})
			if err != nil {
				return err
			}
			for i := range pods.Items {
				if !pods.Items[i].DeletionTimestamp.IsZero() {
					return nil
				}
			}
			return fmt.Errorf("no pod of %s is ending", release)
		})
		out := ""
		if err == nil {
			out, err = s.cluster.Kubectl(ctx, "-n", namespace, "get", "pods", "-l", v1alpha1.ReleaseLabel+"="+release)
		}
		if err != nil {
			out = err.Error()
		}
		table <- out
	}()
	return table
}

// trackManifest writes the track with the address of this demo's repository.
func (s *story) trackManifest() (string, error) {
	data, err := os.ReadFile(filepath.Join(s.files.root, "hack", "demo", "cluster", "track.yaml"))
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(string(data), "GIT_URL", s.url)
	return text, os.WriteFile(s.files.in("track.yaml"), []byte(text), 0o644)
}

// short makes a path relative to the checkout.
func (s *story) short(path string) string {
	if rel, err := filepath.Rel(s.files.root, path); err == nil {
		return rel
	}
	return path
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

func afterLast(text, mark string) string {
	if i := strings.LastIndex(text, mark); i >= 0 {
		return text[i:]
	}
	return text
}
