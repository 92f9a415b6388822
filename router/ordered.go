package router

// place is what an element of an ordered list has in it.
type place[E any] struct {
	newer, older E
	in           bool
}

// placed is an element of an ordered list.
type placed[E any] interface{ place() *place[E] }

var (
	_ placed[*pending] = (*pending)(nil)
	_ placed[*route]   = (*route)(nil)
)

// ordered is a list of elements, each with its place in it, by when they were
// added.
type ordered[E interface {
	comparable
	placed[E]
}] struct {
	newest, oldest E
	count          int
}

func (l *ordered[E]) add(e E) {
	var none E
	p := e.place()
	p.in, p.older = true, l.newest
	if l.newest != none {
		l.newest.place().newer = e
	} else {
		l.oldest = e
	}
	l.newest = e
	l.count++
}

// remove takes e out, and tells whether it was in.
func (l *ordered[E]) remove(e E) bool {
	var none E
	p := e.place()
	if !p.in {
		return false
	}
	if p.older != none {
		p.older.place().newer = p.newer
	} else {
		l.oldest = p.newer
	}
	if p.newer != none {
		p.newer.place().older = p.older
	} else {
		l.newest = p.older
	}
	*p = place[E]{}
	l.count--
	return true
}
