package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/test/testkit"
)

// keyFile has the public key of the audit log.
const keyFile = "ledger.vkey"

// prove shows what the audit log is good for: what ran when, for somebody who trusts neither the cluster nor who administers it.
func (s *story) prove(ctx context.Context) error {
	s.t.heading("7. Prove it")
	s.t.say("All of this was entered into an audit log, a signed Merkle tree, by a process of its own. An auditor keeps its public key. (In a " +
		"cluster the log is read through the API server. Here pods are fake, and --ledger says where that process is.)")
	if err := testkit.Eventually(ctx, pace, s.entered); err != nil {
		return err
	}
	key, evidence, forged := s.short(s.files.in(keyFile)), s.short(s.files.in("evidence.tar")), s.short(s.files.in("forged.tar"))
	get := []string{"get", "auditledger", v1alpha1.AuditLedgerName, "-o", "jsonpath={.status.publicKey}"}
	s.t.command("kubectl %s > %s", quoted(get), key)
	text, err := s.cluster.Kubectl(ctx, get...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.files.in(keyFile), []byte(text), 0o644); err != nil {
		return err
	}
	s.t.say("The whole log goes into one file, which is checked with no cluster and no network:")
	if err := s.stele(ctx, "audit", "export", "--file", evidence, "--ledger", s.ledger, "--key", key); err != nil {
		return err
	}
	if err := s.stele(ctx, "audit", "verify", evidence, "--key", key); err != nil {
		return err
	}
	s.t.say("What ran while Git was down, and why? From the file:")
	if err := s.stele(ctx, "as-of", track, s.rolledBack.UTC().Format(time.DateTime), "-n", namespace, "--ledger", evidence, "--key", key); err != nil {
		return err
	}
	s.t.say("Somebody would rather have had commit 1 fail than commit 3, and writes so into a copy of the file:")
	s.t.command("LC_ALL=C sed 's/%s/%s/g' %s > %s", s.releases[2], s.releases[0], evidence, forged)
	if err := forge(s.files.in("evidence.tar"), s.files.in("forged.tar"), s.releases[2], s.releases[0]); err != nil {
		return err
	}
	if err := s.doesNotVerify(ctx, "audit", "verify", forged, "--key", key); err != nil {
		return err
	}
	s.t.result("The first entry that was changed is named, and the exit code is %d. Node alone (hack/verify-ledger), or sha256sum and openssl, "+
		"find it too: docs/evidence.md.", notVerified)
	return nil
}

// entered is done when no entry waits to be in the log.
func (s *story) entered(ctx context.Context) error {
	waiting := &corev1.ConfigMapList{}
	err := s.cluster.Client.List(ctx, waiting, client.InNamespace(testkit.OperatorNamespace), client.MatchingLabels{v1alpha1.OutboxLabel: v1alpha1.OutboxEntry})
	if err != nil {
		return err
	}
	if n := len(waiting.Items); n > 0 {
		return fmt.Errorf("%d entries are not in the audit log; see %s", n, s.files.ledgerLog())
	}
	return nil
}

// forge copies a file with other words in it. They are as long as before, so that it stays a tar file.
func forge(from, to, old, text string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if len(old) != len(text) || !bytes.Contains(data, []byte(old)) {
		return errors.New("there is nothing to forge in " + from)
	}
	return os.WriteFile(to, bytes.ReplaceAll(data, []byte(old), []byte(text)), 0o644)
}
