package redisproc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestProcessTellsWhatItUses(t *testing.T) {
	r := startRedis(t)
	c := client(t, r)
	before, err := r.CPU()
	if err != nil {
		t.Fatal(err)
	}
	// Ten milliseconds are the least that can be told.
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for cpu := before; cpu == before; {
		if err := c.Eval(ctx, "for i = 1, 1e6 do end", nil).Err(); err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		if cpu, err = r.CPU(); err != nil {
			t.Fatal(err)
		}
	}
	if rss, err := r.RSS(); err != nil || rss < 1<<20 || rss > 1<<30 {
		t.Errorf("%d bytes resident, %v", rss, err)
	}
}

func TestChildrenDontSurviveTheirParent(t *testing.T) {
	startRedis(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orphanVariable+"="+t.TempDir())
	out, _ := cmd.Output() // it is killed
	addr := strings.TrimSpace(string(out))
	if addr == "" {
		t.Fatal("no Redis was started")
	}
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	for deadline := time.Now().Add(soon); c.Ping(t.Context()).Err() == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the Redis lives on")
		}
	}
}
