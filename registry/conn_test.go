package registry

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// patient returns the URL of a client that waits for as long as a test does.
func patient(rawURL string) string {
	glue := "?"
	if strings.Contains(rawURL, "?") {
		glue = "&"
	}
	return rawURL + glue + fmt.Sprintf("dial_timeout=%v&read_timeout=%[1]v&write_timeout=%[1]v&pool_timeout=%[1]v", testTime)
}

// connectTo returns a patient client for rawURL, and closes it with the test.
func connectTo(t testing.TB, rawURL string) *redis.Client {
	t.Helper()
	client, err := Connect(patient(rawURL))
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client.(*redis.Client)
}

// wantConn dials beside client, asks the server what it knows about the
// connection, and asserts that every part of want is in the answer.
func wantConn(t *testing.T, client *redis.Client, want ...string) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), client)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	ask := []byte("*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n")
	n, err := c.TryWrite(ask)
	must(t, err)
	if can := client.Options().TLSConfig == nil && runtime.GOOS == "linux"; can != (n > 0) {
		t.Errorf("%d bytes written without waiting (possible: %v)", n, can)
	}
	_, err = c.Write(ask[n:])
	must(t, err)
	in := bufio.NewReader(c)
	var info string
	for range 2 {
		line, err := in.ReadString('\n')
		must(t, err)
		info += line
	}
	if !strings.HasPrefix(info, "$") {
		t.Errorf("answer is not RESP2: %q", info)
	}
	for _, part := range want {
		if !strings.Contains(info, part) {
			t.Errorf("%s: want %s", info, part)
		}
	}
	return c
}

func TestDialPlain(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client := connectTo(t, s.URL()+"/3")
	c := wantConn(t, client, "db=3", "user=default", "resp=2")
	wantConn(t, s.Client(t), "db=0") // a client that Connect did not make

	must(t, c.SetReadDeadline(time.Now().Add(-time.Second)))
	_, err := c.Read(make([]byte, 1))
	wantError(t, err, os.ErrDeadlineExceeded)
	must(t, c.Close())
	must(t, c.Close())
	if _, err := c.TryWrite([]byte("x")); err == nil {
		t.Error("a closed connection is written")
	}
	must(t, client.Ping(t.Context()).Err())
}

func TestDialAuthenticates(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	admin := s.Client(t)
	must(t, admin.Do(t.Context(), "ACL", "SETUSER", "bee", "on", ">honey", "~*", "&*", "+@all").Err())
	must(t, admin.ConfigSet(t.Context(), "requirepass", "secret").Err())
	wantConn(t, connectTo(t, "redis://:secret@"+s.Addr), "user=default")
	wantConn(t, connectTo(t, "redis://bee:honey@"+s.Addr), "user=bee")
	_, err := Dial(t.Context(), connectTo(t, "redis://bee:wasp@"+s.Addr))
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("error: %v, want that the password is wrong", err)
	}
}

func TestDialUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	redistest.StartOwn(t, "--unixsocket", path)
	wantConn(t, connectTo(t, "unix://"+path+"?db=2"), "db=2")
}

func TestDialTalksToTheMaster(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	client := connectTo(t, s.URL())
	before := wantConn(t, client).RemoteAddr().String()
	s.Failover()
	if after := wantConn(t, client).RemoteAddr().String(); after == before {
		t.Errorf("still at %s after the failover", after)
	}
}

func TestDialOverTLS(t *testing.T) {
	t.Parallel()
	if has, _ := redistest.Start(t).Client(t).ConfigGet(t.Context(), "tls-port").Result(); len(has) == 0 && os.Getenv("CI") != "true" {
		t.Skip("this redis-server was built without TLS")
	}
	cert, key, pool := certificate(t)
	addr := redistest.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	must(t, err)
	redistest.StartOwn(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", cert, "--tls-auth-clients", "no")

	_, err = Dial(t.Context(), connectTo(t, "rediss://"+addr))
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error: %v, want that the certificate is not trusted", err)
	}
	opts, err := redis.ParseURL(patient("rediss://" + addr))
	must(t, err)
	opts.TLSConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	for _, timeout := range []time.Duration{0, testTime} {
		opts.Dialer = dialer(timeout, opts.TLSConfig) // verifies the host that is dialed
		wantConn(t, client, "resp=2")
	}
}

// certificate makes one for this host that signs itself.
func certificate(t testing.TB) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	parsed, err := x509.ParseCertificate(der)
	must(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret), pool
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	client := connectTo(t, "redis://"+redistest.FreeAddr(t))
	if _, err := Dial(t.Context(), client); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error: %v, want a refusal", err)
	}
	s := redistest.StartOwn(t)
	s.Pause()
	defer s.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, connectTo(t, s.URL())); err == nil {
		t.Error("dialed a server that does not answer")
	}
}

func TestDialIsCounted(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Redis: connectTo(t, redistest.Start(t).URL()), NodeID: "n"})
	must(t, err)
	c, err := r.Dial(t.Context())
	must(t, err)
	must(t, c.Close())
	if n := value(t, r.metrics.RedisDials); n != 1 {
		t.Errorf("%v dials counted, want 1", n)
	}
	cluster, err := Connect("redis+cluster://" + redistest.FreeAddr(t))
	must(t, err)
	t.Cleanup(func() { _ = cluster.Close() })
	if r, err = New(Options{Redis: cluster, NodeID: "n"}); err == nil {
		_, err = r.Dial(t.Context())
	}
	if err == nil {
		t.Error("dialed a Cluster")
	}
}

func TestConnectionsThatDiedAreNoticed(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	client := connectTo(t, s.URL()+"?max_retries=-1")
	must(t, client.Ping(t.Context()).Err())
	s.Restart() // the pooled connection is dead, which its next user must not see
	must(t, client.Ping(t.Context()).Err())
}
