package router

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func newKey() ClusterKey {
	key := make(ClusterKey, minClusterKey)
	rand.Read(key)
	return key
}

// sealed returns a batch of from that is signed for a channel, without envelopes.
func sealed(key ClusterKey, channel, from string) string {
	batch := appendHeader(nil, &header{from: from, link: 1, first: 1, base: 1, sealed: true})
	newSigner([]ClusterKey{key}).sign(channel, batch)
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
	unsigned := string(appendHeader(nil, &header{from: "n2", link: 1, first: 1, base: 1}))
	for _, c := range []struct {
		what, channel, batch string
		keys                 []ClusterKey
		want                 error
	}{
		{"signed", "ch", good, []ClusterKey{key}, nil},
		{"signed with the second key", "ch", good, []ClusterKey{old, key}, nil},
		{"signed with the first key", "ch", good, []ClusterKey{key, old}, nil},
		{"without a key, unsigned", "ch", unsigned, nil, nil},
		{"unsigned", "ch", unsigned, []ClusterKey{key}, errUnsigned},
		{"of another key", "ch", good, []ClusterKey{other, old}, errForged},
		{"signed, for a node without a key", "ch", good, nil, errForged},
		{"for another channel", "ch2", good, []ClusterKey{key}, errForged},
		{"with a longer channel", "c", good[:sealedSize] + "h" + good[sealedSize:], []ClusterKey{key}, errForged},
		{"with another MAC", "ch", changed(sealBegin), []ClusterKey{key}, errForged},
		{"with another header", "ch", changed(sealedSize + 3), []ClusterKey{key}, errForged},
		{"with more behind", "ch", good + "\x01\x00", []ClusterKey{key}, errForged},
		{"cut", "ch", good[:len(good)-1], []ClusterKey{key}, errForged},
		{"cut in the MAC", "ch", good[:sealedSize-1], []ClusterKey{key}, errMalformed},
		{"of another seal", "ch", "\x02\x02" + good[2:], []ClusterKey{key}, errMalformed},
		{"of version 1", "ch", "\x01" + good[1:], []ClusterKey{key}, errVersion},
		{"empty", "ch", "", []ClusterKey{key}, errVersion},
	} {
		if _, err := newSigner(c.keys).open(c.channel, c.batch); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}

func TestClusterKeysAreRead(t *testing.T) {
	key, next := newKey(), newKey()
	std, url := base64.StdEncoding.EncodeToString(key), base64.RawURLEncoding.EncodeToString(key)
	for _, text := range []string{std, url, std + "\n", " " + hex.EncodeToString(key) + "\r\n", strings.ToUpper(hex.EncodeToString(key))} {
		keys, err := ParseClusterKeys(text)
		if err != nil || len(keys) != 1 || string(keys[0]) != string(key) {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	}
	for _, between := range []string{",", "\n", ", ", "\r\n"} {
		keys, err := ParseClusterKeys(hex.EncodeToString(next) + between + std)
		if err != nil || len(keys) != 2 || string(keys[0]) != string(next) || string(keys[1]) != string(key) {
			t.Errorf("two keys with %q between: %d keys, %v", between, len(keys), err)
		}
	}
}

func TestBadClusterKeysAreRefused(t *testing.T) {
	key := newKey()
	good := base64.StdEncoding.EncodeToString(key)
	encode := base64.StdEncoding.EncodeToString
	sequence := make([]byte, 32)
	for i := range sequence {
		sequence[i] = byte(3 * i)
	}
	for text, want := range map[string]string{
		"":                                       "it is empty",
		" \n":                                    "it is empty",
		"correct-horse-battery-staple!":          "neither base64 nor hexadecimal",
		encode(key[:31]):                         "31 bytes",
		encode(append(key, make([]byte, 97)...)): "129 bytes",
		encode(make([]byte, 32)):                 "repeats itself",
		strings.Repeat("deadbeef", 8):            "repeats itself",
		encode(sequence):                         "repeats itself",
		encode([]byte("our cluster's very secret password, 1")): "it is text",
		good + "," + good:                   "the same",
		good + "," + good[:20]:              "a key has",
		good + ",x" + good[:7] + "," + good: "3 parts",
	} {
		_, err := ParseClusterKeys(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
			t.Errorf("the fault repeats the key: %v", err)
		}
	}
}

// A fingerprint is the same for the same keys in the same order, and the key is not
// in it.
func TestFingerprintTellsKeysApart(t *testing.T) {
	a, b := newKey(), newKey()
	if Fingerprint(nil) != "" || Fingerprint([]ClusterKey{a}) == Fingerprint([]ClusterKey{b}) {
		t.Error("fingerprints don't tell keys apart")
	}
	if got, want := Fingerprint([]ClusterKey{a, b}), Fingerprint([]ClusterKey{a})+","+Fingerprint([]ClusterKey{b}); got != want || len(got) != 17 {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
	batch := sealed(a, "ch", "n1")
	if strings.Contains(hex.EncodeToString([]byte(batch)), Fingerprint([]ClusterKey{a})) {
		t.Error("the fingerprint is a part of the MAC")
	}
}

// BenchmarkSeal measures what signing and verifying a batch costs both nodes together.
func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{64, 192, 1 << 10, 8 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			b.ReportAllocs()
			keys := []ClusterKey{newKey()}
			from, to := newSigner(keys), newSigner(keys)
			batch := appendHeader(nil, &header{from: "node1-0123abcd", sealed: true})
			batch = append(batch, make([]byte, max(size-len(batch), 0))...)
			text := string(batch)
			for b.Loop() {
				from.sign("beeline:ch:node2-0123abcd", batch)
				copy(bytesOf(text), batch)
				if _, err := to.open("beeline:ch:node2-0123abcd", text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
