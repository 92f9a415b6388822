package router

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/beeline-ws/beeline/router/link"
)

func newKey() ClusterKey {
	key := make(ClusterKey, minClusterKey)
	rand.Read(key)
	return key
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
	batch := link.AppendHeader(nil, &link.Header{From: "n1", Sealed: true})
	link.NewSigner([]ClusterKey{a}).Sign("ch", batch)
	if strings.Contains(hex.EncodeToString(batch), Fingerprint([]ClusterKey{a})) {
		t.Error("the fingerprint is a part of the MAC")
	}
}
