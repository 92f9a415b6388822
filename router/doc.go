// Package router takes a message from a sender's node to the nodes that own its
// receiver.
package router
