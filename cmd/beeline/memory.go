package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryShare is the part of the container's memory that Go may use. The rest is
// for what Go does not count, and for a moment's excess.
const memoryShare = 0.9

// limitMemory has Go collect garbage harder, before the kernel kills the process,
// where the container's memory is limited. A GOMEMLIMIT that is set stays.
func limitMemory(log *slog.Logger, container memlimit.Provider) {
	var found uint64
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithProvider(func() (_ uint64, err error) {
		found, err = container()
		return found, err
	}))
	switch {
	case errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported), err == nil && limit == math.MaxInt64:
		log.Debug("memory is not limited")
	case err != nil:
		log.Warn("the container's memory limit is not known; GOMEMLIMIT can tell it", "error", err)
	case found == 0:
		log.Info("memory limit", "bytes", limit, "why", "GOMEMLIMIT is set")
	default:
		log.Info("memory limit", "bytes", limit, "why", fmt.Sprintf("%.0f %% of the container's %v", 100*float64(limit)/float64(found), byteSize(found)))
	}
}
