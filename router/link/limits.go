package link

import "time"

const (
	// MaxWindow is how many frames a link holds that are not acknowledged.
	MaxWindow = 1 << 16
	// MaxRefused bounds the addresses that a receiver remembers to have refused, and the
	// nacks that wait to be sent: as many as its peer's window may have messages for.
	MaxRefused = MaxWindow
	// MaxBatchBytes is where a batch ends; the rest goes with the next.
	MaxBatchBytes = 1 << 20

	// RetryDelay is how long a link waits for an acknowledgement before it goes back to
	// what is not acknowledged, and longer by Options.LazyAck if none of that is urgent.
	// The delay doubles up to maxRetryDelay.
	RetryDelay    = 250 * time.Millisecond
	maxRetryDelay = 2 * time.Second

	// PromptAck is how long an acknowledgement may take that somebody waits for. On a link
	// that was quiet for quietTime no traffic is to be expected on which it could ride, and
	// it is sent at once.
	PromptAck = 5 * time.Millisecond
	quietTime = 100 * time.Millisecond
	// ackFrames is how many frames are received before they are acknowledged, whatever the
	// time: their senders' sessions may have only so many under way. ackBytes is the same
	// in bytes, since they are held until then.
	ackFrames = 32
	ackBytes  = 64 << 10

	// maxKeptRing is how many frames an empty window keeps the room for.
	maxKeptRing = 1 << 12
)
