package node

import (
	"unicode/utf8"
)

// validData reports whether data is one JSON value in UTF-8, as deep at the most as a
// client's may be.
func validData(data []byte) bool {
	s := scanner{text: data}
	if !utf8.Valid(data) || s.value() != nil {
		return false
	}
	return s.end() == nil
}
