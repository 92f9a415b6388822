package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A message from standard input that is too long is refused, and not read to its end.
func TestInputIsReadWithABound(t *testing.T) {
	for size, fits := range map[int]bool{maxStdin: true, maxStdin + 1: false} {
		input := strings.NewReader(strings.Repeat("x", size+1000*(size-maxStdin)))
		a := &app{stdin: input}
		data, err := a.data("-")
		if fits && (err != nil || len(data) != size+2) {
			t.Errorf("%d bytes became %d, %v", size, len(data), err)
		}
		if !fits && (err == nil || !strings.Contains(err.Error(), "64MiB") || input.Len() == 0) {
			t.Errorf("%d bytes: error %v, %d bytes are left", size, err, input.Len())
		}
	}
}

// Of a setting's file only as much is read as a setting may have.
func TestSettingsFileIsReadWithABound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "setting")
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 10*maxSettingFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := readStart(file); err != nil || len(text) != maxSettingFile {
		t.Errorf("%d bytes were read, %v; want %d", len(text), err, maxSettingFile)
	}
}
