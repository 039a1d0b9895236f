package config

import (
	"errors"
	"fmt"
	"net/netip"

	"xoauth2-proxy/server"
)

// Flags are the settings of the command line. An empty or nil one is not given.
type Flags struct {
	// Host and Port replace host and port of the first listener; port 0 picks a free
	// one.
	Host string
	Port *int
	// AdminHost and AdminPort replace host and port of admin.address.
	AdminHost string
	AdminPort *int
	// GlobalConcurrency replaces upstream.max_transactions; 0 is no cap.
	GlobalConcurrency *int
	// DryRun does everything up to the login at the provider, and sends nothing.
	DryRun bool
}

// Override applies the command line, which wins over the file. The error joins
// all problems; then s is not changed.
func (s *Settings) Override(flags Flags) error {
	var errs []error
	first := s.Server.Listeners[0]
	if flags.Host != "" || flags.Port != nil {
		address, err := replace(first.Address, flags.Host, flags.Port)
		if err == nil {
			first.Address = address.String()
			err = checkExposure(first)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--host, --port: %w", err))
		}
	}
	admin, err := replace(s.Admin.Address, flags.AdminHost, flags.AdminPort)
	if err == nil && s.Admin.Pprof && !admin.Addr().IsLoopback() {
		err = errors.New(pprofBeyondLoopback)
	}
	if err == nil && s.Admin.Token.IsZero() && !admin.Addr().IsLoopback() {
		err = errors.New(adminNeedsToken)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("--admin-host, --admin-port: %w", err))
	}
	if n := flags.GlobalConcurrency; n != nil && *n < 0 {
		errs = append(errs, fmt.Errorf("--global-concurrency: %d must be positive, or 0 for no cap", *n))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	s.Server.Listeners = append([]server.Listener{first}, s.Server.Listeners[1:]...)
	s.Admin.Address = admin.String()
	if flags.GlobalConcurrency != nil {
		s.Upstream.GlobalConcurrency = *flags.GlobalConcurrency
	}
	s.Upstream.DryRun = s.Upstream.DryRun || flags.DryRun
	return nil
}

// replace returns address with the host and the port that are given.
func replace(address, host string, port *int) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return ap, err
	}
	ip := ap.Addr()
	if host != "" {
		if ip, err = listenIP(host); err != nil {
			return ap, err
		}
	}
	if port == nil {
		return netip.AddrPortFrom(ip, ap.Port()), nil
	}
	if *port < 0 || *port > 65535 {
		return ap, fmt.Errorf("port %d is not in 0..65535", *port)
	}
	return netip.AddrPortFrom(ip, uint16(*port)), nil
}
