package main

import (
	"strings"
	"testing"
)

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		args string
		want string
	}{
		{"sevre", `unknown command "sevre" (did you mean serve?); allowed: bench, demo, health, help, nodes, send, serve, version, whois`},
		{"frobnicate", `unknown command "frobnicate"; allowed: `},
		{"--frobnicate", "unknown flag: --frobnicate"},
		{"serve now", `"now"`},
		{"serve --port 80", "unknown flag: --port"},
		{"demo --nodes many", `"many"`},
		{"demo --nodes 0", "--nodes 0: allowed are 1 to 20"},
		{"demo --delivery pigeon", `--delivery "pigeon": allowed are targeted, broadcast and subscribe`},
		{"demo --listen-base 65535", `--listen-base "65535": allowed is a port`},
		{"send", "TO is missing"},
		{"send bob", "DATA is missing"},
		{"send bob hello", "--from is missing"},
		{"send --from #x bob hello", `--from "#x": it begins with U+0023`},
		{"send --from ann # hello", `TO "#": it begins with U+0023`},
		{"send --from ann --url ftp://host bob hello", `URL "ftp://host": allowed is ws://host:port/ws`},
		{"send bob hello there", `"there" is one argument too many`},
		{"whois", "ADDRESS is missing"},
		{"whois #", `ADDRESS "#"`},
		{"health --url nowhere", `--url "nowhere": allowed is http://host:port`},
	} {
		r := beeline(nil, strings.Fields(test.args)...).want(t, exitUsage)
		wantContains(t, r.err, "beeline: ", test.want)
		if r.out != "" || strings.Count(r.err, "\n") > 2 {
			t.Errorf("%s: output %q, errors %q; want one line, and where the help is", test.args, r.out, r.err)
		}
	}
}

func TestFailuresExitWithOne(t *testing.T) {
	nowhere := []string{"BEELINE_REDIS_URL=redis://127.0.0.1:1", "BEELINE_ADMIN_LISTEN=:1"}
	for _, args := range []string{"whois bob", "nodes", "health", "send --from ann --url ws://127.0.0.1:1 bob hi"} {
		r := beeline(nowhere, strings.Fields(args)...).want(t, exitFailure)
		wantContains(t, r.err, "connection refused")
		if strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s: %q, want one line", args, r.err)
		}
	}
}

// A tool isn't kept from its work by a setting that it doesn't use.
func TestToolsLookAtTheirOwnSettings(t *testing.T) {
	env := []string{"BEELINE_REDIS_URL=nothing", "BEELINE_AUTH=jwt"}
	r := beeline(env, "nodes").want(t, exitUsage)
	wantContains(t, r.err, "BEELINE_REDIS_URL")
	if strings.Contains(r.err, "BEELINE_AUTH") {
		t.Errorf("nodes complains about what it does not use: %s", r.err)
	}
}

func TestHelpAndVersion(t *testing.T) {
	wantContains(t, beeline(nil).want(t, exitOK).out, "serve", "demo", "send", "whois", "nodes", "health", "version")
	wantContains(t, beeline(nil, "version").want(t, exitOK).out, "beeline ", " go1.")
	for _, command := range []string{"serve", "demo", "send", "whois", "nodes", "health", "version"} {
		wantContains(t, beeline(nil, command, "--help").want(t, exitOK).out, "beeline "+command)
	}
}
