package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/beeline-ws/beeline/router"
)

// maxKeyFile is how much of BEELINE_CLUSTER_KEY_FILE is read, in bytes: more than two
// keys have.
const maxKeyFile = 4 << 10

// readClusterKey puts what BEELINE_CLUSTER_KEY_FILE holds, if it is set, in the place of
// BEELINE_CLUSTER_KEY.
func (c *config) readClusterKey() error {
	switch {
	case c.ClusterKeyFile == "":
		return nil
	case c.ClusterKey != "":
		return fmt.Errorf("is %q while BEELINE_CLUSTER_KEY is set; allowed: one of the two", c.ClusterKeyFile)
	}
	text, err := readStart(c.ClusterKeyFile)
	if err == nil {
		_, err = router.ParseClusterKeys(text)
	}
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("is %q, which can't be used: %w; allowed: a file that holds %s", c.ClusterKeyFile, err, router.ClusterKeyForm)
	}
	c.ClusterKey = text
	return nil
}

// readStart returns the first maxKeyFile bytes of a file.
func readStart(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	return string(b), err
}

// checkClusterKey never repeats the key.
func checkClusterKey(text string) error {
	if text == "" {
		return nil
	}
	if _, err := router.ParseClusterKeys(text); err != nil {
		return fmt.Errorf("can't be used: %w; allowed: %s", err, router.ClusterKeyForm)
	}
	return nil
}

// clusterKeys are the cluster's keys, which were checked when the settings were read.
func (c *config) clusterKeys() []router.ClusterKey {
	keys, err := router.ParseClusterKeys(c.ClusterKey)
	if err != nil {
		return nil // none is set
	}
	return keys
}
