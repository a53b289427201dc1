package admission

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// person is somebody with the rights that a role of ours gives, and no others.
func person(t *testing.T, name string) *identity {
	t.Helper()
	config := rest.CopyConfig(suite.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated"}}
	i, err := newIdentity(name, name, config)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestVerbsOfTracks: rollback for pin, promote and rejected, purge for a purge, configure for all the rest, and who asks is who is named.
func TestVerbsOfTracks(t *testing.T) {
	oncall, engineer, admin, cleaner := person(t, "oncall"), person(t, "engineer"), one(t, "masters"), person(t, "cleaner")
	purge := func(actor string) string {
		return `{"metadata":{"annotations":{"stele.dev/purge":"shop-1111111111","stele.dev/actor":` + actor + `}}}`
	}
	wish := func(field, value, actor string) string {
		return `{"metadata":{"annotations":{"stele.dev/actor":` + actor + `}},"spec":{"` + field + `":` + value + `}}`
	}
	const commit = `["1111111111111111111111111111111111111111"]`
	cases := map[string]struct {
		who    *identity
		patch  string
		denied bool
	}{
		"on-call pins":                            {oncall, wish("pin", `"shop-1111111111"`, `"oncall"`), false},
		"on-call promotes":                        {oncall, wish("promote", `"shop-1111111111"`, `"oncall"`), false},
		"on-call rejects":                         {oncall, wish("rejected", commit, `"oncall"`), false},
		"on-call accepts a history":               {oncall, `{"metadata":{"annotations":{"stele.dev/actor":"oncall","stele.dev/accept-history":"1111111111111111111111111111111111111111"}}}`, false},
		"on-call accepts without saying who":      {oncall, `{"metadata":{"annotations":{"stele.dev/accept-history":"1111111111111111111111111111111111111111"}}}`, true},
		"administrator accepts without saying":    {admin, `{"metadata":{"annotations":{"stele.dev/accept-history":"1111111111111111111111111111111111111111"}}}`, true},
		"on-call pins without saying who":         {oncall, `{"spec":{"pin":"shop-1111111111"}}`, true},
		"on-call pins in the name of another":     {oncall, wish("pin", `"shop-1111111111"`, `"engineer"`), true},
		"on-call names another":                   {oncall, `{"metadata":{"annotations":{"stele.dev/actor":"engineer"}}}`, true},
		"on-call changes the source":              {oncall, `{"spec":{"source":{"path":"other"}}}`, true},
		"on-call suspends":                        {oncall, `{"spec":{"suspend":true}}`, true},
		"on-call changes the source with a pin":   {oncall, `{"metadata":{"annotations":{"stele.dev/actor":"oncall"}},"spec":{"pin":"shop-1111111111","suspend":true}}`, true},
		"on-call labels":                          {oncall, `{"metadata":{"labels":{"a":"b"}}}`, true},
		"on-call restarts":                        {oncall, `{"metadata":{"annotations":{"stele.dev/restart":"1"}}}`, true},
		"on-call removes the finalizer":           {oncall, `{"metadata":{"finalizers":null}}`, true},
		"engineer suspends":                       {engineer, `{"spec":{"suspend":true}}`, false},
		"engineer labels":                         {engineer, `{"metadata":{"labels":{"a":"b"}}}`, false},
		"engineer restarts":                       {engineer, `{"metadata":{"annotations":{"stele.dev/restart":"1"}}}`, false},
		"engineer pins":                           {engineer, wish("pin", `"shop-1111111111"`, `"engineer"`), false},
		"engineer removes the finalizer":          {engineer, `{"metadata":{"finalizers":null}}`, true},
		"administrator pins":                      {admin, wish("pin", `"shop-1111111111"`, `"root"`), false},
		"administrator pins without saying who":   {admin, `{"spec":{"pin":"shop-1111111111"}}`, true},
		"administrator removes the finalizer":     {admin, `{"metadata":{"finalizers":["example.org/other"]}}`, true},
		"who may purges":                          {cleaner, purge(`"cleaner"`), false},
		"who may purges in the name of another":   {cleaner, purge(`"oncall"`), true},
		"who may purge pins":                      {cleaner, wish("pin", `"shop-1111111111"`, `"cleaner"`), true},
		"who may purge suspends":                  {cleaner, `{"spec":{"suspend":true}}`, true},
		"on-call purges":                          {oncall, purge(`"oncall"`), true},
		"engineer purges":                         {engineer, purge(`"engineer"`), true},
		"administrator purges":                    {admin, purge(`"root"`), false},
		"administrator purges without saying":     {admin, `{"metadata":{"annotations":{"stele.dev/purge":"shop-1111111111"}}}`, true},
		"an empty list of commits is no change":   {oncall, `{"spec":{"rejected":[]}}`, false},
		"an empty list of commits, by engineer":   {engineer, `{"spec":{"rejected":[]}}`, false},
		"nothing is changed, by on-call":          {oncall, `{"spec":{"interval":"1m"}}`, false},
		"the operator changes metadata":           {one(t, "operator"), `{"metadata":{"annotations":{"stele.dev/actor":null},"finalizers":null}}`, false},
		"an impersonator of the operator":         {one(t, "impersonator"), `{"metadata":{"finalizers":null}}`, true},
		"the garbage collector ends a foreground": {controller(t, "generic-garbage-collector"), `{"metadata":{"finalizers":["finalizers.stele.dev/track"]}}`, false},
		"the garbage collector ends ours":         {controller(t, "generic-garbage-collector"), `{"metadata":{"finalizers":null}}`, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.who.patch(t.Context(), tracks, ordinary, "shop", tc.patch)
			if got := deniedBy(err); (got == "stele-tracks") != tc.denied || err != nil && got == "" {
				t.Errorf("denied: %t; %v", got != "", err)
			}
		})
	}
}

// TestCreateAndDeleteTracks: both are a matter of configuring, and a pin at creation is a pin.
func TestCreateAndDeleteTracks(t *testing.T) {
	oncall, engineer := person(t, "oncall"), person(t, "engineer")
	pinnedTrack := with(track(ordinary, "new"), "shop-1111111111", "spec", "pin")
	named := pinnedTrack.DeepCopy()
	named.SetAnnotations(map[string]string{"stele.dev/actor": "engineer"})
	cases := map[string]struct {
		send   func(ctx context.Context) error
		denied bool
	}{
		"create":                       {func(ctx context.Context) error { return engineer.create(ctx, tracks, track(ordinary, "new")) }, false},
		"create pinned":                {func(ctx context.Context) error { return engineer.create(ctx, tracks, pinnedTrack) }, true},
		"create pinned, and say who":   {func(ctx context.Context) error { return engineer.create(ctx, tracks, named) }, false},
		"delete":                       {func(ctx context.Context) error { return engineer.delete(ctx, tracks, ordinary, "shop") }, false},
		"apply what another has taken": {func(ctx context.Context) error { return apply(ctx, engineer, `{"spec":{"pin":"shop-1111111111"}}`) }, true},
		"apply nothing new": {func(ctx context.Context) error {
			return apply(ctx, oncall, `{"spec":{"source":{"url":"https://git.example.eu/shop.git"},"serviceAccountName":"deployer"}}`)
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.send(t.Context())
			if got := deniedBy(err); (got == "stele-tracks") != tc.denied || err != nil && got == "" {
				t.Errorf("denied: %t; %v", got != "", err)
			}
		})
	}
}

// apply is a server-side apply with force.
func apply(ctx context.Context, i *identity, fields string) error {
	body := `{"apiVersion":"stele.dev/v1alpha1","kind":"ReleaseTrack","metadata":{"name":"shop"},` + fields[1:]
	force := true
	_, err := i.dyn.Resource(tracks).Namespace(ordinary).Patch(ctx, "shop", types.ApplyPatchType, []byte(body),
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "test", Force: &force})
	return err
}
