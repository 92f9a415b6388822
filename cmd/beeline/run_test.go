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
		{"sevre", `unknown command "sevre" (did you mean serve?); allowed: bench, completion, config, demo, health, help, listen, nodes, send, serve, version, whois`},
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
		{"send --from ann --count 0 bob hi", "--count 0: allowed are 1 to 1000000"},
		{"send --from ann --timeout 0s bob hi", "--timeout 0s: allowed is a time above 0s"},
		{"listen", "--client is missing"},
		{"listen --client #x", `--client "#x": it begins with U+0023`},
		{"listen --client ann --count -1", "--count -1: allowed is 0 or more"},
		{"listen --client ann --url ftp://host", `URL "ftp://host": allowed is ws://host:port/ws`},
		{"listen ann", `"ann"`},
		{"help bogus", `unknown command "bogus"; allowed: `},
		{"help config chekc", `unknown command "chekc" (did you mean check?); allowed: check`},
		{"config chekc", `unknown command "chekc" (did you mean check?); allowed: check`},
		{"completion tcsh", `unknown command "tcsh" (did you mean bash?); allowed: bash, fish, powershell, zsh`},
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
	commands := []string{"serve", "demo", "bench", "send", "listen", "whois", "nodes", "health", "config", "completion", "version"}
	for _, args := range [][]string{nil, {"help"}, {"--help"}} {
		wantContains(t, beeline(nil, args...).want(t, exitOK).out, append(commands, "Exit codes: 0 ", "; 1 ", "; 2 ", "; 3 ")...)
	}
	for _, command := range commands {
		help := beeline(nil, command, "--help").want(t, exitOK).out
		wantContains(t, help, "beeline "+command)
		if other := beeline(nil, "help", command).want(t, exitOK).out; other != help {
			t.Errorf("help %s differs from %s --help", command, command)
		}
	}
	version := beeline(nil, "version").want(t, exitOK).out
	wantContains(t, version, "beeline ", " go1.")
	if got := beeline(nil, "--version").want(t, exitOK).out; got != version {
		t.Errorf("--version prints %q, version %q", got, version)
	}
}

func TestCompletionForShells(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		wantContains(t, beeline(nil, "completion", shell).want(t, exitOK).out, "beeline")
	}
	wantContains(t, beeline(nil, "__complete", "lis").want(t, exitOK).out, "listen\t")
	wantContains(t, beeline(nil, "__complete", "demo", "--delivery", "").want(t, exitOK).out, "targeted\nbroadcast\nsubscribe\n")
	wantContains(t, beeline(nil, "__complete", "help", "con").want(t, exitOK).out, "config\n")
}

// config check says what serve would say, and serves nothing: there is no Redis.
func TestConfigCheckServesNothing(t *testing.T) {
	nowhere := []string{"BEELINE_REDIS_URL=redis://127.0.0.1:1", "BEELINE_LISTEN=192.0.2.1:1"}
	if r := beeline(nowhere, "config", "check").want(t, exitOK); r.out != "the settings are right\n" || r.err != "" {
		t.Errorf("output %q, errors %q", r.out, r.err)
	}
	wrong := append(nowhere, "BEELINE_HEARTBEAT=1ns", "BEELINE_LOG_LEVEL=loud", "BEELINE_LISTNE=:1")
	r := beeline(wrong, "config", "check").want(t, exitUsage)
	wantContains(t, r.err, "3 settings are wrong:", "BEELINE_HEARTBEAT", "BEELINE_LOG_LEVEL", "BEELINE_LISTNE")
	if served := beeline(wrong, "serve").want(t, exitUsage); served.err != r.err || r.out != "" {
		t.Errorf("serve says %q, config check %q and %q", served.err, r.err, r.out)
	}
}
