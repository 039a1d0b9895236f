package dial

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// hostNamePatience is how long HostName may ask for the name.
const hostNamePatience = time.Second

// HostName returns the fully qualified name of this host, for EHLO (RFC 5321 section
// 4.1.4): the system's name if it has a domain, or else the name with a domain that its
// addresses have. It is empty if there is none. It asks once, for a second at most.
var HostName = sync.OnceValue(func() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), hostNamePatience)
	defer cancel()
	return qualified(ctx, name, net.DefaultResolver)
})

// names is the part of net.Resolver that qualified needs.
type names interface {
	LookupHost(ctx context.Context, name string) (addrs []string, err error)
	LookupAddr(ctx context.Context, addr string) (names []string, err error)
}

// qualified is HostName of a host that the system gives that name.
func qualified(ctx context.Context, name string, from names) string {
	if name = strings.TrimSuffix(name, "."); strings.Contains(name, ".") || name == "" {
		return name
	}
	addrs, err := from.LookupHost(ctx, name)
	if err != nil {
		return ""
	}
	for _, addr := range addrs {
		all, err := from.LookupAddr(ctx, addr)
		if err != nil {
			continue
		}
		for _, full := range all {
			full = strings.TrimSuffix(full, ".")
			if len(full) > len(name) && full[len(name)] == '.' && strings.EqualFold(full[:len(name)], name) {
				return full
			}
		}
	}
	return ""
}
