package registry

import (
	"context"
	_ "embed" // the scripts' sources
	"slices"

	"github.com/redis/go-redis/v9"
)

// Each script's head is its contract.
var (
	//go:embed scripts/common.lua
	commonSource string
	//go:embed scripts/claim.lua
	claimSource string
	//go:embed scripts/refresh.lua
	refreshSource string
	//go:embed scripts/release.lua
	releaseSource string
	//go:embed scripts/lookup.lua
	lookupSource string
	//go:embed scripts/clean.lua
	cleanSource string
	//go:embed scripts/epoch.lua
	epochSource string
	//go:embed scripts/node.lua
	nodeSource string
	//go:embed scripts/lease.lua
	leaseSource string
	//go:embed scripts/vouch.lua
	vouchSource string
	//go:embed scripts/list.lua
	listSource string
	//go:embed scripts/channels.lua
	channelsSource string

	claimScript    = newScript(claimSource)
	refreshScript  = newScript(refreshSource)
	releaseScript  = newScript(releaseSource)
	lookupScript   = newScript(lookupSource)
	cleanScript    = newScript(cleanSource)
	epochScript    = newScript(epochSource)
	nodeScript     = newScript(nodeSource)
	leaseScript    = newScript(leaseSource)
	vouchScript    = newScript(vouchSource)
	listScript     = newScript(listSource)
	channelsScript = newScript(channelsSource)

	scripts = []*script{claimScript, refreshScript, releaseScript, lookupScript, cleanScript, epochScript,
		nodeScript, leaseScript, vouchScript, listScript, channelsScript}
)

type script struct {
	*redis.Script
	source string
	sha    any // the name that Redis knows it by, as an argument
}

func newScript(source string) *script {
	s := redis.NewScript(commonSource + source)
	return &script{Script: s, source: commonSource + source, sha: s.Hash()}
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

// run sends calls in one pipeline. The error is the first of the pipeline's; each
// call's own is in its cmd.
//
// A server that is new or was restarted does not know the scripts. Then all of them are
// loaded and the calls are sent again, in their order, because an epoch must
// be read after the claims it vouches for, and a release follow its claim. Claims that
// were answered are not: of two that replace each other, each would then be the newer.
// Nor is the writing of a node lease, which tells whether there was one.
func (r *Registry) run(ctx context.Context, calls []*call) error {
	err := r.send(ctx, nil, calls)
	if !slices.ContainsFunc(calls, (*call).unknown) {
		return err
	}
	unknown := scripts
	if r.masters.cluster != nil {
		if err := r.load(ctx); err != nil {
			return err
		}
		unknown = nil
	}
	var again []*call
	for _, c := range calls {
		once := c.script == claimScript || c.script == nodeScript
		if !once || c.cmd.Err() != nil {
			again = append(again, c)
		}
	}
	return r.send(ctx, unknown, again)
}

// send sends calls behind the loading of scripts. One server gets both on one
// connection: while a name moves from one server to another, two connections of a
// pool may lead to different ones.
func (r *Registry) send(ctx context.Context, unknown []*script, calls []*call) error {
	pipe := r.rdb.Pipeline()
	for _, s := range unknown {
		pipe.ScriptLoad(ctx, s.source)
	}
	for _, c := range calls {
		c.cmd = redis.NewCmd(ctx, c.args...)
		c.cmd.SetFirstKeyPos(3)
		_ = pipe.Process(ctx, c.cmd)
	}
	_, err := pipe.Exec(ctx)
	return err
}

// unknown reports whether the server did not know the script.
func (c *call) unknown() bool { return isUnknown(c.cmd.Err()) }

func isUnknown(err error) bool { return redis.HasErrorPrefix(err, "NOSCRIPT") }

// runOn runs a script that has no keys on one server.
func (s *script) runOn(ctx context.Context, server redis.UniversalClient, args ...any) *redis.Cmd {
	cmd := s.EvalSha(ctx, server, nil, args...)
	if !isUnknown(cmd.Err()) {
		return cmd
	}
	_, _ = server.Pipelined(ctx, func(pipe redis.Pipeliner) error { // on one connection
		pipe.ScriptLoad(ctx, s.source)
		cmd = s.EvalSha(ctx, pipe, nil, args...)
		return nil
	})
	return cmd
}

// load makes all scripts known to every master.
func (r *Registry) load(ctx context.Context) error {
	return r.masters.each(ctx, func(ctx context.Context, master redis.UniversalClient) error {
		for _, s := range scripts {
			if err := master.ScriptLoad(ctx, s.source).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}
