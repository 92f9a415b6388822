package link

const (
	// MaxWindow is how many frames a link holds that are not acknowledged.
	MaxWindow = 1 << 16
	// MaxRefused bounds the addresses that a receiver remembers to have refused, and the
	// nacks that wait to be sent: as many as its peer's window may have messages for.
	MaxRefused = MaxWindow
)
