package registry

import (
	_ "embed" // the scripts' sources

	"github.com/beeline-ws/beeline/registry/redisconn"
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

	// A claim that was answered is not made again: of two that replace each other, each
	// would then be the newer. Nor is the writing of a node lease, whose answer says
	// whether there was one.
	claimScript    = redisconn.NewScriptOnce("claim", commonSource+claimSource)
	refreshScript  = redisconn.NewScript("refresh", commonSource+refreshSource)
	releaseScript  = redisconn.NewScript("release", commonSource+releaseSource)
	lookupScript   = redisconn.NewScript("lookup", commonSource+lookupSource)
	cleanScript    = redisconn.NewScript("clean", commonSource+cleanSource)
	epochScript    = redisconn.NewScript("epoch", commonSource+epochSource)
	nodeScript     = redisconn.NewScriptOnce("node", commonSource+nodeSource)
	leaseScript    = redisconn.NewScript("lease", commonSource+leaseSource)
	vouchScript    = redisconn.NewScript("vouch", commonSource+vouchSource)
	listScript     = redisconn.NewScript("list", commonSource+listSource)
	channelsScript = redisconn.NewScript("channels", commonSource+channelsSource)

	scripts = []*redisconn.Script{claimScript, refreshScript, releaseScript, lookupScript, cleanScript, epochScript,
		nodeScript, leaseScript, vouchScript, listScript, channelsScript}
)
