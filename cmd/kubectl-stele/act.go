package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// operatorIn is where the operator is installed, unless somebody has changed that.
const operatorIn = "stele-system"

// fieldManager is who writes the wishes of people. What Git keeps of a track leaves them out, so that no sync takes them away.
const fieldManager = "stele-oncall"

// Values of --dry-run.
const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

// acting is what every command works with that changes something.
type acting struct {
	*shell
	wait    bool
	timeout time.Duration
	dryRun  string
	output  *output

	api client.WithWatch
	ns  string
}

// acts makes a command of one that changes something: it gets the flags that they all have, and is connected before it works.
func (a *acting) acts(cmd *cobra.Command) *cobra.Command {
	cmd.GroupID = groupAct
	cmd.Flags().BoolVar(&a.wait, "wait", true, "follow until it is done")
	cmd.Flags().DurationVar(&a.timeout, "timeout", 5*time.Minute, "how long to follow; what was asked for stays asked for")
	modes := []string{dryRunNone, dryRunClient, dryRunServer}
	cmd.Flags().StringVar(&a.dryRun, "dry-run", dryRunNone, strings.Join(modes, ", ")+": client says what would be done, server also lets the cluster check it")
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions(modes, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	a.output = newOutput(cmd, outputJSON, outputYAML, outputName)
	work := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case !slices.Contains(modes, a.dryRun):
			return usagef("--dry-run is one of %s, and not %q", strings.Join(modes, ", "), safe(a.dryRun))
		case a.timeout <= 0:
			return usagef("--timeout is a time above zero, such as 5m; --wait=false does not follow at all")
		}
		var err error
		if a.ns, err = a.namespace(); err != nil {
			return err
		}
		if a.api, err = a.client(); err != nil {
			return err
		}
		return work(cmd, args)
	}
	return cmd
}

// say tells people what goes on. With -o it goes beside what programs read.
func (a *acting) say(format string, args ...any) {
	if a.output.forPeople() {
		a.printf(format+"\n", args...)
		return
	}
	a.notef(format+"\n", args...)
}

// dry is how a sentence ends about what is not done for good.
func (a *acting) dry() string {
	switch a.dryRun {
	case dryRunClient:
		return " (dry run)"
	case dryRunServer:
		return " (server dry run)"
	}
	return ""
}

// command is what people type to go on, with the namespace that they are in.
func (a *acting) command(format string, args ...any) string {
	return fmt.Sprintf("%s %s -n %s", a.called, fmt.Sprintf(format, args...), a.ns)
}

// show writes a changed object for programs.
func (a *acting) show(obj client.Object, kind, resource string) error {
	if a.output.forPeople() {
		return nil
	}
	obj.SetManagedFields(nil)
	obj.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return a.write(a.output, obj, resource+obj.GetName())
}

func (a *acting) showTrack(t *v1alpha1.ReleaseTrack) error {
	return a.show(t.DeepCopy(), v1alpha1.ReleaseTrackKind, trackResource)
}

// look reads a track and its releases.
func (a *acting) look(ctx context.Context, name string) (scene, error) {
	t, err := a.track(ctx, a.api, name)
	if err != nil {
		return scene{}, err
	}
	releases, err := a.listReleases(ctx, a.api, t.Name)
	return newScene(t, releases), err
}

// whoami is the user name that the cluster knows whoever runs this by.
func (a *acting) whoami(ctx context.Context) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := a.api.Create(ctx, review); err != nil {
		return "", fmt.Errorf("ask the cluster who you are: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}

// ask writes a wish, with who asks for it: what the operator does for people is told apart from what it does by itself.
func ask[T client.Object](ctx context.Context, a *acting, old T, matters func(T) string, edit func(T)) (T, error) {
	user, err := a.whoami(ctx)
	if err != nil {
		return old, err
	}
	return write(ctx, a, old, matters, func(next T) {
		edit(next)
		annotate(next, v1alpha1.ActorAnnotation, user)
	})
}

// write edits an object as it was read. The operator's own writes in between do no harm, but what matters says in words of the object must
// be as it was: two people who ask at once are told of each other.
func write[T client.Object](ctx context.Context, a *acting, old T, matters func(T) string, edit func(T)) (T, error) {
	options := []client.PatchOption{client.FieldOwner(fieldManager)}
	if a.dryRun == dryRunServer {
		options = append(options, client.DryRunAll)
	}
	for {
		next := old.DeepCopyObject().(T)
		edit(next)
		if a.dryRun == dryRunClient {
			return next, nil
		}
		err := a.api.Patch(ctx, next, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}), options...)
		if !apierrors.IsConflict(err) {
			return next, a.role(err, old)
		}
		fresh := old.DeepCopyObject().(T)
		if err := a.api.Get(ctx, client.ObjectKeyFromObject(old), fresh); err != nil {
			return old, err
		}
		if was, is := matters(old), matters(fresh); was != is || fresh.GetUID() != old.GetUID() {
			return old, exitf(exitRefused, "somebody else has changed %s just now, and nothing of yours was written.\nBefore: %s\nNow:    %s\n%s shows it; ask again if it is still needed.",
				old.GetName(), safe(was), safe(is), a.command("status"))
		}
		old = fresh
	}
}

// role adds to a refusal by RBAC who may do it. The policies of Stele say that themselves.
func (a *acting) role(err error, obj client.Object) error {
	if !apierrors.IsForbidden(err) || strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
		return err
	}
	if _, ok := obj.(*v1alpha1.AuditLedger); ok {
		return exitf(exitRefused, "%w\nThe ClusterRole stele-privacy lets people erase who acted: ask for it in the whole cluster.", err)
	}
	return exitf(exitRefused, "%w%s\nThe ClusterRole stele-oncall lets people roll back, promote and reject, stele-purge purge, and stele-edit do all the rest: ask for the one that you need in namespace %s.",
		err, rightNeeded(err), a.ns)
}

func annotate(obj client.Object, key, value string) {
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	obj.SetAnnotations(annotations)
}

// wishes are what people want of a track, in words.
func wishes(t *v1alpha1.ReleaseTrack) string {
	return fmt.Sprintf("pin %s, promote %s, suspend %t, purge %s", orNone(t.Spec.Pin), orNone(t.Spec.Promote), t.Spec.Suspend,
		orNone(t.Annotations[v1alpha1.PurgeAnnotation]))
}

// nothingElse matters where an edit adds to what is there.
func nothingElse[T client.Object](T) string { return "" }

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// heldByGit: a server-side apply of somebody else holds a field of spec, as tools do that sync manifests from Git; the next sync brings it back.
func heldByGit(t *v1alpha1.ReleaseTrack, field string) bool {
	for _, m := range t.ManagedFields {
		if m.Manager == fieldManager || m.Operation != "Apply" || m.FieldsV1 == nil {
			continue
		}
		if ownsField(m.FieldsV1.GetRawBytes(), "f:spec", "f:"+field) {
			return true
		}
	}
	return false
}

// ownsField: managed fields hold a path of keys.
func ownsField(raw []byte, path ...string) bool {
	for _, key := range path {
		var level map[string]json.RawMessage
		if json.Unmarshal(raw, &level) != nil || level[key] == nil {
			return false
		}
		raw = level[key]
	}
	return true
}
