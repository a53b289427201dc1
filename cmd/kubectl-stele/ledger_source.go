package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/entry"
	"github.com/stele-dev/stele/internal/ledger/evidence"
	"github.com/stele-dev/stele/internal/ledger/source"
)

// ledgerService serves the log within the cluster: name and port of the Service.
const ledgerService = "stele-ledger:http"

// ledgerTimeout is for one file of the log.
const ledgerTimeout = time.Minute

// ledgerFlags say where the log is read, and what it is checked with. They are the same in all commands that read it.
type ledgerFlags struct {
	shell             *shell
	ledger            string
	operatorNamespace *string
	keys              []string
}

func (f *ledgerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.ledger, "ledger", "", "where the log is: a URL, a folder, or the file of an export. Default: in the cluster, through the proxy of the API server (needs the right services/proxy)")
	f.operatorNamespace = operatorNamespace(cmd)
	addKeyFlag(cmd, &f.keys)
}

func addKeyFlag(cmd *cobra.Command, keys *[]string) {
	cmd.Flags().StringArrayVar(keys, "key", nil, "public key that you trust (name+hash+key), or a file that holds it; again for each further one")
}

// opened is a log, and the keys to check it with.
type opened struct {
	evidence.Log
	keys []evidence.Key
	// least is the size that the log must have at least: the AuditLedger has said so.
	least uint64
	close func()
	// keysCameWith the log itself.
	keysCameWith bool
}

// open finds the log. Nothing of it is checked yet.
func (f *ledgerFlags) open(ctx context.Context) (*opened, error) {
	keys, err := readKeys(f.keys)
	if err != nil {
		return nil, err
	}
	o := &opened{keys: keys, close: func() {}}
	switch {
	case f.ledger == "":
		return o, f.openCluster(ctx, o)
	case strings.HasPrefix(f.ledger, "http://"), strings.HasPrefix(f.ledger, "https://"):
		base, err := url.Parse(f.ledger)
		if err != nil {
			return nil, usagef("--ledger is no URL")
		}
		o.Log = source.HTTP{Client: &http.Client{Timeout: ledgerTimeout}, Base: base}
	default:
		if err := f.openPath(ctx, o); err != nil {
			return nil, err
		}
	}
	if len(o.keys) == 0 {
		return nil, usagef("say with --key which key the log is signed with; it is status.publicKey of the AuditLedger: kubectl get auditledger cluster -o jsonpath={.status.publicKey}")
	}
	return o, nil
}

func (f *ledgerFlags) openPath(ctx context.Context, o *opened) error {
	info, err := os.Stat(f.ledger)
	if err != nil {
		return fmt.Errorf("--ledger: %w", err)
	}
	if info.IsDir() {
		o.Log = source.Dir(f.ledger)
		return nil
	}
	a, closeFile, err := openExport(f.ledger)
	if err != nil {
		return err
	}
	o.Log, o.close = a, closeFile
	if len(o.keys) == 0 {
		o.keys, o.keysCameWith = a.Keys(ctx), true
	}
	return nil
}

// openCluster takes the key from the AuditLedger, and the files through the API server.
func (f *ledgerFlags) openCluster(ctx context.Context, o *opened) error {
	c, err := f.shell.client()
	if err != nil {
		return err
	}
	var ledger v1alpha1.AuditLedger
	if err := c.Get(ctx, client.ObjectKey{Name: v1alpha1.AuditLedgerName}, &ledger); apierrors.IsNotFound(err) && !isMissingResource(err) {
		return exitf(exitFailed, "there is no AuditLedger, which has the key of the log. The operator makes it: does it run? kubectl -n %s get pods", *f.operatorNamespace)
	} else if err != nil {
		return fmt.Errorf("read the AuditLedger, which has the key of the log: %w", err)
	}
	if len(o.keys) == 0 {
		key, err := evidence.ParseKey(ledger.Status.PublicKey)
		if err != nil {
			return errors.New("the AuditLedger cluster has no public key in its status: the process that writes the log has not started yet (kubectl -n " + *f.operatorNamespace + " get pods)")
		}
		o.keys = []evidence.Key{key}
	}
	o.least = uint64(max(0, ledger.Status.Size)) //nolint:gosec // not negative
	config, err := f.shell.config()
	if err != nil {
		return err
	}
	o.Log, err = proxied(config, *f.operatorNamespace)
	return err
}

// proxied reads the log through the proxy of the API server: no port has to be opened, and rights are asked of RBAC.
func proxied(config *rest.Config, namespace string) (source.HTTP, error) {
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return source.HTTP{}, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return source.HTTP{}, err
	}
	// What the log answers comes through the API server as it is. A redirect would take the credentials of who reads along, to wherever it points.
	transport.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if transport.Timeout == 0 {
		transport.Timeout = ledgerTimeout
	}
	return source.HTTP{Client: transport, Base: base.JoinPath("api/v1/namespaces", namespace, "services", ledgerService, "proxy")}, nil
}

// verify reads and checks the whole log, and shows each entry to see. What see has gathered may be told when there is no error.
func (o *opened) verify(ctx context.Context, see func(uint64, entry.Entry)) (*evidence.Report, error) {
	report, err := evidence.Verify(ctx, evidence.Growing{Files: o.Log}, evidence.Options{Keys: o.keys, Each: see})
	if err != nil {
		return nil, readError(err)
	}
	if report.Verified() && report.Size < o.least {
		report.Findings = append(report.Findings, evidence.Finding{Text: fmt.Sprintf("the log has %d entries, and the AuditLedger says that it had %d: the rest is missing", report.Size, o.least)})
	}
	if !report.Verified() {
		return nil, invalid("the log does not verify, so nothing of it is shown: %s", report.Findings[0])
	}
	report.KeyFromFile = o.keysCameWith
	return report, nil
}

func readError(err error) error {
	if errors.Is(err, source.ErrForbidden) {
		return &exitError{exitRefused, fmt.Errorf("%w: the log is read through the proxy of the API server, for which you need the right to get services/proxy of %s in the operator's namespace; or name the log with --ledger", err, ledgerService)}
	}
	if errors.Is(err, source.ErrNotServed) {
		return fmt.Errorf("%w. Does the pod of the StatefulSet stele-ledger run in the operator's namespace, and is that the one of --operator-namespace? A log that the operator keeps itself is read with --ledger", err)
	}
	if errors.Is(err, evidence.ErrCheckpoint) {
		return invalid("%w", err)
	}
	return fmt.Errorf("read the log: %w", err)
}

// readKeys takes keys as they are, or from files.
func readKeys(given []string) ([]evidence.Key, error) {
	var keys []evidence.Key
	for _, text := range given {
		if !strings.Contains(text, "+") || isFile(text) {
			data, err := readSmall(text)
			if err != nil {
				return nil, usagef("--key: %v", err)
			}
			text = string(data)
		}
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) == "" {
				continue
			}
			key, err := evidence.ParseKey(line)
			if err != nil {
				return nil, usagef("--key: %v", err)
			}
			keys = append(keys, key)
		}
	}
	if len(given) > 0 && len(keys) == 0 {
		return nil, usagef("--key: there is no key in it")
	}
	return keys, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// readSmall reads a file that a person names, up to 64 KiB.
func readSmall(path string) ([]byte, error) {
	const most = 64 << 10
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", filepath.Base(path), most)
	}
	return os.ReadFile(path)
}

// openExport opens the file of an export.
func openExport(path string) (*evidence.Archive, func(), error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	closeFile := func() { _ = f.Close() }
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no plain file", path)
	}
	if err != nil {
		closeFile()
		return nil, nil, err
	}
	a, err := evidence.OpenArchive(f, info.Size())
	if err != nil {
		closeFile()
		return nil, nil, invalid("%v", err)
	}
	return a, closeFile, nil
}

func invalid(format string, args ...any) error { return exitf(exitInvalid, format, args...) }

// linef writes a line to people: one, whatever is in it, with its blanks as they are.
func (s *shell) linef(format string, args ...any) {
	s.printf("%s\n", strings.NewReplacer("\n", " ", "\t", " ").Replace(safeLines(fmt.Sprintf(format, args...))))
}
