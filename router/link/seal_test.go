package link

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
)

func newKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

// sealed returns a batch of from that is signed for a channel, without envelopes.
func sealed(key []byte, channel, from string) string {
	batch := AppendHeader(nil, &Header{From: from, Life: 1, First: 1, Base: 1, Sealed: true})
	NewSigner([][]byte{key}).Sign(channel, batch)
	return string(batch)
}

// The MAC is what anybody can compute who has the key and the description: HMAC-SHA256 of
// the channel with its length, the batch before the MAC, and the batch behind it.
func TestMACIsAsDescribed(t *testing.T) {
	key, batch := newKey(), ""
	batch = sealed(key, "beeline:ch:n1", "n2")
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("\x0dbeeline:ch:n1" + batch[:2] + batch[18:]))
	if want := string(mac.Sum(nil)[:16]); batch[2:18] != want {
		t.Errorf("MAC %x, want %x", batch[2:18], want)
	}
}

func TestOnlyWhoHasTheKeyIsHeard(t *testing.T) {
	key, old, other := newKey(), newKey(), newKey()
	good := sealed(key, "ch", "n2")
	changed := func(i int) string { return good[:i] + string([]byte{good[i] ^ 1}) + good[i+1:] }
	unsigned := string(AppendHeader(nil, &Header{From: "n2", Life: 1, First: 1, Base: 1}))
	for _, c := range []struct {
		what, channel, batch string
		keys                 [][]byte
		want                 error
	}{
		{"signed", "ch", good, [][]byte{key}, nil},
		{"signed with the second key", "ch", good, [][]byte{old, key}, nil},
		{"signed with the first key", "ch", good, [][]byte{key, old}, nil},
		{"without a key, unsigned", "ch", unsigned, nil, nil},
		{"unsigned", "ch", unsigned, [][]byte{key}, ErrUnsigned},
		{"of another key", "ch", good, [][]byte{other, old}, ErrForged},
		{"signed, for a node without a key", "ch", good, nil, ErrForged},
		{"for another channel", "ch2", good, [][]byte{key}, ErrForged},
		{"with a longer channel", "c", good[:sealedSize] + "h" + good[sealedSize:], [][]byte{key}, ErrForged},
		{"with another MAC", "ch", changed(sealBegin), [][]byte{key}, ErrForged},
		{"with another header", "ch", changed(sealedSize + 3), [][]byte{key}, ErrForged},
		{"with more behind", "ch", good + "\x01\x00", [][]byte{key}, ErrForged},
		{"cut", "ch", good[:len(good)-1], [][]byte{key}, ErrForged},
		{"cut in the MAC", "ch", good[:sealedSize-1], [][]byte{key}, ErrMalformed},
		{"of another seal", "ch", "\x02\x02" + good[2:], [][]byte{key}, ErrMalformed},
		{"of version 1", "ch", "\x01" + good[1:], [][]byte{key}, ErrVersion},
		{"empty", "ch", "", [][]byte{key}, ErrVersion},
	} {
		if _, err := NewSigner(c.keys).Open(c.channel, c.batch); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}

// BenchmarkSeal measures what signing and verifying a batch costs both nodes together.
func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{64, 192, 1 << 10, 8 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			b.ReportAllocs()
			keys := [][]byte{newKey()}
			from, to := NewSigner(keys), NewSigner(keys)
			batch := AppendHeader(nil, &Header{From: "node1-0123abcd", Sealed: true})
			batch = append(batch, make([]byte, max(size-len(batch), 0))...)
			text := string(batch)
			for b.Loop() {
				from.Sign("beeline:ch:node2-0123abcd", batch)
				copy(bytesOf(text), batch)
				if _, err := to.Open("beeline:ch:node2-0123abcd", text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
