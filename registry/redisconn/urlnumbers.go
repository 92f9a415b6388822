package redisconn

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// numberLimits are those of the whole numbers in a Redis URL's query, least and most.
// go-redis takes any, and panics, allocates or waits without end with some.
var numberLimits = map[string][2]int{
	"pool_size": {0, 100000}, "min_idle_conns": {0, 100000}, "max_idle_conns": {0, 100000}, "max_active_conns": {0, 100000},
	"max_concurrent_dials": {0, 100000}, "pipeline_pool_size": {-1, 100000},
	"pipeline_read_buffer_size": {0, 64 << 20}, "pipeline_write_buffer_size": {0, 64 << 20},
	"max_retries": {-1, 100}, "max_redirects": {-1, 100}, "dialer_retries": {0, 100}, "db": {0, 1 << 30},
}

// The limits of a timeout in a Redis URL's query. None at all would have a node wait for
// a Redis that hangs.
const (
	leastTimeout = 10 * time.Millisecond
	mostTimeout  = 10 * time.Minute
)

// checkNumbers refuses a Redis URL whose database, or whose query's numbers and timeouts,
// no client can work with. What is no number is left to go-redis' parser.
func checkNumbers(u *url.URL) error {
	path := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	if n, err := strconv.Atoi(path); err == nil && n < 0 {
		return fmt.Errorf("its database is %d; allowed: 0 and above", n)
	}
	query := u.Query()
	for name, values := range query {
		for _, value := range values {
			if err := checkNumber(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkNumber(name, value string) error {
	n, err := strconv.Atoi(value)
	if limits, ok := numberLimits[name]; ok && err == nil && (n < limits[0] || n > limits[1]) {
		return fmt.Errorf("its %s is %d; allowed: %d to %d", name, n, limits[0], limits[1])
	}
	switch name {
	case "dial_timeout", "read_timeout", "write_timeout", "pool_timeout":
	default:
		return nil
	}
	took := time.Duration(min(max(n, -1), 3600)) * time.Second // a number without a unit
	if err != nil {
		if took, err = time.ParseDuration(value); err != nil {
			return nil
		}
	}
	if took < leastTimeout || took > mostTimeout {
		return fmt.Errorf("its %s is %q; allowed: %v to %v", name, value, leastTimeout, mostTimeout)
	}
	return nil
}
