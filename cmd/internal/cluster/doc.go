// Package cluster runs redis-servers and nodes as child processes of this program,
// on 127.0.0.1, for what wants to see them apart: their processor time, their
// memory, their death.
//
// Each child has a process group of its own, so that a terminal's Ctrl-C reaches
// only this program, which then ends its children in order. On Linux a child never
// survives this program, however that ends; elsewhere it does if this program is killed.
//
// A goroutine for each child starts it and waits for its end; nothing else runs in
// the background. The package may import the registry; a node never imports it.
package cluster
