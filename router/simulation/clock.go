package simulation

import (
	"time"
	"unsafe"
)

// start is when every history begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at is a moment of a history, as somebody who is outside of the cluster sees it.
func at(now time.Duration) time.Time { return start.Add(now) }

// wallAndMonotonic is what package time keeps in a Time that has a monotonic reading: a
// flag, 33 bits of seconds since 1885 and 30 bits of nanoseconds in wall, and the reading
// in ext. TestClockJumpsAsARealOne fails if that changes.
type wallAndMonotonic struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

const (
	hasMonotonic = 1 << 63
	nanosBits    = 30
	from1885     = 2682288000 // seconds from 1885 to 1970
)

// instant returns the time that a host reads whose wall clock says wall, when its
// monotonic clock says mono. Package time can't make one by itself where they differ from
// those of this process.
func instant(wall time.Time, mono time.Duration) (t time.Time) {
	*(*wallAndMonotonic)(unsafe.Pointer(&t)) = wallAndMonotonic{
		wall: hasMonotonic | uint64(wall.Unix()+from1885)<<nanosBits | uint64(wall.Nanosecond()),
		ext:  int64(mono) + 1, // 0 would be before the process began
	}
	return t
}
