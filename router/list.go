package router

// listNode is what an element of a list has in it.
type listNode[E any] struct {
	newer, older E
	in           bool
}

// listed is an element of a list.
type listed[E any] interface{ node() *listNode[E] }

var (
	_ listed[*pending] = (*pending)(nil)
	_ listed[*route]   = (*route)(nil)
)

// list is a doubly linked list of elements, each with its node in it, by when they were
// added.
type list[E interface {
	comparable
	listed[E]
}] struct {
	newest, oldest E
	count          int
}

// add adds e as the newest.
func (l *list[E]) add(e E) { l.addBehind(e, l.newest) }

// addBehind adds e as the next one after older, or as the oldest of all if that is none.
func (l *list[E]) addBehind(e, older E) {
	var none E
	newer := l.oldest
	if older != none {
		newer = older.node().newer
		older.node().newer = e
	} else {
		l.oldest = e
	}
	if newer != none {
		newer.node().older = e
	} else {
		l.newest = e
	}
	*e.node() = listNode[E]{newer: newer, older: older, in: true}
	l.count++
}

// remove takes e out, and reports whether it was in.
func (l *list[E]) remove(e E) bool {
	var none E
	p := e.node()
	if !p.in {
		return false
	}
	if p.older != none {
		p.older.node().newer = p.newer
	} else {
		l.oldest = p.newer
	}
	if p.newer != none {
		p.newer.node().older = p.older
	} else {
		l.newest = p.older
	}
	*p = listNode[E]{}
	l.count--
	return true
}
