package redisconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// authority signs certificates and keeps its own in a file.
type authority struct {
	t    testing.TB
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), name)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	template.Subject.CommonName = name
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	a.key = key
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// issue signs a certificate for a name, or an IP address, and writes it into files.
func (a *authority) issue(name, certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour)}
	template.Subject.CommonName = name
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(a.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	writePEM(a.t, certFile, "CERTIFICATE", der)
	writePEM(a.t, keyFile, "PRIVATE KEY", secret)
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// tlsServer is a redis-server that wants certificates of its clients.
type tlsServer struct {
	*redistest.Server
	addr      string // for TLS
	authority *authority
	files     TLSFiles // a client's that it trusts
}

func startTLS(t *testing.T, name string) *tlsServer {
	t.Helper()
	if has, _ := redistest.Start(t).Client(t).ConfigGet(t.Context(), "tls-port").Result(); len(has) == 0 && os.Getenv("CI") != "true" {
		t.Skip("this redis-server was built without TLS")
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	s := &tlsServer{addr: redistest.FreeAddr(t), authority: newAuthority(t, "first")}
	s.authority.issue(name, cert, key)
	s.files = TLSFiles{CA: s.authority.file, Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key")}
	s.authority.issue("node", s.files.Cert, s.files.Key)
	_, port, err := net.SplitHostPort(s.addr)
	must(t, err)
	s.Server = redistest.StartOwn(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", s.authority.file, "--tls-auth-clients", "yes")
	return s
}

func (s *tlsServer) client(t *testing.T, files TLSFiles) *redis.Client {
	t.Helper()
	client, err := Connector{TLS: files}.Connect(patient("rediss://" + s.addr + "?max_retries=-1"))
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client.(*redis.Client)
}

// wantRefusal asserts that no connection comes about, and that the error says why.
func wantRefusal(t *testing.T, client *redis.Client, why string) {
	t.Helper()
	c, err := Dial(t.Context(), client)
	if err == nil {
		_ = c.Close()
		t.Errorf("a connection came about, want an error about %q", why)
	} else if !strings.Contains(err.Error(), why) {
		t.Errorf("error: %v, want one about %q", err, why)
	}
}

func TestDialOverTLS(t *testing.T) {
	t.Parallel()
	s := startTLS(t, "127.0.0.1")
	wantConn(t, s.client(t, s.files), "resp=2")

	without := s.files
	without.CA = ""
	wantRefusal(t, s.client(t, without), "unknown authority")
	without = s.files
	without.Cert, without.Key = "", ""
	wantRefusal(t, s.client(t, without), "certificate required")
	other := s.files
	other.ServerName = "another.example"
	wantRefusal(t, s.client(t, other), "another.example")
}

func TestServersAreVerifiedByTheNameThatIsSet(t *testing.T) {
	t.Parallel()
	s := startTLS(t, "redis.internal")
	wantRefusal(t, s.client(t, s.files), "127.0.0.1")
	named := s.files
	named.ServerName = "redis.internal"
	wantConn(t, s.client(t, named), "resp=2")
}

// Authority, server's and client's certificates are all replaced while the client lives.
func TestRenewedCertificatesAreUsed(t *testing.T) {
	t.Parallel()
	s := startTLS(t, "127.0.0.1")
	client := s.client(t, s.files)
	wantConn(t, client)

	next, dir := newAuthority(t, "second"), t.TempDir()
	cert, key := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	next.issue("127.0.0.1", cert, key)
	must(t, s.Client(t).Do(t.Context(), "CONFIG", "SET", "tls-cert-file", cert, "tls-key-file", key, "tls-ca-cert-file", next.file).Err())
	wantRefusal(t, client, "unknown authority")

	must(t, os.WriteFile(s.files.Cert, []byte("half a file"), 0o600))
	wantRefusal(t, client, "unknown authority") // goes on with what it has
	next.issue("node", s.files.Cert, s.files.Key)
	text, err := os.ReadFile(next.file)
	must(t, err)
	must(t, os.WriteFile(s.files.CA, append(text, '\n'), 0o600))
	wantConn(t, client)
}

func TestWrongTLSFilesAreAllNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := newAuthority(t, "ca")
	cert, key, otherKey, none := filepath.Join(dir, "c"), filepath.Join(dir, "k"), filepath.Join(dir, "o"), filepath.Join(dir, "none")
	a.issue("node", filepath.Join(dir, "unused"), otherKey)
	a.issue("node", cert, key)
	for _, c := range []struct {
		files TLSFiles
		tls   bool
		want  []string // the fields that are wrong
	}{
		{TLSFiles{}, false, nil},
		{TLSFiles{CA: a.file, Cert: cert, Key: key, ServerName: "x"}, true, nil},
		{TLSFiles{CA: a.file, Cert: cert, Key: key, ServerName: "x"}, false, []string{"CA", "Cert", "Key", "ServerName"}},
		{TLSFiles{Cert: cert}, true, []string{"Key"}},
		{TLSFiles{Key: key}, true, []string{"Cert"}},
		{TLSFiles{Cert: cert, Key: otherKey}, true, []string{"Cert"}},
		{TLSFiles{CA: none, Cert: none, Key: key}, true, []string{"Cert", "CA"}},
		{TLSFiles{CA: key, Cert: cert, Key: none}, true, []string{"Key", "CA"}},
		{TLSFiles{CA: dir}, true, []string{"CA"}},
	} {
		wrong := c.files.Check(c.tls)
		var fields []string
		for _, err := range wrong {
			fields = append(fields, err.(*TLSError).Field)
		}
		if strings.Join(fields, " ") != strings.Join(c.want, " ") {
			t.Errorf("%+v with TLS %v: wrong are %v, want %v: %v", c.files, c.tls, fields, c.want, wrong)
		}
	}
}
