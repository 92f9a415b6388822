package node

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// closeReason says why a session ends. The set is closed; each is a label of
// beeline_closes_total.
type closeReason uint8

const (
	stillOpen closeReason = iota
	closedByClient
	closedNetwork
	closedProtocol
	closedBadUTF8
	closedTooBig
	closedUnsupported
	closedSlow
	closedNodeQueue
	closedFragments
	closedIncomplete
	closedPingTimeout
	closedDraining
	closedReplaced
	closedLeaseLost
	closedDuplicate
	closedDisconnected
	closedExpired
	closedDenied
	closedOpening
	closedUnavailable
	closedInternal

	closeReasons = iota
)

// Close codes of beeline's own. The last digits of 4409 and 4410 are those of the HTTP
// status that says the same.
const (
	codeReplaced     ws.StatusCode = 4000
	codeLeaseLost    ws.StatusCode = 4001
	codeDisconnected ws.StatusCode = 4002
	codeDenied       ws.StatusCode = 4401
	codeOpening      ws.StatusCode = 4408
	codeDuplicate    ws.StatusCode = 4409
	codeExpired      ws.StatusCode = 4410
)

// codeTryLater is registered for that by IANA.
const codeTryLater ws.StatusCode = 1013

// closing is how a session is closed for a reason.
type closing struct {
	label string        // in metrics, and the text of the close frame
	code  ws.StatusCode // 0: there is nobody to send a close frame to
	bye   bool          // a bye goes before
	retry bool          // the bye says that the client may connect again at once
	drop  bool          // what is queued is not sent any more
}

// closings has an entry for each reason. A client that fell silent gets 1001, the
// code that clients answer by connecting again: if it wakes up and reads it (a
// laptop that slept), that is what helps. The label tells it from a drain.
var closings = [closeReasons]closing{
	closedByClient:     {label: "client_closed", code: ws.StatusNormalClosure},
	closedNetwork:      {label: "network_error"},
	closedProtocol:     {label: "protocol_error", code: ws.StatusProtocolError},
	closedBadUTF8:      {label: "bad_utf8", code: ws.StatusInvalidFramePayloadData},
	closedTooBig:       {label: "too_big", code: ws.StatusMessageTooBig},
	closedUnsupported:  {label: "unsupported", code: ws.StatusUnsupportedData},
	closedSlow:         {label: "slow_consumer", code: ws.StatusPolicyViolation, drop: true},
	closedNodeQueue:    {label: "node_queue", code: ws.StatusPolicyViolation, drop: true},
	closedFragments:    {label: "empty_fragments", code: ws.StatusPolicyViolation},
	closedIncomplete:   {label: "incomplete", code: ws.StatusPolicyViolation},
	closedPingTimeout:  {label: "ping_timeout", code: ws.StatusGoingAway, drop: true},
	closedDraining:     {label: "draining", code: ws.StatusGoingAway, bye: true, retry: true},
	closedReplaced:     {label: "replaced", code: codeReplaced, bye: true},
	closedLeaseLost:    {label: "lease_lost", code: codeLeaseLost, bye: true},
	closedDuplicate:    {label: "duplicate", code: codeDuplicate, bye: true, drop: true},
	closedDenied:       {label: "denied", code: codeDenied, bye: true},
	closedOpening:      {label: "opening_timeout", code: codeOpening, bye: true},
	closedUnavailable:  {label: "unavailable", code: codeTryLater, bye: true, retry: true, drop: true},
	closedDisconnected: {label: "disconnected", code: codeDisconnected, bye: true},
	closedExpired:      {label: "expired", code: codeExpired, bye: true, retry: true},
	closedInternal:     {label: "internal", code: ws.StatusInternalServerError, bye: true, retry: true},
}

func (r closeReason) String() string {
	if r == stillOpen {
		return "open"
	}
	return closings[r].label
}

// Error lets a reason be what is wrong with a stream.
func (r closeReason) Error() string { return r.String() }

// body is the payload of the close frame: the code and, as text, the label.
func (c *closing) body() []byte { return ws.NewCloseFrameBody(c.code, c.label) }

// checkClose checks the body of a peer's close frame.
func checkClose(body []byte) (ws.StatusCode, error) {
	switch len(body) {
	case 0:
		return ws.StatusNoStatusRcvd, nil
	case 1:
		return 0, closedProtocol
	}
	code := ws.StatusCode(uint16(body[0])<<8 | uint16(body[1]))
	switch {
	case !validCode(code):
		return 0, closedProtocol
	case !utf8.Valid(body[2:]):
		return 0, closedBadUTF8
	}
	return code, nil
}

// validCode reports whether a close frame may carry code: RFC 6455, section 7.4, with
// what IANA has registered since (1012 to 1014), and the ranges of libraries (3000 to
// 3999) and applications (4000 to 4999). 1004 is reserved; 1005, 1006 and 1015 only
// name what no frame said.
func validCode(code ws.StatusCode) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}
