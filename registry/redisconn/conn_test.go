package redisconn

import (
	"bufio"
	"context"
	"fmt"
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
	c := newTestClient(connectTo(t, redistest.Start(t).URL()))
	conn, err := c.Dial(t.Context(), "")
	must(t, err)
	must(t, conn.Close())
	c.wantDials(t, 1)
	cluster, err := Connect("redis+cluster://" + redistest.FreeAddr(t))
	must(t, err)
	t.Cleanup(func() { _ = cluster.Close() })
	if _, err := newTestClient(cluster).Dial(t.Context(), "key"); err == nil {
		t.Error("dialed a Cluster that is not there")
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
