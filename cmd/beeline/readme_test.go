package main

import (
	"os"
	"strings"
	"testing"
)

func TestReadmeListsTheSettingsAsTheyAre(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), settingsTable()) {
		t.Errorf("README.md's table of settings is not what `beeline settings` writes:\n%s", settingsTable())
	}
}
