package node

import "time"

// moment is a time on the node's clock, in milliseconds since the node was made.
// It wraps after 49 days: only the time since a moment of late means something.
type moment uint32

// now is monotonic.
func (n *Node) now() moment { return moment(time.Since(n.born) / time.Millisecond) }

// since is the time from an earlier moment to m. Of one that is not earlier,
// because another goroutine was faster, it is none.
func (m moment) since(earlier moment) time.Duration {
	if d := int32(m - earlier); d > 0 {
		return time.Duration(d) * time.Millisecond
	}
	return 0
}
