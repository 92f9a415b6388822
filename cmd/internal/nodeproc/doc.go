// Package nodeproc builds beeline and runs its nodes as child processes of this program,
// on 127.0.0.1, for what wants to see them apart: their processor time, their memory,
// their death. What it starts ends with this program: see package child.
package nodeproc
