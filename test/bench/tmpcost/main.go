package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

func cpu(pid int) float64 {
	d, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(d[strings.LastIndexByte(string(d), ')')+1:]))
	a, _ := strconv.Atoi(f[11])
	b, _ := strconv.Atoi(f[12])
	return float64(a+b) * 10
}

func main() {
	ctx := context.Background()
	c, err := testkit.StartCluster(ctx, fmt.Sprintf("cost-%d", os.Getpid()), os.Stderr)
	if err != nil {
		panic(err)
	}
	defer c.Stop()
	raw, _ := os.ReadFile(c.Dir + "/state.json")
	var st struct{ Processes []struct{ Name string; PID int } }
	json.Unmarshal(raw, &st)
	pids := map[string]int{}
	for _, p := range st.Processes {
		pids[p.Name] = p.PID
	}
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pids["kube-apiserver"]))
	args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	for i, a := range args {
		if strings.HasPrefix(a, "--profiling") {
			args[i] = "--profiling=true"
		}
		if strings.HasPrefix(a, "--secure-port") {
			args[i] = "--secure-port=16443"
		}
	}
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pids["kube-apiserver"]))
	second := exec.Command(exe, args[1:]...)
	second.Dir, _ = os.Readlink(fmt.Sprintf("/proc/%d/cwd", pids["kube-apiserver"]))
	if err := second.Start(); err != nil {
		panic(err)
	}
	defer second.Process.Kill()
	pids["kube-apiserver"] = second.Process.Pid
	cfg := *c.Config
	cfg.Host = "https://127.0.0.1:16443"
	k, err := client.New(&cfg, client.Options{Scheme: c.Client.Scheme()})
	for i := 0; err != nil && i < 100; i++ {
		time.Sleep(200 * time.Millisecond)
		k, err = client.New(&cfg, client.Options{Scheme: c.Client.Scheme()})
	}
	kcs, _ := kubernetes.NewForConfig(&cfg)
	profile := func(name string) func() {
		done := make(chan struct{})
		go func() {
			raw, err := kcs.RESTClient().Get().AbsPath("/debug/pprof/profile").Param("seconds", "8").DoRaw(ctx)
			if err != nil {
				fmt.Println("profile", err)
			}
			os.WriteFile("/tmp/bench/api-"+name+".prof", raw, 0o644)
			close(done)
		}()
		return func() { <-done }
	}
	must := func(err error) {
		if err != nil {
			fmt.Println("ERR", err)
			c.Stop()
			os.Exit(1)
		}
	}
	measure := func(name string, n int, f func(i int) error) {
		a, e, t := cpu(pids["kube-apiserver"]), cpu(pids["etcd"]), time.Now()
		for i := range n {
			must(f(i))
		}
		fmt.Printf("%-34s apiserver %.2f ms  etcd %.2f ms  latency %.2f ms\n", name, (cpu(pids["kube-apiserver"])-a)/float64(n), (cpu(pids["etcd"])-e)/float64(n), float64(time.Since(t).Microseconds())/1000/float64(n))
	}
	time.Sleep(5 * time.Second)
	mk := func(i int) *v1alpha1.ImmutableRelease {
		r := &v1alpha1.ImmutableRelease{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("shop-%010d", i), Labels: map[string]string{v1alpha1.TrackLabel: "shop"}, Finalizers: []string{v1alpha1.ReleaseFinalizer}}}
		r.Spec = v1alpha1.ImmutableReleaseSpec{Track: "shop", Sequence: int64(i + 1), Inputs: []v1alpha1.ReleaseInput{{Name: "renderer", Digest: "sha256:" + strings.Repeat("a", 64)}},
			Source:  v1alpha1.ReleaseSource{URL: "https://git.example.eu/x.git", Revision: "main@sha1:" + strings.Repeat("a", 40), Commit: strings.Repeat("a", 40), Tree: strings.Repeat("b", 40), Path: "shop", ContentDigest: "sha256:" + strings.Repeat("c", 64), CommitTime: metav1.Now()},
			Digest:  "sha256:" + strings.Repeat("d", 64),
			Archive: &v1alpha1.ReleaseArchive{Chunks: 1, Size: 100}}
		for _, kd := range []string{"ConfigMap", "Deployment", "Service"} {
			r.Spec.Objects = append(r.Spec.Objects, v1alpha1.ReleaseObject{Kind: kd, Namespace: "default", Name: "shop", Class: v1alpha1.ClassVersioned, Digest: "sha256:" + strings.Repeat("e", 64)})
		}
		return r
	}
	measure("warm", 100, func(i int) error { return k.Create(ctx, mk(i)) })
	measure("create immutablerelease", 200, func(i int) error { return k.Create(ctx, mk(1000+i)) })
	r := mk(1)
	must(k.Get(ctx, client.ObjectKeyFromObject(r), r))
	conds := func(i int) {
		var cs []metav1.Condition
		for _, t := range []string{"Ready", "Reconciling", "Rendered", "Accepted", "Healthy", "Serving"} {
			cs = append(cs, metav1.Condition{Type: t, Status: "True", Reason: "Succeeded", Message: fmt.Sprintf("some message of usual length %d", i), LastTransitionTime: metav1.Now(), ObservedGeneration: 1})
		}
		r.Status.Conditions = cs
		now := metav1.NowMicro()
		r.Status.Times.Staged = &now
		r.Status.Phase = v1alpha1.PhaseStaging
		r.Status.Replicas.Remaining = int32(i)
	}
	measure("patch irel/status (lock)", 300, func(i int) error {
		b := r.DeepCopy()
		conds(i)
		return k.Status().Patch(ctx, r, client.MergeFromWithOptions(b, client.MergeFromWithOptimisticLock{}))
	})
	wait := profile("status")
	defer wait()
	measure("patch irel/status (no lock)", 1500, func(i int) error {
		b := r.DeepCopy()
		conds(i + 1000)
		return k.Status().Patch(ctx, r, client.MergeFrom(b))
	})
	measure("update irel/status", 300, func(i int) error {
		conds(i + 2000)
		return k.Status().Update(ctx, r)
	})
	measure("subjectaccessreview", 300, func(i int) error {
		return k.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:serviceaccount:default:x", Groups: []string{"system:authenticated"}, ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "default", Verb: "create", Resource: "configmaps"}}})
	})
	measure("create configmap", 300, func(i int) error {
		return k.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("c%d", i)}, Data: map[string]string{"a": "b"}})
	})
	measure("create secret 1 KiB", 300, func(i int) error {
		return k.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("s%d", i)}, Data: map[string][]byte{"a": make([]byte, 1024)}})
	})
	measure("get secret", 300, func(i int) error {
		s := &corev1.Secret{}
		return k.Get(ctx, client.ObjectKey{Namespace: "default", Name: "s1"}, s)
	})
	measure("list 10 irel by label", 200, func(i int) error {
		return k.List(ctx, &v1alpha1.ImmutableReleaseList{}, client.InNamespace("default"), client.Limit(10))
	})
}
