package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// tlsSettings are the settings behind the fields of redisconn.TLSFiles.
var tlsSettings = map[string]string{
	"CA": "BEELINE_REDIS_CA_FILE", "Cert": "BEELINE_REDIS_CERT_FILE",
	"Key": "BEELINE_REDIS_KEY_FILE", "ServerName": "BEELINE_REDIS_SERVER_NAME",
}

// redisSettings are those that a client of Redis is made of.
var redisSettings = []string{"BEELINE_REDIS_URL", "BEELINE_REDIS_URL_FILE", "BEELINE_REDIS_CA_FILE",
	"BEELINE_REDIS_CERT_FILE", "BEELINE_REDIS_KEY_FILE", "BEELINE_REDIS_SERVER_NAME"}

// connectRedis returns a client for the Redis of the settings. It connects when it is
// first used.
func (c *config) connectRedis() (redis.UniversalClient, error) {
	return redisconn.Connector{TLS: c.redisTLS()}.Connect(c.RedisURL)
}

func (c *config) redisTLS() redisconn.TLSFiles {
	return redisconn.TLSFiles{CA: c.RedisCA, Cert: c.RedisCert, Key: c.RedisKey, ServerName: c.RedisServerName}
}

// readRedisURL puts what BEELINE_REDIS_URL_FILE holds, if it is set, in the place of
// BEELINE_REDIS_URL. set says whether that is set, too.
func (c *config) readRedisURL(set bool) error {
	return settingFile{
		path: c.RedisURLFile, setting: "BEELINE_REDIS_URL", set: set,
		holds: "what BEELINE_REDIS_URL would",
		check: faultOfRedisURL,
	}.read(&c.RedisURL)
}

func checkRedisURL(rawURL string) error {
	if err := faultOfRedisURL(rawURL); err != nil {
		return fmt.Errorf("can't be used: %w", err)
	}
	return nil
}

// faultOfRedisURL says what is wrong with a URL, if anything is. It never repeats the
// URL, which may hold a password.
func faultOfRedisURL(rawURL string) error {
	client, err := redisconn.Connect(rawURL)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "Redis URL: "))
	}
	return client.Close()
}

// checkRedisTLS returns all faults of the settings for TLS.
func (c *config) checkRedisTLS() (found faults) {
	wrong := c.redisTLS().Check(strings.HasPrefix(c.RedisURL, "rediss"))
	if len(wrong) == 0 {
		client, err := c.connectRedis()
		if err == nil {
			_ = client.Close()
			return nil
		}
		wrong = []error{err}
	}
	for _, err := range wrong {
		var about *redisconn.TLSError
		if errors.As(err, &about) { // else the URL's fault
			found = append(found, fault{tlsSettings[about.Field], about.Err.Error()})
		}
	}
	return found
}
