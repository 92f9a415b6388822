// Package quote prints what comes from outside: from Redis, nodes and clients.
//
// A terminal must neither obey it nor show it in another order than it has, and
// nobody must take it for what beeline itself says. Everything else stays as it is,
// whatever the script: names of people must stay legible.
//
// It has no goroutines, and imports nothing of beeline.
package quote
