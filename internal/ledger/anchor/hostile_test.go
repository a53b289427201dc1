package anchor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stele-dev/stele/internal/gitsource/fault"
	"github.com/stele-dev/stele/internal/ledger/anchor"
	"github.com/stele-dev/stele/test/testkit/hostileserver"
)

func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// isTold says whether an error is one that a condition can have: it has a reason, or says that the branch is not ours.
func isTold(err error) bool { return fault.Reason(err) != "" || errors.Is(err, anchor.ErrForked) }

// Everything that hostile servers are known for, at the question for the newest checkpoint: it ends, with an error that says so.
func TestHostileLatest(t *testing.T) {
	server := hostileserver.New()
	defer server.Close()
	l := newLedger(t)
	files := func(string) map[string]string { return map[string]string{"checkpoint": "x"} }
	cases := map[string]hostileserver.Case{}
	for _, group := range []map[string]hostileserver.Case{hostileserver.Transport(files), hostileserver.Packs(files), hostileserver.HTTP()} {
		for name, c := range group {
			cases[name] = c
		}
	}
	if len(cases) < 40 {
		t.Fatalf("%d cases", len(cases))
	}
	secret := map[string][]byte{"username": []byte(canaryUser), "password": []byte(canaryPassword)}
	for name, c := range cases {
		server.Add(name, c.Script)
		t.Run(name, func(t *testing.T) {
			timeout := 20 * time.Second
			if c.Hangs {
				timeout = 300 * time.Millisecond
			}
			g := l.anchor(server.URL(name), secret, func(cfg *anchor.Config) { cfg.Timeout = timeout })
			a, err := g.Latest(t.Context())
			switch name {
			case "empty-repository", "unborn-branch", "deleted-branch": // there is nothing, and that is right
				if err != nil || a.Commit != "" {
					t.Fatalf("%v, %v", a, err)
				}
				return
			}
			if err == nil || !isTold(err) {
				t.Fatalf("%v, %v", a, err)
			}
			says(t, err)
			if c.Hangs {
				wantError(t, err, fault.Unreachable)
			}
		})
	}
}

// The same at the push.
func TestHostilePush(t *testing.T) {
	server := hostileserver.New()
	defer server.Close()
	l := newLedger(t)
	zero := strings.Repeat("0", 40)
	advert := func(text string) func(*hostileserver.Talk) {
		return func(t *hostileserver.Talk) { t.Text(pkt("# service=git-receive-pack\n") + "0000" + text) }
	}
	answer := func(text string) func(*hostileserver.Talk) { return func(t *hostileserver.Talk) { t.Text(text) } }
	band := func(n byte, text string) string { return pkt(string(rune(n)) + text) }
	status := pkt("unpack ok\n")
	for name, tc := range map[string]struct {
		advert, receive func(*hostileserver.Talk)
		kind            *fault.Kind
		hangs           bool
		says            string
	}{
		"hangs before":              {advert: (*hostileserver.Talk).Hang, kind: fault.Unreachable, hangs: true},
		"drips before":              {advert: func(t *hostileserver.Talk) { t.Text("00f0" + zero); t.Drip('x') }, kind: fault.Unreachable, hangs: true},
		"hangs after":               {receive: (*hostileserver.Talk).Hang, kind: fault.Unreachable, hangs: true},
		"drips after":               {receive: func(t *hostileserver.Talk) { t.Text("00f0"); t.Drip('\x01') }, kind: fault.Unreachable, hangs: true},
		"breaks off":                {receive: func(t *hostileserver.Talk) { t.Text("00f0"); t.Reset() }, kind: fault.Unreachable},
		"ends at once":              {receive: answer(""), kind: fault.Unreachable},
		"ends in the report":        {receive: answer(band(1, status)), kind: fault.Unreachable},
		"no report":                 {receive: answer("0000"), kind: fault.Unreachable},
		"says nothing of the ref":   {receive: answer(band(1, status+"0000") + "0000"), kind: fault.Server},
		"speaks of another ref":     {receive: answer(band(1, status+pkt("ok refs/heads/other\n")+"0000") + "0000"), kind: fault.Server},
		"rubbish":                   {receive: answer("<html>"), kind: fault.Server},
		"rubbish in the report":     {receive: answer(band(1, "<html>zz") + "0000"), kind: fault.Server},
		"no pack":                   {receive: answer(band(1, pkt("unpack index-pack abnormal exit\n")+"0000") + "0000"), kind: fault.PushRefused, says: "abnormal exit"},
		"refused with credentials":  {receive: answer(band(1, status+pkt("ng refs/heads/main "+canaryUser+":"+canaryPassword+"\x1b[31m no\n")+"0000") + "0000"), kind: fault.PushRefused, says: "no"},
		"gives up with credentials": {receive: answer(band(3, "fatal: "+canaryPassword)), kind: fault.PushRefused, says: "fatal"},
		"endless progress":          {receive: func(t *hostileserver.Talk) { t.Endless(band(2, "Counting")) }, kind: fault.Limit},
		"endless keepalives":        {receive: func(t *hostileserver.Talk) { t.Endless(band(1, "")) }, kind: fault.Limit},
		"endless report":            {receive: func(t *hostileserver.Talk) { t.Text(band(1, status)); t.Endless(band(1, pkt("option x\n"))) }, kind: fault.Server},
		"endless refs": {advert: func(t *hostileserver.Talk) {
			t.Text(pkt("# service=git-receive-pack\n") + "0000" + pkt(zero+" refs/heads/x\x00report-status\n"))
			t.Endless(pkt(zero + " refs/heads/y\n"))
		}, kind: fault.Limit},
		"a name without end":     {advert: advert(pkt(zero + " refs/heads/" + strings.Repeat("x", 60000) + "\x00report-status\n")), kind: fault.Server},
		"version 2":              {advert: advert(pkt("version 2\n") + pkt("ls-refs\n") + "0000"), kind: fault.Server},
		"cannot report":          {advert: advert(pkt(zero+" capabilities^{}\x00delete-refs\n") + "0000"), kind: fault.Server, says: "report-status"},
		"other ids":              {advert: advert(pkt(zero+" capabilities^{}\x00report-status object-format=sha256\n") + "0000"), kind: fault.Server, says: "sha256"},
		"rubbish before":         {advert: answer("<html>"), kind: fault.Server},
		"an error before":        {advert: answer(pkt("ERR " + canaryPassword + " no write access: permission denied\n")), kind: fault.Authentication},
		"read only":              {advert: answer(pkt("ERR The key you are authenticating with has been marked as read only.\n")), kind: fault.Authentication},
		"gone since it was seen": {advert: nil, receive: answer(band(1, status+pkt("ng refs/heads/main failed to update ref\n")+"0000") + "0000"), kind: fault.PushRefused},
	} {
		path := strings.ReplaceAll(name, " ", "-")
		server.Add(path, &hostileserver.Script{List: func(t *hostileserver.Talk) { t.Text("0000") }, ReceiveAdvert: tc.advert, Receive: tc.receive})
		t.Run(name, func(t *testing.T) {
			timeout := 20 * time.Second
			if tc.hangs {
				timeout = 300 * time.Millisecond
			}
			secret := map[string][]byte{"username": []byte(canaryUser), "password": []byte(canaryPassword)}
			g := l.anchor(server.URL(path), secret, func(c *anchor.Config) { c.Timeout = timeout })
			latest(t, g)
			_, err := g.Push(t.Context(), l.checkpoint(1))
			wantError(t, err, tc.kind, tc.says)
		})
	}
}

// What a hostile server makes us hold is bounded: a pack that inflates, a listing and a report without end.
func TestHostileMemory(t *testing.T) {
	server := hostileserver.New()
	defer server.Close()
	l := newLedger(t)
	server.Add("bomb", hostileserver.HugeBlob(1<<30))
	server.Add("pack", &hostileserver.Script{Head: strings.Repeat("a", 40), Fetch: func(t *hostileserver.Talk) {
		t.Endless(pkt("\x01" + strings.Repeat("x", 1000)))
	}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, name := range []string{"bomb", "pack"} {
		_, err := l.anchor(server.URL(name), nil).Latest(t.Context())
		if err == nil || !isTold(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	runtime.ReadMemStats(&after)
	// What was allocated in all, not what is held: the server's own part of the bomb is in it.
	if got := after.TotalAlloc - before.TotalAlloc; got > 256<<20 {
		t.Errorf("%d MiB were allocated", got>>20)
	}
}

// A caller who leaves ends the work, over SSH in the handshake too.
func TestContextEnds(t *testing.T) {
	l := newLedger(t)
	stuck := newStuckServer(t)
	for _, url := range []string{"http://" + stuck.address + "/anchor", "ssh://git@" + stuck.address + "/anchor"} {
		secret := map[string][]byte(nil)
		if strings.HasPrefix(url, "ssh") {
			secret = start(t).SSHSecret()
		}
		g := l.anchor(url, secret)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := g.Latest(ctx)
			ended <- err
		}()
		<-stuck.accepted
		cancel()
		wantError(t, <-ended, fault.Unreachable)
	}
	// So does a request that the server refuses to end.
	server := hostileserver.New()
	defer server.Close()
	server.Add("slow", &hostileserver.Script{HTTP: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
	_, err := l.anchor(server.URL("slow"), nil, func(c *anchor.Config) { c.Timeout = 200 * time.Millisecond }).Latest(t.Context())
	wantError(t, err, fault.Unreachable, "in time")
}
