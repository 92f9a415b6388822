package link

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
// recorded from counting twice on its channel is the link's life, see lives.go; for what has no number
// the receiver has to see to it.

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

// Why a batch is not believed.
var (
	ErrUnsigned = errors.New("batch without a MAC")
	ErrForged   = errors.New("batch with a MAC of another key, channel or content")
)

// Signer signs and verifies batches. One goroutine uses it at a time.
type Signer struct {
	macs   []hash.Hash // of the keys; the first one signs
	sum    [sha256.Size]byte
	length [binary.MaxVarintLen64]byte
}

// NewSigner returns a signer that signs with the first key and verifies with all. Without
// keys nothing is signed, and what is signed is not read.
func NewSigner[Key ~[]byte](keys []Key) *Signer {
	s := new(Signer)
	for _, key := range keys {
		s.macs = append(s.macs, hmac.New(sha256.New, key))
	}
	return s
}

// mac computes the MAC of a batch that is published on channel.
func (s *Signer) mac(m hash.Hash, channel, batch []byte) []byte {
	m.Reset()
	n := binary.PutUvarint(s.length[:], uint64(len(channel)))
	_, _ = m.Write(s.length[:n]) // a hash never fails
	_, _ = m.Write(channel)
	_, _ = m.Write(batch[:sealBegin])
	_, _ = m.Write(batch[sealedSize:])
	return m.Sum(s.sum[:0])[:macSize]
}

// Sign writes the MAC into the room that AppendHeader has left for it, if it has.
func (s *Signer) Sign(channel string, batch []byte) {
	if len(s.macs) > 0 {
		copy(batch[sealBegin:sealedSize], s.mac(s.macs[0], bytesOf(channel), batch))
	}
}

// Open returns what follows the MAC of a batch that came by channel. It reads no more
// of the batch than its version before it has verified it.
func (s *Signer) Open(channel, batch string) (body string, err error) {
	switch {
	case len(batch) < sealBegin || batch[0] != Version:
		return "", ErrVersion
	case batch[1] == sealNone && len(s.macs) == 0:
		return batch[sealBegin:], nil
	case batch[1] == sealNone:
		return "", ErrUnsigned
	case batch[1] != sealMAC || len(batch) < sealedSize:
		return "", ErrMalformed
	}
	for _, m := range s.macs {
		if hmac.Equal(bytesOf(batch[sealBegin:sealedSize]), s.mac(m, bytesOf(channel), bytesOf(batch))) {
			return batch[sealedSize:], nil
		}
	}
	return "", ErrForged
}
