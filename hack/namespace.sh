#!/usr/bin/env bash
# Onboards a namespace, or takes it back: hack/namespace.sh onboard|offboard NAMESPACE. KUBECTL and KUBECONFIG say where. It can be
# run again; what it did is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

verb=${1:-} namespace=${2:-} kubectl=${KUBECTL:-kubectl}
die() { printf '%s\n' "$1" >&2; exit 1; }

[[ "$namespace" =~ ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$ ]] || die "$verb: say which namespace: make $verb NAMESPACE=shop"
[[ "$namespace" != stele-system && "$namespace" != kube-* ]] ||
  die "$verb: $namespace is not for releases: whoever commits could use its service accounts and Secrets"

onboard() {
  local folder
  mkdir -p dist
  folder=$(mktemp -d dist/onboard.XXXXXX)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$folder'" EXIT
  printf 'namespace: %s\nresources: [../../config/namespace]\n' "$namespace" >"$folder/kustomization.yaml"
  "$kubectl" apply --server-side --field-manager stele-onboard -k "$folder"
  echo "namespace $namespace is onboarded: the operator may write there, and the policies of config/admission apply to it where they are installed"
}

offboard() {
  local tracks
  tracks=""
  # Without the CustomResourceDefinition there are none: Stele was removed before.
  if "$kubectl" get crd releasetracks.stele.dev -o name >/dev/null 2>&1; then
    tracks=$("$kubectl" -n "$namespace" get releasetracks.stele.dev -o name)
  fi
  [ -z "$tracks" ] || die "offboard: the operator needs its rights in $namespace for these tracks. Delete them first; with deletionPolicy Orphan, what runs stays:
$tracks"
  "$kubectl" label namespace "$namespace" stele.dev/immutable-
  "$kubectl" -n "$namespace" delete rolebinding -l app.kubernetes.io/part-of=stele
  echo "namespace $namespace is taken back: the operator may write nothing there"
}

case "$verb" in
onboard | offboard) "$verb" ;;
*) die "usage: $0 onboard|offboard NAMESPACE" ;;
esac
