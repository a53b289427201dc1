// Command bench measures every budget of the design on an embedded cluster, with a real Git server and the operator as a
// process of its own. What a rollout costs at least is measured in the same run: the floor is a bare blue/green client that
// creates the same objects under new names, waits for them, patches the Service and waits for its endpoints.
//
// Runs of the floor and of Stele alternate, and a figure is the median of the ratios pair by pair: that is what a busy
// machine disturbs least. See docs/benchmarks.md.
//
//	main.go       flags, cases, order
//	rig.go        what a case runs on: cluster, Git server, operator, namespaces
//	observer.go   one clock for both sides: the moment at which an event of the API server shows what is waited for
//	floor.go      the bare client
//	proxy.go      counts the operator's requests to the API server
//	case_*.go     one file per budget
package main
