package main

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// mainVariable, if it is set, makes the test binary beeline itself: end-to-end
// tests start processes so.
const mainVariable = "BEELINE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		os.Unsetenv(mainVariable) // it is no setting
		main()
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		code = leaked()
	}
	os.Exit(code)
}

func leaked() int {
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
