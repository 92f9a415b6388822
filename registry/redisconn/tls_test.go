package redisconn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// tlsServer is a redis-server that wants certificates of its clients.
type tlsServer struct {
	*redistest.TLSServer
	files TLSFiles // a client's that it trusts
}

func startTLS(t *testing.T, name string) *tlsServer {
	t.Helper()
	s := &tlsServer{TLSServer: redistest.StartTLS(t, name)}
	dir := t.TempDir()
	s.files = TLSFiles{CA: s.Authority.File, Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key")}
	s.Authority.Issue("node", s.files.Cert, s.files.Key)
	return s
}

func (s *tlsServer) client(t *testing.T, files TLSFiles) *redis.Client {
	t.Helper()
	client, err := Connector{TLS: files}.Connect(patient("rediss://" + s.TLSAddr + "?max_retries=-1"))
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

	next, dir := redistest.NewAuthority(t, "second"), t.TempDir()
	cert, key := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	next.Issue("127.0.0.1", cert, key)
	s.Certify(cert, key, next)
	wantRefusal(t, client, "unknown authority")

	must(t, os.WriteFile(s.files.Cert, []byte("half a file"), 0o600))
	wantRefusal(t, client, "unknown authority") // goes on with what it has
	next.Issue("node", s.files.Cert, s.files.Key)
	text, err := os.ReadFile(next.File)
	must(t, err)
	must(t, os.WriteFile(s.files.CA, append(text, '\n'), 0o600))
	wantConn(t, client)
}

func TestWrongTLSFilesAreAllNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := redistest.NewAuthority(t, "ca")
	cert, key, otherKey, none := filepath.Join(dir, "c"), filepath.Join(dir, "k"), filepath.Join(dir, "o"), filepath.Join(dir, "none")
	a.Issue("node", filepath.Join(dir, "unused"), otherKey)
	a.Issue("node", cert, key)
	for _, c := range []struct {
		files TLSFiles
		tls   bool
		want  []string // the fields that are wrong
	}{
		{TLSFiles{}, false, nil},
		{TLSFiles{CA: a.File, Cert: cert, Key: key, ServerName: "x"}, true, nil},
		{TLSFiles{CA: a.File, Cert: cert, Key: key, ServerName: "x"}, false, []string{"CA", "Cert", "Key", "ServerName"}},
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
