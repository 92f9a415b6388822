// Package node is the sockets' side of a beeline node.
package node
