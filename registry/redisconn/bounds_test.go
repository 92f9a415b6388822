package redisconn

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manyAddresses resolves each name to that many addresses.
type manyAddresses int

func (m manyAddresses) LookupNetIP(context.Context, string, string) (all []netip.Addr, _ error) {
	for i := range m {
		all = append(all, netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}))
	}
	return all, nil
}

// What is remembered of names and places is bounded, and what came last is among it.
func TestWhatIsRememberedOfNamesIsBounded(t *testing.T) {
	n := newNames(manyAddresses(maxAddresses + 5))
	for i := range 3 * maxNames {
		host := fmt.Sprintf("redis%d.example", i)
		ips, err := n.lookup(t.Context(), host)
		if err != nil || len(ips) != maxAddresses {
			t.Fatalf("%s has %d addresses, %v; want %d", host, len(ips), err, maxAddresses)
		}
		if _, known := n.known[host]; !known || len(n.known) > maxNames {
			t.Fatalf("%d names are remembered, the last one: %v", len(n.known), known)
		}
	}
	for i := range 3 * maxAvoided {
		place := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(1+i))
		n.avoid(place)
		if at := n.avoided[place]; time.Since(at) > time.Minute || len(n.avoided) > maxAvoided {
			t.Fatalf("%d places are avoided, the last one since %v", len(n.avoided), at)
		}
	}
}

// A file of certificates is not read without a bound.
func TestLargeFilesAreNoCertificates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large.pem")
	must(t, os.WriteFile(file, make([]byte, maxPEM+1), 0o600))
	wrong := TLSFiles{CA: file}.Check(true)
	if len(wrong) != 1 || !strings.Contains(wrong[0].Error(), fmt.Sprintf("larger than %d bytes", maxPEM)) {
		t.Errorf("errors: %v", wrong)
	}
}

// Sentinels that others name are asked, too, up to a bound; those of the URL come first.
func TestSentinelsThatAreAskedAreBounded(t *testing.T) {
	s := &sentinels{addrs: []string{"of the URL"}}
	for i := range 3 * maxSentinels {
		s.learn([]string{fmt.Sprint("sentinel", i), fmt.Sprint("sentinel", i)})
	}
	if len(s.addrs) != maxSentinels || s.addrs[0] != "of the URL" || s.addrs[1] != "sentinel0" {
		t.Errorf("%d Sentinels are asked: %q", len(s.addrs), s.addrs)
	}
}
