//go:build unix

// Package chaos runs clusters of real processes, lets clients talk to each other
// all the time, and injects faults by a schedule that a seed decides. What the
// clients see goes into a ledger for each cluster, and the ledger is judged.
//
// # A run
//
//  1. A plan is made: which fault, on whom, when, for how long (plan.go). The same
//     seed and length give the same plan.
//  2. The sites start (site.go): each is a Redis of some form (backing.go), nodes
//     and people, who are clients (person.go). Sites differ in their faults
//     (mix.go): some would hide what others show.
//  3. The faults are injected (inject.go), while people send, move and come back.
//     For each killed node somebody measures when its clients are answered for
//     (probe.go).
//  4. When all faults are over and mended, everybody must be reachable by everybody
//     (rollcall.go). When nothing is on its way any more, the ledgers are judged.
//
// A saboteur may sit between people and nodes (saboteur.go): a run with one must
// find what he does, or it would prove nothing without one. People talk on after the
// faults until he has done enough.
//
// # Goroutines
//
// Each site has one for the injection of each lane of faults (what must not happen
// to the same thing at once is in one lane), one for each person and one for each
// connection. All end with Run.
package chaos
