package registry

import (
	"context"
	_ "embed" // the scripts' sources

	"github.com/redis/go-redis/v9"
)

// Each script's head is its contract.
var (
	//go:embed scripts/claim.lua
	claimSource string
	//go:embed scripts/refresh.lua
	refreshSource string
	//go:embed scripts/release.lua
	releaseSource string
	//go:embed scripts/epoch.lua
	epochSource string
	//go:embed scripts/node.lua
	nodeSource string

	claimScript   = newScript(claimSource)
	refreshScript = newScript(refreshSource)
	releaseScript = newScript(releaseSource)
	epochScript   = newScript(epochSource)
	nodeScript    = newScript(nodeSource)
)

type script struct {
	*redis.Script
	source string
	sha    any // the name that Redis knows it by, as an argument
}

func newScript(source string) *script {
	s := redis.NewScript(source)
	return &script{Script: s, source: source, sha: s.Hash()}
}

// call is one script call that travels in a pipeline. All keys lie in one slot.
type call struct {
	script *script
	args   []any      // of the command
	cmd    *redis.Cmd // the answer, once run
}

func newCall(s *script, keys []string, args ...any) *call {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", s.sha, len(keys))
	for i := range keys {
		all = append(all, &keys[i])
	}
	return &call{script: s, args: append(all, args...)}
}

// run sends calls, and what queue adds behind them, in one pipeline. The error
// is the first of the pipeline's; each call's own is in its cmd.
//
// A server that is new or was restarted does not know the scripts. Then they
// are loaded and the calls are sent again, in their order, because an epoch must
// be read after the claims it vouches for, and a release follow its claim. Claims that
// were answered are not: of two that replace each other, each would then be the newer.
// Nor is the writing of a node lease, which tells whether there was one.
func (r *Registry) run(ctx context.Context, calls []*call, queue func(redis.Pipeliner)) error {
	err := r.send(ctx, nil, calls, queue)
	unknown := make(map[*script]bool)
	for _, c := range calls {
		if redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			unknown[c.script] = true
		}
	}
	if len(unknown) == 0 {
		return err
	}
	if r.masters.cluster != nil {
		if err := r.load(ctx, unknown); err != nil {
			return err
		}
		clear(unknown)
	}
	var again []*call
	for _, c := range calls {
		once := c.script == claimScript || c.script == nodeScript
		if !once || c.cmd.Err() != nil {
			again = append(again, c)
		}
	}
	return r.send(ctx, unknown, again, nil)
}

// send sends calls behind the loading of scripts. One server gets both on one
// connection: while a name moves from one server to another, two connections of a
// pool may lead to different ones.
func (r *Registry) send(ctx context.Context, unknown map[*script]bool, calls []*call, queue func(redis.Pipeliner)) error {
	pipe := r.rdb.Pipeline()
	for s := range unknown {
		pipe.ScriptLoad(ctx, s.source)
	}
	for _, c := range calls {
		c.cmd = redis.NewCmd(ctx, c.args...)
		c.cmd.SetFirstKeyPos(3)
		_ = pipe.Process(ctx, c.cmd)
	}
	if queue != nil {
		queue(pipe)
	}
	_, err := pipe.Exec(ctx)
	return err
}

// load makes scripts known to every master of a Cluster.
func (r *Registry) load(ctx context.Context, scripts map[*script]bool) error {
	return r.masters.each(ctx, func(ctx context.Context, master redis.UniversalClient) error {
		for s := range scripts {
			if err := master.ScriptLoad(ctx, s.source).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}
