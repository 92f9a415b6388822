package redisconn

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// refusals are the commands that Redis does not let this node give, or does not know. A
// user may have the rights for heartbeats and not for lookups, which the heartbeats do not
// show. Where Redis refuses for another reason it refuses heartbeats as well.
type refusals struct {
	some atomic.Bool // there are some

	mu    sync.Mutex
	names map[string]time.Time // commands, and when they were refused last
}

// refusalCounts is how long a command counts as refused that is not given again.
const refusalCounts = 5 * time.Minute

// answered takes the answer to a command.
func (f *refusals) answered(c *Client, cmd redis.Cmder, err error) {
	if err == nil {
		if f.some.Load() {
			f.taken(c, c.labelOf(cmd))
		}
		return
	}
	var answer redis.Error
	if !errors.As(err, &answer) || !isRefusal(answer.Error()) || cmd.Name() == "config" { // which is only asked for to help
		return
	}
	f.mu.Lock()
	if f.names == nil {
		f.names = make(map[string]time.Time)
	}
	f.names[c.labelOf(cmd)] = time.Now()
	f.some.Store(true)
	f.mu.Unlock()
	c.Failed(Asking, fmt.Errorf("%s: %w", c.labelOf(cmd), err))
}

// taken says that a command succeeds again.
func (f *refusals) taken(c *Client, name string) {
	f.mu.Lock()
	delete(f.names, name)
	maps.DeleteFunc(f.names, func(_ string, last time.Time) bool { return time.Since(last) > refusalCounts })
	none := len(f.names) == 0
	f.some.Store(!none)
	f.mu.Unlock()
	if none {
		c.Works(Asking)
	}
}

// isRefusal reports whether an answer says that a command is not allowed, or not known.
func isRefusal(text string) bool {
	for _, mark := range []string{"NOPERM", scriptRefused, "unknown command"} {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return false
}

// scriptRefused is how Redis 7.0 begins to say what a script may not do.
const scriptRefused = "The user executing the script can't"

// labelOf names a command; of scripts each is one by itself.
func (c *Client) labelOf(cmd redis.Cmder) string {
	name, args := cmd.Name(), cmd.Args()
	if name != "evalsha" || len(args) < 2 {
		return name
	}
	for _, s := range c.scripts {
		if s.sha == args[1] {
			return name + " of " + s.name + ".lua"
		}
	}
	return name
}
