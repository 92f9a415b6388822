package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// children are the processes that a process has started and that live.
func children(t *testing.T, of int) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if fields[1] == strconv.Itoa(of) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestBenchKeepsWhatItHasWhenRedisDies(t *testing.T) {
	dir := t.TempDir()
	b := startBench(t, "--nodes", "2", "--clients", "20", "--rate", "200", "--duration", "300ms",
		"--arms", "targeted", "--workloads", "rate", "--repeat", "100", "--out", dir)
	b.await(b.errors, "1/100")
	for _, pid := range children(t, b.Pid) {
		if name, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); strings.HasPrefix(string(name), "redis") || strings.HasPrefix(string(name), "valkey") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	output, errors := b.wantEnd(exitFailure)
	wantContains(t, errors, "Redis ended in mid-run")
	wantContains(t, output, "The report is in ")
	if len(points(t, dir)) == 0 {
		t.Error("no point was kept")
	}
	if page, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || !strings.Contains(string(page), "Redis ended") {
		t.Errorf("the page does not say that the run is broken: %v", err)
	}
}

func TestBenchEndsItsChildrenAtAnInterrupt(t *testing.T) {
	dir := t.TempDir()
	b := startBench(t, "--nodes", "2", "--clients", "20", "--rate", "200", "--duration", "300ms",
		"--arms", "targeted", "--workloads", "rate", "--repeat", "100", "--out", dir)
	b.await(b.errors, "1/100")
	started := children(t, b.Pid)
	b.signal(os.Interrupt)
	_, errors := b.wantEnd(exitInterrupted)
	wantContains(t, errors, "interrupted after ")
	if len(points(t, dir)) == 0 || len(started) == 0 {
		t.Errorf("%d points kept, %d children had been started", len(points(t, dir)), len(started))
	}
	for _, pid := range started {
		if state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && !regexp.MustCompile(`\) [ZX] `).Match(state) {
			t.Errorf("child %d lives on: %s", pid, state)
		}
	}
}
