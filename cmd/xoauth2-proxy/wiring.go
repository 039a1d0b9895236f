package main

import (
	"go.uber.org/zap"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/quota"
)

// openQuota opens the counts of the day, if there is a directory for them; nil
// if there is none.
func openQuota(s *config.Settings, log *zap.Logger) (*quota.Store, error) {
	if s.StateDir == "" {
		return nil, nil
	}
	store, damaged, err := quota.Open(s.StateDir)
	if damaged != "" {
		log.Error("the counts of the day were damaged and begin anew", zap.String("kept", damaged))
	}
	return store, err
}

// adminConfig is the configuration of the admin listener, which is told the build
// and where its socket may be.
func adminConfig(s *config.Settings) admin.Config {
	c := s.Admin.Config
	c.Version, c.Revision = version, revision()
	c.Sockets, c.SocketNeeded = socketPaths(s)
	return c
}
