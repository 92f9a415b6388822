package redisproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisproc/child"
)

// client returns a client that tries everything once, for up to settleTime.
func (r *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: r.Addr, DisableIdentity: true,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: settleTime, ReadTimeout: settleTime, WriteTimeout: settleTime, PoolTimeout: settleTime})
}

// with calls f with a client of the server.
func (r *Server) with(f func(*redis.Client) error) error {
	client := r.client()
	defer client.Close()
	if err := f(client); err != nil {
		return fmt.Errorf("%s %s: %w", r.Name, r.Addr, err)
	}
	return nil
}

// Do sends a command to the server itself and returns the answer.
func (r *Server) Do(ctx context.Context, args ...any) (answer any, err error) {
	err = r.with(func(client *redis.Client) (err error) {
		answer, err = client.Do(ctx, args...).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", args, err)
	}
	return answer, nil
}

// Await asks the server until ok returns true, and fails when ctx ends, when three
// minutes have passed, or when the server ends. what is said in the error.
func (r *Server) Await(ctx context.Context, what string, ok func(context.Context, *redis.Client) bool) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	c := r.client()
	defer c.Close()
	for !ok(ctx, c) {
		select {
		case <-r.Exited():
			return fmt.Errorf("%s %s: %w, before %s\n%s", r.Name, r.Addr, child.ErrEndedAtOnce, what, r.log())
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s %s: not reached within %v: %s\n%s", r.Name, r.Addr, settleTime, what, r.log())
			}
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
	return nil
}

// maxLog is how much of a server's log an error quotes, in bytes.
const maxLog = 2 << 10

// log returns the end of the server's log.
func (r *Server) log() string {
	text, _ := os.ReadFile(filepath.Join(r.dir, "redis-"+r.port()+".log"))
	return string(text[max(0, len(text)-maxLog):])
}

// infoContains reports whether a section of INFO contains text.
func infoContains(ctx context.Context, c *redis.Client, section, text string) bool {
	info, err := c.Info(ctx, section).Result()
	return err == nil && strings.Contains(info, text)
}
