// Package child runs other programs as children of this one.
//
// Each child has a process group of its own, so that a terminal's Ctrl-C reaches
// only this program, which then ends its children in order. On Linux a child never
// survives this program, however that ends (pdeathsig); elsewhere it does if this
// program is killed.
//
// One goroutine for each child starts it and waits for its end; nothing else runs in
// the background.
package child
