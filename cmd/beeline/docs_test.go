package main

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Documents, and packages' doc.go, name tests, benchmarks and files that exist.
func TestDocumentsNameWhatExists(t *testing.T) {
	root := filepath.Join("..", "..")
	files, functions := sources(t, root)
	if len(functions) < 100 {
		t.Fatalf("found only %d tests and benchmarks", len(functions))
	}
	test := regexp.MustCompile(`\b(?:Test|Benchmark)[A-Z]\w*`)
	file := regexp.MustCompile(`[\w./-]*\w\.(?:go|lua)\b`)
	for _, document := range slices.Sorted(maps.Keys(files)) {
		markdown := path.Ext(document) == ".md" && document != "CHANGELOG.md"
		if !markdown && path.Base(document) != "doc.go" {
			continue
		}
		text := readFile(t, document)
		for _, name := range test.FindAllString(text, -1) {
			if !functions[name] && name != "TestMain" {
				t.Errorf("%s names %s, which nobody has written", document, name)
			}
		}
		for _, name := range file.FindAllString(text, -1) {
			if !files[path.Join(path.Dir(document), name)] && !(markdown && isAnywhere(files, name)) {
				t.Errorf("%s names the file %s, which is not there", document, name)
			}
		}
	}
}

// isAnywhere reports whether a file's path is name, or ends with it.
func isAnywhere(files map[string]bool, name string) bool {
	for file := range files {
		if file == name || strings.HasSuffix(file, "/"+name) {
			return true
		}
	}
	return false
}

// sources returns the paths of all files below root, and the names of all tests and benchmarks.
func sources(t *testing.T, root string) (files, functions map[string]bool) {
	t.Helper()
	files, functions = make(map[string]bool), make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != root:
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(relative)] = true
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		for _, found := range function.FindAllStringSubmatch(string(text), -1) {
			functions[found[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, functions
}
