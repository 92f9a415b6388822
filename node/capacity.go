package node

import (
	"fmt"
	"runtime"
)

// capacity is how many connections of each kind a node has at most, so that all of
// them together leave descriptors for what else the process does: a node that can't
// open one does not hear Redis, and its health can't be asked.
type capacity struct {
	sessions, handshakes, http, lingers int // sessions 0: no limit
}

// Bounds that follow from the process' limit of open files.
const (
	maxLingers  = 256
	manyFiles   = 1 << 30 // as good as no limit
	fewSessions = 64      // a process that may open too few files for these does not start
)

// reserve is how many descriptors of a process that may have so many open files are for
// all but clients: the admin listener's connections, those to Redis, whose pools grow
// with the processors, listeners, pollers and what the program around the node has open.
func reserve(files int) int {
	return maxAdmin + 64 + min(20*runtime.GOMAXPROCS(0), files/8) + min(files/64, 4096)
}

// newCapacity divides the descriptors of a process that may have so many open files; 0
// is no limit.
func newCapacity(o *Options, files int) (capacity, error) {
	c := capacity{o.MaxSessions, o.MaxHandshakes, o.MaxHTTP, maxLingers}
	if files == 0 || files >= manyFiles {
		return c, nil
	}
	if most := c.fit(files); c.sessions == 0 || c.sessions > most {
		c.sessions = most
	}
	if files < leastFiles() {
		return c, fmt.Errorf("the process may open %d files, of which %d are needed beside clients; allow it %d at least (ulimit -n)",
			files, reserve(files), leastFiles())
	}
	return c, nil
}

// fit lowers all bounds but that of sessions to what so many open files allow, and
// returns how many sessions fit beside.
func (c *capacity) fit(files int) (sessions int) {
	free := files - reserve(files)
	c.handshakes = min(c.handshakes, free/8)
	c.http = min(c.http, free/16)
	c.lingers = min(c.lingers, free/64)
	return free - c.handshakes - c.http - c.lingers
}

// leastFiles is the least limit of open files that leaves room for a few sessions.
func leastFiles() int {
	files := 2 * fewSessions
	for {
		c := capacity{handshakes: files, http: files, lingers: files}
		if c.fit(files) >= fewSessions {
			return files
		}
		files++
	}
}
