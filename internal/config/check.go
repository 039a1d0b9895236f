package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// checkPin accepts "off", "auto" and a list of CPU numbers.
func checkPin(s string) (string, error) {
	if s == "off" || s == "auto" {
		return s, nil
	}
	for cpu := range strings.SplitSeq(s, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(cpu)); err != nil || n < 0 || n > 1023 {
			return "", errors.New(`must be "off", "auto" or a list of CPU numbers such as "0,2"`)
		}
	}
	return s, nil
}

// checkListenAddress accepts IP:port and localhost:port, and returns it as
// IP:port. An empty host is every address of this host.
func checkListenAddress(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil {
		return netip.AddrPort{}, errors.New(`must be address:port, such as "127.0.0.1:2525" or "[::1]:2525"`)
	}
	ip, err := listenIP(host)
	return netip.AddrPortFrom(ip, uint16(n)), err
}

func listenIP(host string) (netip.Addr, error) {
	switch {
	case host == "":
		return netip.IPv6Unspecified(), nil
	case strings.EqualFold(host, "localhost"):
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Zone() != "" {
		return ip, fmt.Errorf(`%q must be an IP address or "localhost"`, host)
	}
	return ip.Unmap(), nil
}
