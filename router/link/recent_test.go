package link

import "testing"

// What was put last is kept, at least as much as the limit allows, and at most twice that.
func TestRecentKeepsTheLast(t *testing.T) {
	const limit = 10
	var m Recent[int, int]
	for i := range 100 {
		m.Put(i, -i, limit)
		if m.Len() > 2*limit {
			t.Fatalf("%d keys are kept, want at most %d", m.Len(), 2*limit)
		}
		for k := max(0, i-limit+1); k <= i; k++ {
			if v, ok := m.Get(k); !ok || v != -k {
				t.Fatalf("after %d, %d is %d, %v", i, k, v, ok)
			}
		}
	}
	if _, ok := m.Get(0); ok {
		t.Error("the first key was never forgotten")
	}
	m.Put(99, 1, limit)
	m.Delete(99)
	if _, ok := m.Get(99); ok {
		t.Error("a deleted key is kept")
	}
	m.Turn()
	m.Turn()
	if m.Len() != 0 {
		t.Errorf("%d keys are kept for longer than two generations", m.Len())
	}
}

// A key that is put again is no other one: it pushes nobody out.
func TestRecentCountsAKeyOnce(t *testing.T) {
	var m Recent[string, int]
	m.Put("a", 1, 2)
	for i := range 100 {
		m.Put("b", i, 2)
	}
	if _, ok := m.Get("a"); !ok {
		t.Error("a key was forgotten for one that was kept already")
	}
}
