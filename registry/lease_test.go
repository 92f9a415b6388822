package registry

import (
	"testing"
	"unsafe"
)

// A lease is part of what a node keeps for each of a million addresses. What it
// takes: the address's name 16 bytes (a string, shared with the session), the
// token 8, the place in the wheel 6, held 1. The wheel's pointer is 8 more.
func TestLeaseIsSmall(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(Lease{}); size > 32 {
		t.Errorf("a lease takes %d bytes, want at most 32", size)
	}
}
