package node

import "time"

// Identity is who a client is and what it may do. An Authenticator returns it, and a
// session carries it.
type Identity struct {
	// Client is the client's name, by the rules of router.CheckClient.
	Client string
	// Expires is when the identity ends, and the session with it, to the exactness of the
	// sweep; zero: never.
	Expires time.Time
	// Permissions are what the client may do; nil: everything. One value can serve any
	// number of sessions.
	Permissions Permissions
}

// Permissions decide what a client may do. Their methods are called for each message, by
// many goroutines at a time, and neither block nor allocate.
type Permissions interface {
	// MaySend reports whether client may send to address.
	MaySend(client, address string) bool
}

// special is what only some sessions have: those of BEELINE_AUTH=none have none of it,
// and pay a pointer. Where the protocol needs it, it is there from the beginning.
type special struct {
	// Written with the session's mu held; static once it has joined.
	expires     time.Time // zero: never
	permissions Permissions

	// Guarded by the session's mu.
	opening *opening // nil: it has been welcomed, or closes
	places  []place
}

// carry gives the session, which has not joined, its identity.
func (s *session) carry(id *Identity) {
	s.client = id.Client
	if id.Expires.IsZero() && id.Permissions == nil {
		return
	}
	if s.special == nil {
		s.special = new(special)
	}
	s.special.expires, s.special.permissions = id.Expires, id.Permissions
}

// maySend reports whether the session's client may send to address.
func (s *session) maySend(address string) bool {
	x := s.special
	return x == nil || x.permissions == nil || x.permissions.MaySend(s.client, address)
}

// hasExpired reports whether the session's identity has ended.
func (s *session) hasExpired(now time.Time) bool {
	x := s.special
	if x == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !x.expires.IsZero() && !now.Before(x.expires)
}
