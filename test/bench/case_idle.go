package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
)

const (
	memoryBudget     = 128 << 20
	memoryBudgetFull = 512 << 20
	idleCoreBudget   = 0.01
	idleWindow       = time.Minute
	idleInterval     = time.Minute
)

// measureIdle brings many tracks live, and then looks at what the operator takes when nothing changes.
func measureIdle(ctx context.Context, b *bench) error {
	if err := b.idle(ctx, b.tracks, memoryBudget); err != nil || !b.full {
		return err
	}
	return b.idle(ctx, 1000, memoryBudgetFull)
}

func (b *bench) idle(ctx context.Context, n int, budget int64) (err error) {
	ctx, cancel := timeout(ctx, 40*time.Minute)
	defer cancel()
	s, err := b.newStage(ctx, "idle", true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	apps := appsNamed("app", n, 1)
	repo, err := s.git.CreateRepo("apps")
	if err != nil {
		return err
	}
	if err := commit(repo, apps, 1); err != nil {
		return err
	}
	err = each(apps, func(a app) error {
		return s.createTrack(ctx, following{app: a, repo: "apps", path: "./" + a.name, interval: idleInterval, drain: time.Second})
	})
	if err != nil {
		return err
	}
	if err := s.rest(ctx, apps); err != nil {
		return err
	}
	// A second release, so that there is a past: an ended release per track.
	if err := commit(repo, apps, 2); err != nil {
		return err
	}
	if _, err := s.roll(ctx, apps, func() error { return s.trigger(ctx, apps...) }); err != nil {
		return err
	}
	if err := s.rest(ctx, apps); err != nil {
		return err
	}
	if err := sleep(ctx, 15*time.Second); err != nil { // what is put off (counters, events) is written, garbage is collected
		return err
	}
	return b.watchIdle(ctx, s, n, budget)
}

func (b *bench) watchIdle(ctx context.Context, s *stage, n int, budget int64) error {
	before, err := versions(ctx, s)
	if err != nil {
		return err
	}
	s.proxy.take()
	s.git.ResetRequests()
	cpu, err := cpuTime(s.op.PID())
	if err != nil {
		return err
	}
	if err := sleep(ctx, idleWindow); err != nil {
		return err
	}
	used, err := cpuTime(s.op.PID())
	if err != nil {
		return err
	}
	requests := calls(s.proxy.take())
	memory, peak, err := residentMemory(s.op.PID())
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d tracks: ", n)
	b.report.add(row{what: what + "memory at rest", figure: fmt.Sprintf("%s (at most %s)", bytesText(memory), bytesText(peak)), budget: bytesText(budget), verdict: within(memory <= budget)})
	b.addGit(what, s, n)
	after, err := versions(ctx, s)
	if err != nil {
		return err
	}
	changed := differences(before, after)
	b.report.add(row{what: what + "objects changed in a minute without change", figure: fmt.Sprint(len(changed)), budget: "0", verdict: within(len(changed) == 0)})
	if len(changed) > 0 {
		b.say("changed: %s", strings.Join(changed[:min(len(changed), 10)], ", "))
	}
	core := (used - cpu).Seconds() / idleWindow.Seconds()
	share := row{what: what + "processor in a minute without change", figure: fmt.Sprintf("%.4f core (%.2f s)", core, (used - cpu).Seconds()),
		budget: fmt.Sprintf("%.2f core", idleCoreBudget), verdict: within(core <= idleCoreBudget)}
	if budget == memoryBudgetFull { // the budget is for 100 tracks
		share.budget, share.verdict = "", info
	}
	b.report.add(share)
	b.report.add(row{what: what + "mutating calls in a minute without change", figure: fmt.Sprint(requests.count(mutating)), budget: "0",
		verdict: within(requests.count(mutating) == 0)})
	b.report.add(row{what: what + "reads in a minute without change", figure: byText(requests)})
	return nil
}

func byText(c calls) string {
	by := c.by()
	var out []string
	for _, key := range slices.Sorted(maps.Keys(by)) {
		out = append(out, fmt.Sprintf("%d %s", by[key], key))
	}
	if out == nil {
		return "0"
	}
	return strings.Join(out, ", ")
}

// addGit: a look at an unchanged repository is one listing, which is two requests of protocol version 2.
func (b *bench) addGit(what string, s *stage, n int) {
	var bytes int64
	requests := s.git.Requests()
	by := map[string]int{}
	for _, r := range requests {
		bytes += r.In + r.Out
		by[r.Method]++
	}
	const mostPerInterval = 1.25 // jitter takes up to a tenth off the interval
	limit := int(2 * mostPerInterval * float64(n))
	b.report.add(row{what: what + "Git requests in a minute without change", figure: fmt.Sprintf("%d (%d GET, %d POST), %s of bodies", len(requests), by["GET"], by["POST"], bytesText(bytes)),
		budget: "listings only", verdict: within(len(requests) <= limit && bytes <= int64(len(requests))*1024)})
}

// beats are what the cluster itself writes all the time.
var beats = map[string]bool{"leases": true, "nodes": true, "events": true}

// versions are the resourceVersions of everything in the cluster that is stored, and of the events of our namespace.
func versions(ctx context.Context, s *stage) (map[string]string, error) {
	client, err := discovery.NewDiscoveryClientForConfig(s.cluster.Config)
	if err != nil {
		return nil, err
	}
	lists, err := client.ServerPreferredResourcesWithContext(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, res := range list.APIResources {
			if !slices.Contains(res.Verbs, "list") || !slices.Contains(res.Verbs, "watch") || beats[res.Name] {
				continue
			}
			objects := &metav1.PartialObjectMetadataList{}
			objects.SetGroupVersionKind(gv.WithKind(res.Kind + "List"))
			if err := s.cluster.Client.List(ctx, objects); err != nil {
				return nil, fmt.Errorf("list %s: %w", res.Name, err)
			}
			for i := range objects.Items {
				o := &objects.Items[i]
				out[fmt.Sprintf("%s %s", res.Name, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})] = o.ResourceVersion
			}
		}
	}
	return out, nil
}

func differences(before, after map[string]string) []string {
	var out []string
	for key, version := range after {
		if before[key] != version {
			out = append(out, key)
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
