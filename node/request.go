package node

import (
	"fmt"
	"unicode/utf8"

	"github.com/beeline-ws/beeline/router"
)

// maxID is the longest id of a client's message, in bytes: of a number's JSON, or of
// what a string means in UTF-8, so that quotes and escapes don't count.
const maxID = 128

// request is a message of a client in beeline.v1: the fields that mean something,
// as they came. Those that are missing are nil; of those that come twice the
// last one counts; others are ignored.
type request struct {
	kind, to, data, id, confirm, droppable []byte

	from, reply []byte // a back end's; a client's don't count
}

// parse checks text and finds the fields in it. Those before an error are set.
func (r *request) parse(text []byte) *jsonError {
	s := scanner{text: text}
	if err := s.begin(); err != nil {
		return err
	}
	for {
		key, value, err := s.next()
		if err != nil {
			return err
		}
		if key == nil {
			return nil
		}
		r.set(key, value)
	}
}

func (r *request) set(key, value []byte) {
	switch string(router.Unquote(key)) {
	case "type":
		r.kind = value
	case "to":
		r.to = value
	case "data":
		r.data = value
	case "id":
		r.id = value
	case "confirm":
		r.confirm = value
	case "droppable":
		r.droppable = value
	case "from":
		r.from = value
	case "reply":
		r.reply = value
	}
}

// checkSend says what is wrong with the fields of a send, but for its address.
func (r *request) checkSend() *jsonError {
	if r.id != nil {
		if err := checkID(r.id); err != nil {
			return err
		}
	}
	switch {
	case r.to == nil:
		return &jsonError{code: codeMissingTo, what: `"to" is missing; it is a client's name`}
	case !isString(r.to):
		return &jsonError{code: codeBadAddress, what: `"to" is no string; it is a client's name`}
	case r.data == nil:
		return &jsonError{code: codeMissingData, what: `"data" is missing; it is any JSON value`}
	case !isFlag(r.confirm):
		return &jsonError{code: codeBadFlag, what: `"confirm" is neither true nor false`}
	case !isFlag(r.droppable):
		return &jsonError{code: codeBadFlag, what: `"droppable" is neither true nor false`}
	case isTrue(r.confirm) && r.id == nil:
		return &jsonError{code: codeMissingID, what: `"id" is missing; a message to be confirmed has one`}
	}
	return nil
}

// messageID is the id of an ack.
func (r *request) messageID() (id router.MessageID, err *jsonError) {
	if r.id == nil {
		return id, &jsonError{code: codeMissingID, what: `"id" is missing; it is that of the message`}
	}
	if isString(r.id) {
		if id, err := router.ParseMessageID(string(router.Unquote(r.id))); err == nil {
			return id, nil
		}
	}
	return id, &jsonError{code: codeBadID, what: `"id" is not that of a message`}
}

// checkID allows what can be sent back in few bytes and be told apart.
func checkID(id []byte) *jsonError {
	means := id
	switch {
	case isString(id):
		means = router.Unquote(id)
	case id[0] != '-' && !isDigit(id[0]):
		return &jsonError{code: codeBadID, what: `"id" is neither a string nor a number`}
	}
	switch {
	case len(means) > maxID:
		return &jsonError{code: codeBadID, what: fmt.Sprintf(`"id" has %d bytes; allowed are %d`, len(means), maxID)}
	case !utf8.Valid(means):
		return &jsonError{code: codeBadID, what: `"id" has a lone surrogate; allowed are surrogates in pairs`}
	}
	return nil
}

func isString(value []byte) bool { return len(value) > 0 && value[0] == '"' }

// isFlag reports whether a value is true, false or missing, isTrue whether it is
// true. No other value begins like these.
func isFlag(value []byte) bool { return len(value) == 0 || value[0] == 't' || value[0] == 'f' }
func isTrue(value []byte) bool { return len(value) > 0 && value[0] == 't' }
