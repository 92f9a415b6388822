package redistest

import "crypto/rand"

// Noise returns n bytes that no snapshot makes smaller.
func Noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
