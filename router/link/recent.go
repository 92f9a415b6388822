package link

// Recent is a map that keeps what was put into it last, in two generations: when the younger
// one is full, it becomes the older one, and what was in that is forgotten. The zero Recent
// is empty and ready to use.
type Recent[K comparable, V any] struct {
	young, old map[K]V
}

// Get returns what was put under k, unless it is forgotten.
func (m *Recent[K, V]) Get(k K) (v V, ok bool) {
	if v, ok = m.young[k]; !ok {
		v, ok = m.old[k]
	}
	return v, ok
}

// Put keeps v under k for at least as long as fewer than limit other keys are put. It
// reports whether a generation was forgotten for it.
func (m *Recent[K, V]) Put(k K, v V, limit int) (forgot bool) {
	if _, ok := m.young[k]; !ok && len(m.young) >= limit {
		m.Turn()
		forgot = true
	}
	if m.young == nil {
		m.young = make(map[K]V)
	}
	m.young[k] = v
	return forgot
}

// Turn forgets the older generation and begins a new one.
func (m *Recent[K, V]) Turn() { m.young, m.old = nil, m.young }

// Delete forgets k.
func (m *Recent[K, V]) Delete(k K) {
	delete(m.young, k)
	delete(m.old, k)
}

// Len returns how many keys are kept, some of them maybe twice.
func (m *Recent[K, V]) Len() int { return len(m.young) + len(m.old) }
