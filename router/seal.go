package router

import (
	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
)

// keyed reports whether this node signs, and believes only what is signed.
func (r *Router) keyed() bool { return len(r.opts.ClusterKeys) > 0 }

// header returns how a batch of this node's begins.
func (r *Router) header() link.Header {
	return link.Header{From: r.opts.NodeID, Sealed: r.keyed()}
}

// signed returns a batch without numbers for a private channel, which is published beside
// the links'. add appends its envelopes.
func (r *Router) signed(channel string, add func([]byte) []byte) bus.Publication {
	h := r.header()
	batch := add(link.AppendHeader(nil, &h))
	link.NewSigner(r.opts.ClusterKeys).Sign(channel, batch)
	return bus.Publication{Channel: channel, Payload: batch}
}
