#!/usr/bin/env bash
# Documentation that a machine can check: links inside the repository lead somewhere, every make target that a page names
# exists, and every package is in docs/architecture.md.
set -euo pipefail
cd "$(dirname "$0")/.."
fail=0
say() { printf 'docs: %s\n' "$1" >&2; fail=1; }

while IFS=: read -r file link; do
  target=${link%%#*}
  [ -z "$target" ] && continue
  [ -e "$(dirname "$file")/$target" ] || say "$file links to $target, which does not exist"
done < <(git ls-files -o -c --exclude-standard '*.md' | xargs grep -oE '\]\([^)# ]+(#[^)]*)?\)' | sed -E 's/\]\(([^)]*)\)/\1/' | grep -vE ':(https?|mailto):')

while IFS=: read -r file target; do
  grep -qE "^$target:" Makefile || say "$file names make $target, which does not exist"
done < <(git ls-files -o -c --exclude-standard '*.md' | xargs grep -oE '`make [a-z][a-z0-9-]*' | sed -E 's/`make //')

for pkg in $(go list ./... | sed 's#^github.com/stele-dev/stele/##' | grep -E '^(api|controllers|internal|cmd)/'); do
  grep -q "\`$pkg\`" docs/architecture.md || say "docs/architecture.md does not name package $pkg"
done
exit "$fail"
