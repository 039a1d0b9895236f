package main

import (
	"fmt"
	"os"
	"strings"

	"xoauth2-proxy/internal/oneline"
)

// environmentPrefix begins the names of our environment variables.
const environmentPrefix = "XOAUTH2_"

// tidyEnvironment takes variables away that are not meant as settings: empty ones, and the
// links that Kubernetes makes in every container for a service named xoauth2
// (XOAUTH2_PORT=tcp://10.0.0.1:2525).
func tidyEnvironment() {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, environmentPrefix) {
			continue
		}
		switch scheme, _, link := strings.Cut(value, "://"); {
		case value == "":
			_ = os.Unsetenv(name) // the name is one that is set
		case link && (scheme == "tcp" || scheme == "udp" || scheme == "sctp"):
			_ = os.Unsetenv(name)
			fmt.Fprintf(os.Stderr, "xoauth2-proxy: warning: %s=%s is a link to a service of Kubernetes, and is ignored\n", name, oneline.Text(value, ' '))
		}
	}
}
