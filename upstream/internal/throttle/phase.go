package throttle

import "fmt"

// Phase is a step on the way of a message to the provider.
type Phase uint8

// The phases, in their order.
const (
	PhaseQueue    Phase = iota // waiting for a connection
	PhaseToken                 // getting an access token
	PhaseConnect               // DNS and TCP
	PhaseTLS                   // STARTTLS and the TLS handshake
	PhaseGreeting              // waiting for the greeting
	PhaseEHLO                  // EHLO
	PhaseAuth                  // AUTH
	PhaseMail                  // MAIL
	PhaseRcpt                  // RCPT
	PhaseData                  // DATA
	PhaseContent               // sending content; its end has not left yet
	PhaseFinal                 // the end of the content may have left
	numPhases
)

var phaseNames = [numPhases]string{
	"queue", "token", "connect", "TLS", "greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "content", "final reply",
}

// String names the phase as it appears in logs and replies.
func (p Phase) String() string {
	if p < numPhases {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}
