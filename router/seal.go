package router

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
)

// What nodes publish to each other is signed with the cluster's key: who has none may
// be able to publish to a node's channel, and can't make a batch that a node takes. The
// MAC is HMAC-SHA256, cut to 16 bytes, of the channel's name and all of the batch but
// the MAC. So a batch counts on its channel only: with the name of a private channel,
// which has the receiver's nodeID in it, for one life of one node. What keeps a batch that was
// recorded from counting twice on its channel is the link's number, see link.go, and for what has none
// stale.go.

// Values of a batch's second byte.
const (
	sealNone = 0 // no MAC follows
	sealMAC  = 1 // 16 bytes of MAC follow
)

const (
	macSize    = 16
	sealBegin  = 2 // of the MAC in a batch
	sealedSize = sealBegin + macSize
)

var (
	errUnsigned = errors.New("batch without a MAC")
	errForged   = errors.New("batch with a MAC of another key, channel or content")
)

// signer signs and verifies batches. One goroutine uses it at a time.
type signer struct {
	macs   []hash.Hash // of the keys; the first one signs
	sum    [sha256.Size]byte
	length [binary.MaxVarintLen64]byte
}

func newSigner(keys []ClusterKey) *signer {
	s := new(signer)
	for _, key := range keys {
		s.macs = append(s.macs, hmac.New(sha256.New, key))
	}
	return s
}

// sum computes the MAC of a batch that is published on channel.
func (s *signer) mac(m hash.Hash, channel, batch []byte) []byte {
	m.Reset()
	n := binary.PutUvarint(s.length[:], uint64(len(channel)))
	_, _ = m.Write(s.length[:n]) // a hash never fails
	_, _ = m.Write(channel)
	_, _ = m.Write(batch[:sealBegin])
	_, _ = m.Write(batch[sealedSize:])
	return m.Sum(s.sum[:0])[:macSize]
}

// sign writes the MAC into the room that appendHeader has left for it, if it has.
func (s *signer) sign(channel string, batch []byte) {
	if len(s.macs) > 0 {
		copy(batch[sealBegin:sealedSize], s.mac(s.macs[0], bytesOf(channel), batch))
	}
}

// open returns what follows the MAC of a batch that came by channel. It reads no more
// of the batch than its version before it has verified it.
func (s *signer) open(channel, batch string) (body string, err error) {
	switch {
	case len(batch) < sealBegin || batch[0] != batchVersion:
		return "", errVersion
	case batch[1] == sealNone && len(s.macs) == 0:
		return batch[sealBegin:], nil
	case batch[1] == sealNone:
		return "", errUnsigned
	case batch[1] != sealMAC || len(batch) < sealedSize:
		return "", errMalformed
	}
	for _, m := range s.macs {
		if hmac.Equal(bytesOf(batch[sealBegin:sealedSize]), s.mac(m, bytesOf(channel), bytesOf(batch))) {
			return batch[sealedSize:], nil
		}
	}
	return "", errForged
}

// keyed reports whether this node signs, and believes only what is signed.
func (r *Router) keyed() bool { return len(r.opts.ClusterKeys) > 0 }

// header returns how a batch of this node's begins.
func (r *Router) header() header {
	return header{from: r.opts.NodeID, sealed: r.keyed()}
}

// signed returns the post of a batch without numbers for a private channel, which is
// published beside the links'. add appends its envelopes.
func (r *Router) signed(channel string, add func([]byte) []byte) post {
	h := r.header()
	batch := add(appendHeader(nil, &h))
	newSigner(r.opts.ClusterKeys).sign(channel, batch)
	return post{channel: channel, private: true, payload: batch}
}
