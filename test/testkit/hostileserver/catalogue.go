package hostileserver

import (
	"fmt"
	"net/http"
	"strings"
)

// Case is a script, and how one that follows the branch main of it, at the path "deploy", has to end.
type Case struct {
	*Script
	// Reason is that of the condition; empty: nothing is wrong, and the files are read.
	Reason string
	// Says are parts of the message.
	Says []string
	// Refused: the repository is read, and the commit is refused. Otherwise the source fails.
	Refused bool
	// Plain: Git has nothing against it, the content is refused.
	Plain bool
	// Hangs: only the client's own deadline ends it.
	Hangs bool
}

// Reasons of conditions. They are written out: what users read must not change unseen.
const (
	unreachable = "RepositoryUnreachable"
	unexpected  = "UnexpectedResponse"
	limit       = "LimitExceeded"
	unsafeTree  = "UnsafeTree"
	corrupt     = "RepositoryCorrupt"
	invalidURL  = "InvalidURL"
	notFound    = "RepositoryNotFound"
	refNotFound = "RefNotFound"
	refused     = "AuthenticationFailed"
	emptyRepo   = "EmptyRepository"
)

const inTime = "no complete answer in time"

// Good is an honest repository with the files in its folder "deploy".
func Good(files map[string]string) *Script {
	p := &Pack{}
	return &Script{Head: p.AddFiles(files), Pack: p.Bytes()}
}

// Files are what an honest server would give in the folder "deploy", by the name of the case.
type Files func(name string) map[string]string

// Transport is what goes wrong before a pack is there.
func Transport(files Files) map[string]Case {
	out := map[string]Case{}
	with := func(name string, c Case, change func(*Script)) {
		c.Script = Good(files(name))
		change(c.Script)
		out[name] = c
	}
	hangs := Case{Reason: unreachable, Says: []string{inTime}, Hangs: true}
	with("hang-after-headers", hangs, func(s *Script) { s.Advert = (*Talk).Hang })
	with("hang-in-listing", hangs, func(s *Script) { s.List = (*Talk).Hang })
	with("hang-in-pack", hangs, func(s *Script) { s.Fetch = func(t *Talk) { t.SendPack(s.Pack[:40]); t.Hang() } })
	with("drip-advertisement", hangs, func(s *Script) { s.Advert = func(t *Talk) { t.Text("00f0version 2"); t.Drip('x') } })
	with("drip-listing", hangs, func(s *Script) { s.List = func(t *Talk) { t.Text("00f0" + s.Head); t.Drip('x') } })
	with("drip-pack", hangs, func(s *Script) { s.Fetch = func(t *Talk) { t.Text("00f0\x01" + string(s.Pack[:20])); t.Drip('x') } })
	broken := Case{Reason: unreachable, Says: []string{"ended before the answer was complete"}}
	with("reset-advertisement", broken, func(s *Script) { s.Advert = func(t *Talk) { t.Text("00f0version 2"); t.Reset() } })
	with("reset-listing", broken, func(s *Script) { s.List = func(t *Talk) { t.Text(pkt(s.Head + " refs/heads/main\n")); t.Reset() } })
	with("reset-in-pack", broken, func(s *Script) { s.Fetch = func(t *Talk) { t.SendPack(s.Pack[:len(s.Pack)/2]); t.Reset() } })
	with("cut-in-pack", broken, func(s *Script) { s.Fetch = func(t *Talk) { t.SendPack(s.Pack[:len(s.Pack)/2]) } })

	endless(with)
	with("rubbish-instead-of-packets", Case{Reason: unexpected}, func(s *Script) { s.Advert = func(t *Talk) { t.Text("zzzz<html>") } })
	with("rubbish-instead-of-a-pack", Case{Reason: unexpected, Says: []string{"damaged pack"}}, func(s *Script) { s.Pack = []byte("<html>no pack, but long enough to be one") })
	with("empty-repository", Case{Reason: emptyRepo}, func(s *Script) { s.List = func(t *Talk) { t.Text("0000") } })
	with("unborn-branch", Case{Reason: emptyRepo}, func(s *Script) {
		s.List = func(t *Talk) { t.Text(pkt("unborn HEAD symref-target:refs/heads/main\n") + "0000") }
	})
	with("deleted-branch", Case{Reason: refNotFound, Says: []string{`branch "main"`}}, func(s *Script) {
		s.List = func(t *Talk) { t.Text(pkt(s.Head+" refs/heads/other\n") + "0000") }
	})
	with("sha-256-repository", Case{Reason: unexpected, Says: []string{"sha256", "reads SHA-1"}}, func(s *Script) {
		s.Advert = func(t *Talk) { t.Text(pkt("version 2\n") + pkt("object-format=sha256\n") + "0000") }
	})
	with("shallow-server", Case{Reason: unexpected, Says: []string{"shallow"}}, func(s *Script) {
		pack := s.Pack
		s.Advert = func(t *Talk) { t.Text(pkt("version 2\n") + pkt("ls-refs\n") + pkt("fetch=shallow\n") + "0000") }
		s.RawFetch = func(t *Talk) {
			t.Text(pkt("shallow-info\n") + pkt("shallow "+s.Head+"\n") + "0001" + pkt("packfile\n"))
			t.SendPack(pack)
			t.Text("0000")
		}
	})
	with("shallow-server-v0", Case{Reason: unexpected, Says: []string{"shallow"}}, func(s *Script) {
		s.V0 = true
		s.Advert = func(t *Talk) {
			t.Text(pkt(s.Head+" refs/heads/main\x00side-band-64k ofs-delta\n") + pkt("shallow "+s.Head+"\n") + "0000")
		}
	})
	// Names that no ref may have stand beside the one that is followed.
	odd := func(v0 bool) func(*Script) {
		return func(s *Script) {
			s.V0 = v0
			for _, name := range []string{"refs/heads/../../config", "refs/heads/-x", "refs/heads/\x1b[31mred", "refs/heads/a\x7f", "refs/../../../etc/passwd"} {
				s.Refs = append(s.Refs, Ref{name, s.Head})
			}
		}
	}
	with("odd-ref-names", Case{}, odd(false))
	with("odd-ref-names-v0", Case{}, odd(true))
	return out
}

// endless answers have no end, and come as fast as they are taken.
func endless(with func(string, Case, func(*Script))) {
	listing := Case{Reason: limit, Says: []string{"refs", "at most"}}
	refs := func(t *Talk, first string) {
		t.Text(first)
		for i := range 1_000_000 {
			if t.Pkt(fmt.Sprintf("%040x refs/heads/b%d\n", i+1, i)) != nil {
				return
			}
		}
		t.Text("0000")
	}
	with("million-refs", listing, func(s *Script) { s.List = func(t *Talk) { refs(t, "") } })
	with("million-refs-v0", listing, func(s *Script) {
		s.V0 = true
		s.Advert = func(t *Talk) { refs(t, pkt(s.Head+" refs/heads/main\x00ofs-delta\n")) }
	})
	with("endless-capabilities", Case{Reason: unexpected}, func(s *Script) {
		s.Advert = func(t *Talk) { t.Text(pkt("version 2\n")); t.Endless(pkt("capability=x\n")) }
	})
	noise := Case{Reason: limit, Says: []string{"beside the pack", "at most"}}
	with("endless-sections", noise, func(s *Script) { s.RawFetch = func(t *Talk) { t.Endless(pkt("acknowledgments\n")) } })
	with("endless-progress", noise, func(s *Script) { s.Fetch = func(t *Talk) { t.Endless(pkt("\x02Counting objects\r")) } })
	with("endless-keepalives", noise, func(s *Script) { s.Fetch = func(t *Talk) { t.Endless(pkt("\x01")) } })
	with("endless-acknowledgements-v0", noise, func(s *Script) { s.V0, s.RawFetch = true, func(t *Talk) { t.Endless(pkt("NAK\n")) } })
}

// HTTP is what only a web server can do. Each answer repeats the credentials that it has got.
func HTTP() map[string]Case {
	echo := func(r *http.Request) string {
		user, pass, _ := r.BasicAuth()
		auth := r.Header.Get("Authorization")
		return fmt.Sprintf("%s %s %s http://%s:%s@host/?token=%s", user, pass, auth, user, pass, pass)
	}
	out := map[string]Case{
		"html": {Reason: unexpected, Says: []string{"text/html"}, Script: &Script{HTTP: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, "<html>", echo(r))
		}}},
		"empty-answer": {Reason: unexpected, Script: &Script{HTTP: func(http.ResponseWriter, *http.Request) {}}},
		"server-speaks": {Reason: unexpected, Says: []string{"the server says"}, Script: &Script{HTTP: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = fmt.Fprint(w, pkt("ERR "+echo(r)+"\x1b[31m\n"))
		}}},
		"type-repeats-the-credentials": {Reason: unexpected, Script: &Script{HTTP: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/"+strings.NewReplacer(" ", "-", ":", "-", "/", "-").Replace(echo(r)))
		}}},
	}
	for code, reason := range map[int]string{401: refused, 403: refused, 404: notFound, 429: unexpected, 500: unexpected, 503: unexpected} {
		out[fmt.Sprintf("status-%d", code)] = Case{Reason: reason, Says: []string{fmt.Sprintf("HTTP %d", code)},
			Script: &Script{HTTP: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Echo", echo(r))
				w.Header().Set("Retry-After", "1000000")
				http.Error(w, echo(r), code)
			}}}
	}
	return out
}

// Redirects lead to other places, at the first request and at the fetch.
func Redirects(targets map[string]string, files Files) map[string]Case {
	out := map[string]Case{}
	for name, target := range targets {
		to := func(w http.ResponseWriter, r *http.Request) {
			_, pass, _ := r.BasicAuth()
			w.Header().Set("Location", target+r.URL.Path+"?password="+pass)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
		c := Case{Reason: invalidURL, Says: []string{"redirects", "not followed"}}
		c.Script = &Script{HTTP: to}
		out["redirect-"+name] = c
		c.Script = Good(files(name))
		c.PostHTTP = to
		out["redirect-later-"+name] = c
	}
	return out
}
