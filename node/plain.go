package node

import (
	"encoding/hex"
	"errors"
	"math/bits"
	"strconv"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// plain is the protocol beeline.v1: one JSON object a text message, with a type.
// Text only: a binary message is closed with 1003.
//
// A message that is not a send, an ack or a ping that can be acted on is answered
// with an error. A send that has an id and a `to` that is no address has its outcome
// in a receipt, like every other send: rejected, with a reason; without an id it
// is answered with an error too.
type plain struct{}

var plainTraits = traits{subprotocol: "beeline.v1", order: serverFirst, text: true, sends: ws.OpText}

func (plain) traits() *traits { return &plainTraits }

func (plain) ping(s *session) { s.reply(ws.OpPing, nil) }

// evicted closes the session: its client's address is its only one.
func (plain) evicted(_ *session, _ string, reason error) closeReason {
	if errors.Is(reason, router.ErrReplaced) {
		return closedReplaced
	}
	return closedLeaseLost
}

// receive acts on one message of a client. It never closes the session.
func (p plain) receive(s *session, _ ws.OpCode, text []byte) error {
	var r request
	err := r.parse(text)
	if err == nil {
		err = p.act(s, &r)
	}
	if err != nil {
		p.complain(s, &r, err)
	}
	return nil
}

func (p plain) act(s *session, r *request) *jsonError {
	if !isString(r.kind) {
		return &jsonError{code: codeUnknownType, what: `"type" is no string; ` + allowedTypes}
	}
	switch string(router.Unquote(r.kind)) {
	case "send":
		return p.send(s, r)
	case "ack":
		return p.ack(s, r)
	case "ping":
		s.reply(ws.OpText, []byte(`{"type":"pong"}`))
		return nil
	}
	return &jsonError{code: codeUnknownType, what: `unknown "type"; ` + allowedTypes}
}

const allowedTypes = `allowed are "send", "ack" and "ping"`

func (p plain) send(s *session, r *request) *jsonError {
	if err := r.checkSend(); err != nil {
		return err
	}
	to := s.address(router.Unquote(r.to))
	if to == "" {
		return p.badAddress(s, r)
	}
	if !s.maySend(to) {
		return p.forbidden(s, r)
	}
	s.send(router.Message{
		To: to, Data: r.data, Ref: r.id, Receipt: r.id != nil,
		Confirm: isTrue(r.confirm), Droppable: isTrue(r.droppable),
	})
	return nil
}

// ack confirms a message, or one that nobody waits for any more.
func (plain) ack(s *session, r *request) *jsonError {
	id, err := r.messageID()
	if err == nil {
		s.node.router.Confirm(s.client, id)
	}
	return err
}

func (plain) badAddress(s *session, r *request) *jsonError {
	err := router.CheckAddress(string(router.Unquote(r.to)))
	if r.id == nil {
		return &jsonError{code: codeBadAddress, what: `bad "to": ` + err.Error()}
	}
	s.receipt(r.id, router.Rejected, codeBadAddress+`: bad "to": `+err.Error())
	return nil
}

func (plain) forbidden(s *session, r *request) *jsonError {
	err := &jsonError{code: codeForbidden, what: `sending to this address is not permitted`}
	if r.id == nil {
		return err
	}
	s.receipt(r.id, router.Rejected, err.code+": "+err.what)
	return nil
}

// address returns name if it is an address, else "". A client's next message
// often goes where the last one went.
func (s *session) address(name []byte) string {
	if string(name) == s.lastTo {
		return s.lastTo
	}
	to := string(name)
	if router.CheckAddress(to) != nil {
		return ""
	}
	s.lastTo = to
	return to
}

// complain answers what can't be acted on.
func (plain) complain(s *session, r *request, err *jsonError) {
	s.node.counts.errors[err.code].Inc()
	b := s.node.buffer()
	defer s.node.release(b)
	b.b = append(b.b, `{"type":"error","code":"`...)
	b.b = append(b.b, err.code...)
	b.b = append(b.b, `","message":`...)
	b.b = appendQuoted(b.b, err.text())
	if r.id != nil && checkID(r.id) == nil {
		b.b = append(append(b.b, `,"id":`...), r.id...)
	}
	b.b = append(b.b, '}')
	s.reply(ws.OpText, b.b)
}

func (plain) appendWelcome(b []byte, s *session) []byte {
	b = appendQuoted(append(b, `{"type":"welcome","client":`...), s.client)
	b = hex.AppendEncode(append(b, `,"session":"`...), s.id[:])
	b = appendQuoted(append(b, `","node":`...), s.node.id)
	return append(b, '}')
}

// The parts of a message between its values.
const (
	messageFrom = `{"type":"message","from":`
	messageTo   = `,"to":`
	messageID   = `,"id":"`
	messageAsks = `,"confirm":true`
	messageData = `,"data":`
	messageRest = len(messageFrom) + len(messageTo) + len(messageID) + len(`-"`) + len(messageData) + len("}")
)

func (plain) messageSize(m *router.Message) int {
	size := messageRest + quotedSize(m.From) + quotedSize(m.To) +
		hexSize(m.ID.Origin) + hexSize(m.ID.Count) + len(dataOf(m))
	if m.Confirm {
		size += len(messageAsks)
	}
	return size
}

// appendMessage passes the data on as it came.
func (plain) appendMessage(b []byte, m *router.Message) []byte {
	b = appendQuoted(append(b, messageFrom...), m.From)
	b = appendQuoted(append(b, messageTo...), m.To)
	b = appendHex(append(b, messageID...), m.ID.Origin)
	b = append(appendHex(append(b, '-'), m.ID.Count), '"')
	if m.Confirm {
		b = append(b, messageAsks...)
	}
	b = append(append(b, messageData...), dataOf(m)...)
	return append(b, '}')
}

// dataOf returns the JSON of a message: null for one that has none.
func dataOf(m *router.Message) []byte {
	if len(m.Data) == 0 {
		return []byte("null")
	}
	return m.Data
}

func hexSize(n uint64) int { return max(1, (bits.Len64(n)+3)/4) }

func (plain) appendReceipt(b, id []byte, outcome router.Outcome, reason string) []byte {
	b = append(append(b, `{"type":"receipt","id":`...), id...)
	b = append(append(b, `,"outcome":"`...), outcome.String()...)
	b = append(b, '"')
	if reason != "" {
		b = appendQuoted(append(b, `,"reason":`...), reason)
	}
	return append(b, '}')
}

func (plain) appendDropped(b []byte, count uint32) []byte {
	b = strconv.AppendUint(append(b, `{"type":"dropped","count":`...), uint64(count), 10)
	return append(b, '}')
}

// appendBye announces a close. retry: connecting again at once is welcome.
func (plain) appendBye(b []byte, c *closing) []byte {
	b = append(append(b, `{"type":"bye","reason":"`...), c.label...)
	if c.retry {
		return append(b, `","retry":true}`...)
	}
	return append(b, `","retry":false}`...)
}
