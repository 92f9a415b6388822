// Command beeline is the one binary: a node (serve), a cluster to try out in
// one process (demo), and small tools that ask a cluster something (send, listen,
// whois, nodes, health). It wires the packages together and decides nothing itself.
//
// Settings come from the environment; config.go is the list of them. A wrong
// command line or setting exits with 2, a failure with 1; a tool whose answer is
// no (not delivered, nobody there) exits with 3.
//
// Output goes to standard output, and what went wrong to standard error; both are
// quoted (package quote) where they repeat what came from outside. Logs never wait
// for their reader (logqueue.go). A tool that asks and ends leaves SIGINT and SIGTERM
// to Go, which end it; a command that stays obeys them in signals.go.
package main
