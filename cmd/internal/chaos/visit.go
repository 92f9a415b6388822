//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/beeline-ws/beeline/router/ledger"
)

// visit is a session of a person.
type visit struct {
	wire    wire
	session *ledger.Session
	node    int
	ended   chan struct{} // closed when the reader has ended
	sending sync.Mutex    // lets new messages leave in the order of their places

	mu      sync.Mutex
	pending map[string]*ledger.Message // without a receipt
}

// transmit writes a message. The reader hears why it failed, if it does.
func (v *visit) transmit(m *ledger.Message, l *ledger.Ledger) {
	data := json.RawMessage(m.Data(l))
	if m.Confirm() {
		_ = v.wire.SendToConfirm(m.To(), m.ID(), data)
		return
	}
	_ = v.wire.Send(m.To(), m.ID(), data)
}

// leave ends the session, and waits for its reader.
func (v *visit) leave(cut bool, how string) {
	if cut {
		v.session.Ended(ledger.ByClient, how+", cut", time.Now())
		v.wire.Cut()
	} else {
		v.session.Ended(ledger.ByClient, how, time.Now())
		v.wire.Close()
	}
	<-v.ended
}

// unanswered returns the messages that wait for a receipt.
func (v *visit) unanswered() map[string]*ledger.Message {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.pending)
}

// outstanding counts the messages that wait for a receipt.
func (v *visit) outstanding() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.pending)
}

// ender reports whether an attempt to connect was refused, or given up.
func ender(err error) ledger.End {
	if errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), refusedBy) {
		return ledger.Refused
	}
	return ledger.ByClient
}

// refusedBy is how the client says that the node answered, and what.
const refusedBy = "connection refused: "

// shorten names an error without what differs each time.
func shorten(err error) string {
	switch text := err.Error(); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended"
	case strings.Contains(text, "connection reset"):
		return "the connection was reset"
	case strings.Contains(text, refusedBy):
		_, why, _ := strings.Cut(text, refusedBy)
		return why
	case strings.Contains(text, "connect: connection refused"):
		return "nobody listens"
	case strings.Contains(text, "i/o timeout"), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	default:
		return text
	}
}
