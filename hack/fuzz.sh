#!/usr/bin/env bash
# Finds every fuzz target and runs each for the given time.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
found=0
while IFS=: read -r file line; do
  name=$(sed -E 's/func (Fuzz[A-Za-z0-9_]+).*/\1/' <<<"$line")
  found=$((found + 1))
  echo "== $name in $(dirname "$file") for $time"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 2s "./$(dirname "$file")"
done < <(git ls-files -o -c --exclude-standard '*_test.go' | xargs grep -E '^func Fuzz')
[ "$found" -gt 0 ] || { echo 'no fuzz target was found' >&2; exit 1; }
