package hostport

import (
	"errors"
	"testing"
)

func TestPortFollowsTheLastColon(t *testing.T) {
	for address, want := range map[string]string{
		":8080": ":8080", "host:80": "host:80", "10.0.0.1:0": "10.0.0.1:0",
		"[::1]:80": "[::1]:80", "::1:80": "[::1]:80", "fd00::7:8080": "[fd00::7]:8080", ":::9090": "[::]:9090",
		"fd00:1:2:3:4:5:6:7:8080": "[fd00:1:2:3:4:5:6:7]:8080", "[fe80::1%eth0]:80": "[fe80::1%eth0]:80",
		"::ffff:10.0.0.1:80": "[::ffff:10.0.0.1]:80",
	} {
		if got, err := Normal(address); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", address, got, err, want)
		}
	}
	for address, want := range map[string]error{
		"": ErrPort, "80": ErrPort, "host": ErrPort, "host:": ErrPort, "host:http": ErrPort, "host:65536": ErrPort, "host:-1": ErrPort,
		"::1": ErrPort, "fd00::": ErrPort, "[::1]": ErrPort, "[::1:80": ErrHost, "::1]:80": ErrHost, "[host]:80": ErrHost,
		"[10.0.0.1]:80": ErrHost, "a:b:80": ErrHost, "1:2:3:80": ErrHost,
	} {
		if got, err := Normal(address); !errors.Is(err, want) {
			t.Errorf("%s: %q, %v; want %v", address, got, err, want)
		}
	}
}

func TestURLOfAnAddressWithoutBrackets(t *testing.T) {
	for raw, want := range map[string]string{
		"http://fd00::7:8080": "[fd00::7]:8080", "ws://u:p@::1:80/ws?x=a:b:c": "[::1]:80", "http://[fd00::7]:8080/": "[fd00::7]:8080",
		"http://10.0.0.1:8080": "10.0.0.1:8080", "http://host/a:b:c": "host",
	} {
		if u, err := ParseURL(raw); err != nil || u.Host != want {
			t.Errorf("%s: %v, %v; want the host %s", raw, u, err, want)
		}
	}
	for _, raw := range []string{"http://a:b:80", "http://fd00::7", "http://[::1:80"} {
		if u, err := ParseURL(raw); err == nil {
			t.Errorf("%s: %v", raw, u)
		}
	}
}
