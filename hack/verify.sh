#!/usr/bin/env bash
# Fails when something that is generated, formatted or written down does not match the code. Works on a dirty tree too: it
# compares before and after.
set -euo pipefail
cd "$(dirname "$0")/.."

fail=0
say() { printf 'verify: %s\n' "$1" >&2; fail=1; }

# state of the files that generators write
state() { git ls-files -z -o -c --exclude-standard -- api config go.mod go.sum hack/*/go.mod | sort -z | xargs -0 sha256sum 2>/dev/null; }

unformatted=$(git ls-files -o -c --exclude-standard '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || say "not formatted, run make fmt: $unformatted"

before=$(state)
make --no-print-directory generate manifests
go mod tidy
after=$(state)
if [ "$before" != "$after" ]; then
  diff <(echo "$before") <(echo "$after") >&2 || true
  say 'generated files or go.mod were stale; they are renewed now, commit them (make generate manifests)'
fi
go mod verify >/dev/null || say 'a module in the cache does not match go.sum'

hack/docs-check.sh || fail=1

[ "$fail" = 0 ] && echo 'verify: everything is up to date'
exit "$fail"
