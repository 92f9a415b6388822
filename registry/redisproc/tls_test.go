//go:build unix

package redisproc

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
)

// clientTLS has the server's authority sign a client's certificate.
func clientTLS(t *testing.T, s *TLSServer, cert, key string) *tls.Config {
	t.Helper()
	must(t, s.Authority.Issue("client", cert, key))
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	text, err := os.ReadFile(s.Authority.File)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
}
