package main

import (
	"fmt"

	"github.com/beeline-ws/beeline/router"
)

// readClusterKey puts what BEELINE_CLUSTER_KEY_FILE holds, if it is set, in the place of
// BEELINE_CLUSTER_KEY.
func (c *config) readClusterKey() error {
	return settingFile{
		path: c.ClusterKeyFile, setting: "BEELINE_CLUSTER_KEY", set: c.ClusterKey != "",
		holds: router.ClusterKeyForm,
		check: func(text string) error {
			_, err := router.ParseClusterKeys(text)
			return err
		},
	}.read(&c.ClusterKey)
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
