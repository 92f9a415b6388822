package redisconn

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(redistest.Main{M: m}) }
