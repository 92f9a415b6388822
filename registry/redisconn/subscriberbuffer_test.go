package redisconn

import (
	"math"
	"strings"
	"testing"

	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestSubscriberBufferThatIsTooSmallIsTold(t *testing.T) {
	t.Parallel()
	for limit, told := range map[string]bool{
		"pubsub 0 0 0": false, "pubsub 33554432 8388608 60": false, "pubsub 1048576 0 0": true, "pubsub 33554432 1048576 60": true,
	} {
		s := redistest.StartOwn(t)
		must(t, s.Client(t).ConfigSet(t.Context(), "client-output-buffer-limit", limit).Err())
		c := newTestClient(s.Client(t))
		c.CheckSubscriberBuffer(t.Context(), 8<<20)
		if got := c.book.String(); strings.Contains(got, "client-output-buffer-limit pubsub") != told {
			t.Errorf("%s: logged %q", limit, got)
		}
	}
}

// A user that may not read the configuration is as good as any other.
func TestSubscriberBufferNeedsNoRight(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	must(t, s.Client(t).Do(t.Context(), "ACL", "SETUSER", "bee", "on", ">honey", "~*", "&*", "+@all", "-config").Err())
	c := broken(t, Connector{}, "redis://bee:honey@"+s.Addr)
	c.CheckSubscriberBuffer(t.Context(), 8<<20)
	if got := c.book.String(); got != "" {
		t.Errorf("logged %q", got)
	}
	if n := pubsubLimit(""); n != math.MaxInt64 {
		t.Errorf("no answer is a limit of %d", n)
	}
}
