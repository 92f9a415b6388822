package redisconn

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"
)

// Script is a Lua script. It may be shared by clients.
type Script struct {
	name   string
	script *redis.Script
	source string
	sha    any  // the name that Redis knows it by, as an argument
	once   bool // a call of it that was answered is not made again
}

// NewScript returns a script that may be run twice without harm. name is for the log.
func NewScript(name, source string) *Script {
	s := redis.NewScript(source)
	return &Script{name: name, script: s, source: source, sha: s.Hash()}
}

// NewScriptOnce is NewScript for a script of which an answered call must not be repeated.
func NewScriptOnce(name, source string) *Script {
	s := NewScript(name, source)
	s.once = true
	return s
}

// SHA returns the name that Redis knows the script by.
func (s *Script) SHA() string { return s.script.Hash() }

// Call is one script call that travels in a pipeline. All keys lie in one slot.
type Call struct {
	Cmd *redis.Cmd // the answer, once run

	script *Script
	args   []any // of the command
}

// Call returns a call of the script.
func (s *Script) Call(keys []string, args ...any) *Call {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", s.sha, len(keys))
	for i := range keys {
		all = append(all, &keys[i])
	}
	return &Call{script: s, args: append(all, args...)}
}

// CallOf returns a call whose command's arguments the caller completes: behind those that
// Begin returned stand the keys and the other arguments.
func (s *Script) CallOf(args []any) *Call { return &Call{script: s, args: args} }

// Begin appends to args how the command of a call with n keys begins.
func (s *Script) Begin(args []any, n int) []any { return append(args, "evalsha", s.sha, n) }

// NewCmd returns the call's command, for a pipeline of the caller's own.
func (c *Call) NewCmd(ctx context.Context) *redis.Cmd {
	c.Cmd = redis.NewCmd(ctx, c.args...)
	c.Cmd.SetFirstKeyPos(3)
	return c.Cmd
}

// Run sends calls in one pipeline. The error is the first of the pipeline's; each
// call's own is in its Cmd.
//
// A server that is new or was restarted does not know the scripts. Then all of them are
// loaded and the calls are sent again, in their order, because an epoch must
// be read after the claims it vouches for, and a release follow its claim. Those of
// scripts that run once (NewScriptOnce) are not, if they were answered.
func (c *Client) Run(ctx context.Context, calls []*Call) error {
	err := c.send(ctx, nil, calls)
	if !slices.ContainsFunc(calls, (*Call).unknown) {
		return err
	}
	unknown := c.scripts
	if c.cluster != nil {
		if err := c.Load(ctx); err != nil {
			return err
		}
		unknown = nil
	}
	var again []*Call
	for _, call := range calls {
		if !call.script.once || call.Cmd.Err() != nil {
			again = append(again, call)
		}
	}
	return c.send(ctx, unknown, again)
}

// send sends calls behind the loading of scripts. One server gets both on one
// connection: while a name moves from one server to another, two connections of a
// pool may lead to different ones.
func (c *Client) send(ctx context.Context, unknown []*Script, calls []*Call) error {
	pipe := c.rdb.Pipeline()
	for _, s := range unknown {
		pipe.ScriptLoad(ctx, s.source)
	}
	for _, call := range calls {
		_ = pipe.Process(ctx, call.NewCmd(ctx))
	}
	_, err := pipe.Exec(ctx)
	return err
}

// unknown reports whether the server did not know the script.
func (c *Call) unknown() bool { return IsUnknownScript(c.Cmd.Err()) }

// IsUnknownScript reports whether a server did not know a script; see Load.
func IsUnknownScript(err error) bool { return redis.HasErrorPrefix(err, "NOSCRIPT") }

// RunOn runs a script that has no keys on one server.
func (s *Script) RunOn(ctx context.Context, server redis.UniversalClient, args ...any) *redis.Cmd {
	cmd := s.script.EvalSha(ctx, server, nil, args...)
	if !IsUnknownScript(cmd.Err()) {
		return cmd
	}
	_, _ = server.Pipelined(ctx, func(pipe redis.Pipeliner) error { // on one connection
		pipe.ScriptLoad(ctx, s.source)
		cmd = s.script.EvalSha(ctx, pipe, nil, args...)
		return nil
	})
	return cmd
}

// Load makes all scripts known to every master.
func (c *Client) Load(ctx context.Context) error {
	return c.EachMaster(ctx, func(ctx context.Context, master redis.UniversalClient) error {
		for _, s := range c.scripts {
			if err := master.ScriptLoad(ctx, s.source).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}
