// Command beeline is the one binary: a node (serve), a cluster to try out in
// one process (demo), and small tools that ask a cluster something (send, whois,
// nodes, health). It wires the packages together and decides nothing itself.
//
// Settings come from the environment; config.go is the list of them. A wrong
// command line or setting exits with 2, a failure with 1; a tool whose answer is
// no (not delivered, nobody there) exits with 3.
package main
