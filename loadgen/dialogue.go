package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// dialogue is how sessions speak, the same for all connections of a run.
type dialogue struct {
	target   string
	tlsMode  string      // "none", "starttls" or "implicit"
	tls      *tls.Config // for the latter two
	auth     string      // "none", "plain" or "login"
	password string
	pipeline choice // of commands (RFC 2920)
	bdat     choice // instead of DATA (RFC 3030)
	rcpts    int    // recipients of each message
	timeout  time.Duration
	// goodbyes: the server may end connections between messages, with a 421. A turn could
	// miss that, so there are none.
	goodbyes bool
}

// choice says whether an extension is used.
type choice string

const (
	choiceAuto choice = "auto" // if it is offered
	choiceOn   choice = "on"   // even if it is not
	choiceOff  choice = "off"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *choice) UnmarshalText(text []byte) error {
	*c = choice(text)
	if *c != choiceAuto && *c != choiceOn && *c != choiceOff {
		return fmt.Errorf("%q is none of auto, on, off", text)
	}
	return nil
}

// use resolves c.
func (c choice) use(offered bool) bool {
	return c == choiceOn || c == choiceAuto && offered
}

// phaseName says how far a session or a message came.
type phaseName string

const (
	phaseConnect  phaseName = "connect"
	phaseTLS      phaseName = "tls"
	phaseGreeting phaseName = "greeting"
	phaseEHLO     phaseName = "ehlo"
	phaseAUTH     phaseName = "auth"
	phaseMAIL     phaseName = "mail"
	phaseRCPT     phaseName = "rcpt"
	phaseDATA     phaseName = "data"
	phaseFinal    phaseName = "end of data"
)

// An smtpError is a refusal by the server, or the connection's failure if the
// code is 0.
type smtpError struct {
	phase phaseName
	code  int
	text  string
}

// Error implements error.
func (e *smtpError) Error() string {
	return string(e.phase) + ": " + e.text
}

// errReply is returned for octets that are no SMTP reply.
var errReply = errors.New("not an SMTP reply")
