package redisconn

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// bufferRetry is how soon the limit is asked for again that could not be asked for.
const bufferRetry = 5 * time.Second

// CheckSubscriberBuffer logs if a master cuts off subscribers that lag less than needed
// bytes: a message that is larger gets through to nobody. It asks until Redis has
// answered, or refused, as managed Redis does, when nothing is known, or until ctx ends.
func (c *Client) CheckSubscriberBuffer(ctx context.Context, needed int64) {
	for {
		least, known, err := c.subscriberBuffer(ctx)
		if err == nil {
			if known && least < needed {
				c.log.Warn("Redis cuts off subscribers that lag little: large messages between nodes will be overloaded",
					"limit", least, "needed", needed, "advice", "raise Redis' client-output-buffer-limit pubsub, or lower BEELINE_MAX_MESSAGE")
			}
			return
		}
		select {
		case <-time.After(bufferRetry):
		case <-ctx.Done():
			return
		}
	}
}

// subscriberBuffer returns how many bytes a subscriber may lag at least before a master
// cuts it off. known is false if there is no limit, or Redis does not tell.
func (c *Client) subscriberBuffer(ctx context.Context) (least int64, known bool, err error) {
	var mu sync.Mutex
	least = math.MaxInt64
	err = c.EachMaster(ctx, func(ctx context.Context, master redis.UniversalClient) error {
		const name = "client-output-buffer-limit"
		values, err := master.ConfigGet(ctx, name).Result()
		var refused redis.Error
		if errors.As(err, &refused) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		least = min(least, pubsubLimit(values[name]))
		return err
	})
	return least, least < math.MaxInt64, err
}

// pubsubLimit reads the smaller one of the two limits for subscribers, as in
// "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"; 0 is none.
func pubsubLimit(value string) int64 {
	least := int64(math.MaxInt64)
	fields := strings.Fields(value)
	for i := 0; i+2 < len(fields); i++ {
		if fields[i] != "pubsub" {
			continue
		}
		for _, text := range fields[i+1 : i+3] {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
	}
	return least
}
