// Package crd has the CustomResourceDefinitions of this version, for programs that read objects without a cluster.
package crd

import _ "embed"

// ReleaseTrack says what a ReleaseTrack may hold, and what it holds by default.
//
//go:embed bases/stele.dev_releasetracks.yaml
var ReleaseTrack []byte
