//go:build unix

// Command chaos runs clusters of nodes, injects faults for a while and reports whether every
// promise about messages was kept. It translates its flags for package chaos (cmd/internal),
// which does the work, and prints the result. It exits with 1 if a promise was broken, with 2
// if the run could not be made or proves little.
//
// It imports packages of cmd/internal, and ledger for the kinds of violations.
package main
