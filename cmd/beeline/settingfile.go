package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSettingFile is how much of a file is read for a setting, in bytes: more than any
// setting has.
const maxSettingFile = 4 << 10

// settingFile is a file that holds the value of a setting, as secrets are mounted.
type settingFile struct {
	path    string // "" if there is none
	setting string // whose value it holds
	set     bool   // setting has a value already, which is a fault
	holds   string // what is allowed
	check   func(value string) error
}

// read replaces value by what the file holds, without white space around it, if that
// passes the check. Its errors never repeat what the file holds.
func (f settingFile) read(value *string) error {
	switch {
	case f.path == "":
		return nil
	case f.set:
		return fmt.Errorf("is %q while %s is set; allowed: one of the two", f.path, f.setting)
	}
	text, err := readStart(f.path)
	if err == nil {
		err = f.check(text)
	}
	if err != nil {
		if path, ok := errors.AsType[*os.PathError](err); ok {
			err = path.Err
		}
		return fmt.Errorf("is %q, which can't be used: %w; allowed: a file that holds %s", f.path, err, f.holds)
	}
	*value = text
	return nil
}

// readStart returns the first maxSettingFile bytes of a file, without white space around
// them.
func readStart(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSettingFile))
	return strings.TrimSpace(string(b)), err
}
