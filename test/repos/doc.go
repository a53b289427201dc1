// Package repos reads the sample repositories of test/testdata/repos: small repositories of the make that people have. Its own
// test compares what each commit comes out as with golden files; the stories run the same commits on the embedded cluster.
// It knows no cluster and does not depend on package testing.
package repos
