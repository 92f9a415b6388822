package ledger

import (
	"sync"
	"time"
)

// Ledger is what happened to the clients of one cluster.
type Ledger struct {
	run string

	mu       sync.Mutex
	messages []*Message
	sessions map[string][]*Session // by client, in the order of their beginning
	pairs    map[pair]int          // how many messages were sent so far
	outages  map[string][]*Outage  // by node
	turns    int                   // receptions so far
	strays   []stray               // what arrived and nobody had sent
	unasked  []receipt             // what answers nothing that was sent

	recoveries []Recovery // to be judged
}

type pair struct{ from, to string }

// New returns an empty ledger. Payloads carry the name of the run, which tells them
// from those of other runs.
func New(run string) *Ledger {
	return &Ledger{
		run: run, sessions: make(map[string][]*Session), pairs: make(map[pair]int), outages: make(map[string][]*Outage),
	}
}

// Session is one connection of a client, or the attempt at one.
type Session struct {
	ledger *Ledger
	client string
	node   string // by its place in the cluster, not by its ID

	began    time.Time
	welcomed time.Time // zero if never
	id       string    // as the welcome says
	ended    time.Time // zero while it lives
	end      End
	how      string
}

// End tells who ended a session, as its client knows.
type End string

// The ends of a session.
const (
	ByClient End = "client"  // it closed or cut the connection
	ByNode   End = "node"    // the connection ended at the other side
	Refused  End = "refused" // it was never one: the node, or its host, said so
)

// Dial notes that client begins to connect to node.
func (l *Ledger) Dial(client, node string, at time.Time) *Session {
	s := &Session{ledger: l, client: client, node: node, began: at}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[client] = append(l.sessions[client], s)
	return s
}

// Welcomed notes that the node said welcome, with the session's ID.
func (s *Session) Welcomed(id string, at time.Time) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.id, s.welcomed = id, at
}

// Ended notes the end. One that the client brings about is noted before it does.
// Later calls change nothing.
func (s *Session) Ended(end End, how string, at time.Time) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	if s.ended.IsZero() {
		s.ended, s.end, s.how = at, end, how
	}
}

// Outage is a time in which a node could not do its work.
type Outage struct {
	Kind     OutageKind
	From, To time.Time // a killed node's To is From; zero: it lasts
}

// OutageKind says what a node could not do.
type OutageKind string

// The kinds of outages.
const (
	Killed    OutageKind = "killed"    // the process ended; another one takes its place
	Stopped   OutageKind = "stopped"   // the process did not run
	Severed   OutageKind = "severed"   // the node did not reach Redis
	Swallowed OutageKind = "swallowed" // nor do its connections afterwards, without a word
	Away      OutageKind = "away"      // Redis did not answer any node
)

// Outage notes that node fails, from at on. The returned function notes the end.
func (l *Ledger) Outage(node string, kind OutageKind, at time.Time) (ended func(time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &Outage{Kind: kind, From: at}
	if kind == Killed {
		o.To = at
	}
	l.outages[node] = append(l.outages[node], o)
	return func(at time.Time) {
		l.mu.Lock()
		defer l.mu.Unlock()
		o.To = at
	}
}

// Size is how many messages were sent so far.
func (l *Ledger) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.messages)
}
