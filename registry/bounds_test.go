package registry

import (
	"strconv"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// Keys that are not beeline's and wait to be removed are bounded. Those beyond are found
// again when there is room.
func TestKeysThatWaitToBeRemovedAreBounded(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Redis: redistest.Start(t).Client(t), NodeID: "a"})
	must(t, err)
	for i := range maxOverwritten + 5 {
		if waits := r.awaitRemoval(strconv.Itoa(i), ""); waits != (i < maxOverwritten) {
			t.Fatalf("key %d waits: %v", i, waits)
		}
	}
	if r.awaitRemoval("0", "") {
		t.Error("a key waits twice")
	}
	r.mu.Lock()
	clear(r.overwritten.waiting)
	r.mu.Unlock()
	if !r.awaitRemoval("again", "") {
		t.Error("there is no room when none waits")
	}
}

// Claims that wait are bounded; when a group of them was taken there is room for as many.
func TestClaimsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Redis: redistest.Start(t).Client(t), NodeID: "a"})
	must(t, err)
	queue := func() error { return r.batcher.claim(&claim{lease: new(Lease), address: "alice"}) }
	for range maxWaitingClaims {
		must(t, queue())
	}
	wantError(t, queue(), errBusy)
	if g, _, _ := r.batcher.take(); len(g.claims) != maxGroup {
		t.Errorf("%d claims share a pipeline, want %d", len(g.claims), maxGroup)
	}
	for range maxGroup {
		must(t, queue())
	}
	wantError(t, queue(), errBusy)
	r.batcher.claims = nil
	r.batcher.abort()
}

// Releases that wait are bounded; when a group of them was taken there is room for as many.
func TestReleasesThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Redis: redistest.Start(t).Client(t), NodeID: "a"})
	must(t, err)
	fill := func(count int) {
		for i := range count {
			r.batcher.release(release{address: "alice", number: uint64(i)})
		}
		if n := len(r.batcher.releases); n != maxWaitingReleases {
			t.Errorf("%d releases wait, want %d", n, maxWaitingReleases)
		}
	}
	fill(maxWaitingReleases + 3)
	r.batcher.notUntil = time.Time{}
	if g, _, _ := r.batcher.take(); len(g.releases) != maxGroup {
		t.Errorf("%d releases share a pipeline, want %d", len(g.releases), maxGroup)
	}
	fill(maxGroup + 3)
	r.batcher.abort()
}
