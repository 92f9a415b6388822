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

// often is how often each kind of fault happens at the site that it is meant for: in
// 15 minutes a hundred times, and a few more for those that come too late.
const often = 7800 * time.Millisecond

// mixes are the sites of a run. Each kind of fault has one where it happens often;
// some happen now and then at others, too.
func mixes() []Mix {
	const s, ms = time.Second, time.Millisecond
	moves := []Course{{MoveClient, 900 * ms, 0, 300 * ms}, {DropClient, 1100 * ms, 0, 300 * ms}}
	with := func(courses ...Course) []Course { return append(courses, moves...) }
	return []Mix{
		{"nodes", OneRedis, 5, with(
			Course{KillNode, often, 200 * ms, 3 * s},
			Course{StopNode, often, 50 * ms, 3500 * ms},
			Course{FreezeNode, often, 6500 * ms, 9 * s})},
		{"restarts", OneRedis, 3, with(
			Course{RestartRedis, often, 0, 1 * s},
			Course{KillNode, 55 * s, 200 * ms, 3 * s})},
		{"links", Linked, 5, with(
			Course{CutLink, often, 50 * ms, 4 * s},
			Course{SwallowLink, often, 200 * ms, 8 * s},
			Course{StallLink, often, 100 * ms, 8 * s},
			Course{PauseRedis, often, 50 * ms, 3 * s},
			Course{KillNode, 55 * s, 200 * ms, 3 * s})},
		{"sentinel", Sentinels, 3, with(
			Course{SentinelFailover, often, 0, 0},
			Course{SentinelKill, often, 0, 0},
			Course{KillNode, 55 * s, 200 * ms, 3 * s},
			Course{StopNode, 55 * s, 50 * ms, 3500 * ms})},
		{"cluster", Clustered, 3, with(
			Course{ClusterFailover, often, 0, 0},
			Course{ClusterKill, often, 0, 0},
			Course{MigrateLease, often, 0, 300 * ms},
			Course{MigrateChannel, often, 0, 300 * ms},
			Course{KillNode, 55 * s, 200 * ms, 3 * s},
			Course{StopNode, 55 * s, 50 * ms, 3500 * ms})},
	}
}
