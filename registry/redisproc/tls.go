package redisproc

import (
	"context"
	"errors"
	"net"
	"path/filepath"
)

// ErrNoTLS says that the installed server was built without TLS.
var ErrNoTLS = errors.New("the installed redis-server was built without TLS")

// TLSServer is a server that also listens for TLS, and wants certificates of its
// clients there.
type TLSServer struct {
	*Server
	TLSAddr   string     // host:port
	Authority *Authority // signed the server's certificate, and has to sign those of clients
}

// StartTLS is Start of a server that listens for TLS, too. Its certificate is for name,
// a host's name or an IP address.
func StartTLS(ctx context.Context, dir, name string) (*TLSServer, error) {
	authority, err := NewAuthority("first", filepath.Join(dir, "authority.pem"))
	if err != nil {
		return nil, err
	}
	cert, key := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	if err := authority.Issue(name, cert, key); err != nil {
		return nil, err
	}
	r, err := Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	s := &TLSServer{Server: r, Authority: authority}
	if err := s.listen(ctx, cert, key); err != nil {
		r.Kill()
		return nil, err
	}
	return s, nil
}

// listen has the server listen for TLS.
func (s *TLSServer) listen(ctx context.Context, certFile, keyFile string) error {
	has, err := s.Do(ctx, "CONFIG", "GET", "tls-port")
	if err != nil {
		return err
	}
	if list, ok := has.(map[any]any); ok && len(list) == 0 {
		return ErrNoTLS
	}
	port, err := FreePort()
	if err != nil {
		return err
	}
	s.TLSAddr = net.JoinHostPort("127.0.0.1", port)
	for _, setting := range [][2]string{ // one at a time: before Redis 7 CONFIG SET takes no more
		{"tls-cert-file", certFile}, {"tls-key-file", keyFile}, {"tls-ca-cert-file", s.Authority.File},
		{"tls-auth-clients", "yes"}, {"tls-port", port},
	} {
		if _, err := s.Do(ctx, "CONFIG", "SET", setting[0], setting[1]); err != nil {
			return err
		}
	}
	return nil
}

// Certify gives the server another certificate, and another authority to judge those
// of clients. It needs Redis 7.
func (s *TLSServer) Certify(ctx context.Context, certFile, keyFile string, clients *Authority) error {
	_, err := s.Do(ctx, "CONFIG", "SET", "tls-cert-file", certFile, "tls-key-file", keyFile, "tls-ca-cert-file", clients.File)
	return err
}
