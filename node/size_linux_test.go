//go:build !386 && !arm

package node

import (
	"testing"
	"unsafe"
)

// An idle session costs what its parts are, rounded up to the allocator's sizes.
// With a storm's garbage given back, a node's memory is that of its sessions here
// and of their leases in the router, so nothing is to grow unnoticed.
func TestSizeOfASession(t *testing.T) {
	for _, part := range []struct {
		name       string
		size, most uintptr
	}{
		// 48 bytes are interfaces and strings that name the node, the protocol,
		// the client and the last address; 16 the wire; 17 the outbox; 12 each the
		// ID and what is in flight.
		{"session", unsafe.Sizeof(session{}), 160},
		// Two pointers, flags, the descriptor and what it is watched for.
		{"wire", unsafe.Sizeof(pollWire{}), 32},
		// An interface and the generation, for each descriptor up to the highest.
		{"slot", unsafe.Sizeof(slot{}), 24},
		// Gone with the welcome; at most MaxHandshakes of them wait for the router.
		{"arrival", unsafe.Sizeof(arrival{}), 192},
		// Only while a frame or a message is incomplete; 32 bytes are its place among those.
		{"frames", unsafe.Sizeof(frames{}), 144},
	} {
		if part.size > part.most {
			t.Errorf("%s has %d bytes, at most %d are allowed", part.name, part.size, part.most)
		}
		t.Logf("%s: %d", part.name, part.size)
	}
}
