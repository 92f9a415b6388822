package node

import (
	"fmt"
	"unicode/utf8"

	"github.com/beeline-ws/beeline/router"
)

// Reasons for which a message of an external publisher is rejected, beside the codes
// of a client's errors: its receipt says them.
const (
	reasonTooLarge    = "too_large"
	reasonMissingFrom = "missing_from"
	reasonBadFrom     = "bad_from"
	reasonBadReply    = "bad_reply"
)

// maxReply is the longest name of a receipt's channel.
const maxReply = 64

// external is a message of an external publisher: a client's send, whose rules hold here,
// too, with "from" and "reply".
type external struct{ request }

// readExternal reads what came by the node's inlet. If it is rejected, its reply is what
// could be read of it, so that its publisher hears of it.
func (n *Node) readExternal(payload []byte) router.External {
	var x external
	err := x.read(payload, n.opts.MaxMessage)
	out := router.External{}
	if x.reply != nil && x.checkReply() == nil {
		out.Reply = string(router.Unquote(x.reply))
	}
	if x.id != nil && checkID(x.id) == nil {
		out.Ref = x.id
	}
	if err != nil {
		out.Reason, out.Text = err.code, err.text()
		return out
	}
	out.To, out.From, out.Data = string(router.Unquote(x.to)), string(router.Unquote(x.from)), x.data
	out.Confirm, out.Droppable = isTrue(x.confirm), isTrue(x.droppable)
	return out
}

// read finds the fields in a payload and says what is wrong with them.
func (x *external) read(payload []byte, longest int) *jsonError {
	if len(payload) > longest {
		_ = x.parse(payload[:longest]) // for its reply
		return &jsonError{code: reasonTooLarge, what: fmt.Sprintf("it has %d bytes; allowed are %d", len(payload), longest)}
	}
	if err := x.parse(payload); err != nil {
		return err
	}
	if !utf8.Valid(payload) {
		return &jsonError{code: codeMalformed, what: "it is not UTF-8"}
	}
	if err := x.checkReply(); err != nil {
		return err
	}
	if err := x.checkSend(); err != nil {
		return err
	}
	if err := router.CheckAddress(string(router.Unquote(x.to))); err != nil {
		return &jsonError{code: codeBadAddress, what: `bad "to": ` + err.Error()}
	}
	return x.checkFrom()
}

func (x *external) checkFrom() *jsonError {
	switch {
	case x.from == nil:
		return &jsonError{code: reasonMissingFrom, what: `"from" is missing; it is the sender's name, like a client's`}
	case !isString(x.from):
		return &jsonError{code: reasonBadFrom, what: `"from" is no string; it is the sender's name, like a client's`}
	}
	if err := router.CheckClient(string(router.Unquote(x.from))); err != nil {
		return &jsonError{code: reasonBadFrom, what: `bad "from": ` + err.Error()}
	}
	return nil
}

// checkReply says what is wrong with the name for receipts, if there is one.
func (x *external) checkReply() *jsonError {
	if x.reply == nil {
		return nil
	}
	bad := &jsonError{code: reasonBadReply, what: fmt.Sprintf(`"reply" is no string of 1 to %d letters, digits, "_" and "-"`, maxReply)}
	if !isString(x.reply) {
		return bad
	}
	name := router.Unquote(x.reply)
	if len(name) == 0 || len(name) > maxReply {
		return bad
	}
	for _, c := range name {
		if !nameRune(rune(c)) || c == '.' {
			return bad
		}
	}
	return nil
}

// validData reports whether data is one JSON value in UTF-8, as deep at the most as a
// client's may be.
func validData(data []byte) bool {
	s := scanner{text: data}
	if !utf8.Valid(data) || s.value() != nil {
		return false
	}
	return s.end() == nil
}
