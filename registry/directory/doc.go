// Package directory says who is connected where, and ends connections: what whoever
// administers a cluster asks, be it a command (beeline whois, beeline nodes) or an API.
//
// It reads the registry, and ends the sessions of its own node by an interface that package
// node implements. It has no goroutines, and its methods are safe for concurrent use.
//
// It may import package registry.
package directory
