package redistest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

// TLSServer is a server that also listens for TLS, and wants certificates of its
// clients there.
type TLSServer struct {
	*Server
	TLSAddr   string    // host:port
	Authority Authority // signed its certificate, and has to sign those of clients

	t testing.TB
	p *redisproc.TLSServer
}

// StartTLS starts a server whose certificate is for name, a host's name or an IP
// address. It ends with the test.
func StartTLS(t testing.TB, name string) *TLSServer {
	t.Helper()
	p, err := redisproc.StartTLS(t.Context(), t.TempDir(), name)
	p = started(t, p, err)
	return &TLSServer{Server: own(t, p.Server, newPrefix()), TLSAddr: p.TLSAddr, Authority: Authority{p.Authority, t}, t: t, p: p}
}

// Certify gives the server another certificate, and another authority to judge those
// of clients.
func (s *TLSServer) Certify(certFile, keyFile string, clients Authority) {
	s.t.Helper()
	must(s.t, s.p.Certify(context.Background(), certFile, keyFile, clients.Authority))
}

// Authority signs certificates.
type Authority struct {
	*redisproc.Authority
	t testing.TB
}

// NewAuthority makes an authority of that name.
func NewAuthority(t testing.TB, name string) Authority {
	t.Helper()
	a, err := redisproc.NewAuthority(name, filepath.Join(t.TempDir(), name))
	must(t, err)
	return Authority{a, t}
}

// Issue signs a certificate for a host's name, or for an IP address, and writes it and
// its key into files.
func (a Authority) Issue(name, certFile, keyFile string) {
	a.t.Helper()
	must(a.t, a.Authority.Issue(name, certFile, keyFile))
}
