package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// cleanups is what must be undone, in the order in which it was done. Each step
// is registered the moment its resource exists.
type cleanups []cleanup

type cleanup struct {
	name string
	run  func(context.Context) error
}

func (c *cleanups) add(name string, run func(context.Context) error) {
	*c = append(*c, cleanup{name, run})
}

// run undoes all, the last first. A step that fails does not keep the others
// from running; each gets the same ctx and returns when it ends.
func (c *cleanups) run(ctx context.Context) error {
	var errs []error
	for _, step := range slices.Backward(*c) {
		if err := step.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", step.name, err))
		}
	}
	*c = nil
	return errors.Join(errs...)
}
