//go:build unix

package chaos

import "time"

// Form is the form of a site's Redis.
type Form string

// The forms.
const (
	OneRedis  Form = "one Redis"
	Linked    Form = "one Redis, each node through a link of its own"
	Sentinels Form = "a Sentinel, a master and a replica"
	Clustered Form = "a Redis Cluster of three masters and three replicas"
)

// Mix is one site: what it is made of and what happens to it.
type Mix struct {
	Name    string
	Form    Form
	Nodes   int
	Courses []Course
}

// mixes are the sites of a run. In 15 minutes each family of faults (nodes killed,
// nodes stopped, Redis restarted, Redis paused, links cut, links black-holed,
// Sentinel failovers, Cluster failovers, migrations, moves) happens at least a
// hundred times.
func mixes() []Mix {
	const s, ms = time.Second, time.Millisecond
	moves := []Course{{MoveClient, 900 * ms, 0, 300 * ms}, {DropClient, 1100 * ms, 0, 300 * ms}}
	with := func(courses ...Course) []Course { return append(courses, moves...) }
	return []Mix{
		{"nodes", OneRedis, 4, with(
			Course{KillNode, 8500 * ms, 200 * ms, 3 * s},
			Course{StopNode, 8500 * ms, 50 * ms, 3500 * ms},
			Course{FreezeNode, 25 * s, 6500 * ms, 9 * s})},
		{"restarts", OneRedis, 3, with(
			Course{RestartRedis, 8700 * ms, 0, 1 * s},
			Course{KillNode, 55 * s, 200 * ms, 3 * s})},
		{"links", Linked, 4, with(
			Course{CutLink, 8500 * ms, 50 * ms, 4 * s},
			Course{SwallowLink, 8500 * ms, 200 * ms, 8 * s},
			Course{StallLink, 20 * s, 100 * ms, 8 * s},
			Course{PauseRedis, 8500 * ms, 50 * ms, 3 * s},
			Course{KillNode, 55 * s, 200 * ms, 3 * s})},
		{"sentinel", Sentinels, 3, with(
			Course{SentinelFailover, 17 * s, 0, 0},
			Course{SentinelKill, 17 * s, 0, 0},
			Course{KillNode, 55 * s, 200 * ms, 3 * s},
			Course{StopNode, 55 * s, 50 * ms, 3500 * ms})},
		{"cluster", Clustered, 3, with(
			Course{ClusterFailover, 14 * s, 0, 0},
			Course{ClusterKill, 22 * s, 0, 0},
			Course{MigrateLease, 16 * s, 0, 300 * ms},
			Course{MigrateChannel, 16 * s, 0, 300 * ms},
			Course{KillNode, 55 * s, 200 * ms, 3 * s},
			Course{StopNode, 55 * s, 50 * ms, 3500 * ms})},
	}
}
