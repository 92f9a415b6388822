package router

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ClusterKey is a secret that all nodes of a cluster share: 32 to 128 random bytes.
// With it they sign what they publish to each other; see seal.go.
type ClusterKey []byte

// Bounds of a key, in bytes, and of how many a node takes: two while they are changed.
const (
	minClusterKey  = 32
	maxClusterKey  = 128
	maxClusterKeys = 2
	// minVariety is how many different bytes, and differences between neighbours,
	// random bytes have: that 32 of them have fewer happens once in 10^10 times.
	minVariety = 16
)

// ClusterKeyForm says how cluster keys are written, for errors and help.
const ClusterKeyForm = "one key, or two with a comma or a new line between them, each of 32 to 128 random bytes in base64 or hexadecimal digits; " +
	"make one with: openssl rand -base64 32"

// ParseClusterKeys reads one key, or two while the cluster's key is changed: the first
// one signs, both verify. Errors repeat nothing of the text.
func ParseClusterKeys(text string) ([]ClusterKey, error) {
	fields := strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(", \t\r\n", c) })
	switch {
	case len(fields) == 0:
		return nil, errors.New("it is empty")
	case len(fields) > maxClusterKeys:
		return nil, fmt.Errorf("it has %d parts", len(fields))
	}
	var keys []ClusterKey
	for _, field := range fields {
		key, err := parseClusterKey(field)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == maxClusterKeys && string(keys[0]) == string(keys[1]) {
		return nil, errors.New("both keys are the same")
	}
	return keys, nil
}

func parseClusterKey(text string) (ClusterKey, error) {
	key, err := hex.DecodeString(text)
	if err != nil {
		text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		if key, err = base64.RawStdEncoding.DecodeString(text); err != nil {
			return nil, errors.New("a key is neither base64 nor hexadecimal digits")
		}
	}
	return key, ClusterKey(key).check()
}

// check says what is wrong with a key. It finds what people type instead of random
// bytes: repetitions, sequences, and text that was encoded.
func (k ClusterKey) check() error {
	if len(k) < minClusterKey || len(k) > maxClusterKey {
		return fmt.Errorf("a key has %d bytes", len(k))
	}
	var bytes, steps [256]bool
	variety, stepVariety, printable := 0, 0, true
	for i, c := range k {
		if !bytes[c] {
			bytes[c] = true
			variety++
		}
		if step := c - k[max(i-1, 0)]; !steps[step] {
			steps[step] = true
			stepVariety++
		}
		printable = printable && ' ' <= c && c <= '~'
	}
	switch {
	case variety < minVariety || stepVariety < minVariety:
		return errors.New("a key is not random: it repeats itself")
	case printable:
		return errors.New("a key is not random: it is text")
	}
	return nil
}

// Fingerprint stands for keys where others may read it, such as in the node lease: one
// hash of 32 bits for each, the signing key's first, with a comma between them; empty
// without a key. It says whether nodes have the same keys, and is too short to tell
// which of many guesses is the key.
func Fingerprint(keys []ClusterKey) string {
	prints := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("beeline: fingerprint of a cluster's key"))
		prints[i] = hex.EncodeToString(mac.Sum(nil)[:4])
	}
	return strings.Join(prints, ",")
}
