//go:build unix

package redisproc

import "syscall"

// Pause stops the server's process: connections stay open and nothing answers until
// Resume.
func (r *Server) Pause() error { return r.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (r *Server) Resume() error { return r.Signal(syscall.SIGCONT) }
