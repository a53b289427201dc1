// Package policy holds the gates: what a release must fulfil before it runs, each with an id, a severity, reasons and what
// to do.
//
//	commit ──render──> objects ──Check──> findings ──Judge──> one verdict per gate
//
// It is pure: values in, values out; no client, clock, environment, disk or network. Three kinds of gates share its table
// (gates.go), which has them in the order in which they are asked:
//
//  1. of what the files are, checked by package render where it reads and normalises them: render names a reason, and
//     the table says whose it is;
//  2. of the objects (kinds, digests of images, hardening), checked here;
//  3. of the cluster, asked when a run begins; what is pure of them (ForeignServices) is here.
//
// No finding ever repeats a value of a manifest, because any of them may be a secret: only names, keys and positions.
package policy
