package mailbox

import "xoauth2-proxy/internal/sandbox/internal/wait"

// Limits of an endpoint. In a configuration 0 keeps the limit of the preset
// and a negative value removes it.
type Limits struct {
	// Connections is how many authenticated connections a mailbox may hold.
	Connections int `json:"connections"`
	// Recipients is how many one message may have.
	Recipients int `json:"recipients"`
	// MessagesPerConnection is how many messages a connection may carry; after them
	// MAIL is refused.
	MessagesPerConnection int `json:"messages_per_connection"`
	// MessagesPerMinute and MessagesPerDay are per mailbox, over a moving window.
	MessagesPerMinute int `json:"messages_per_minute"`
	MessagesPerDay    int `json:"messages_per_day"`
	// RecipientsPerDay is per mailbox, over a moving window.
	RecipientsPerDay int `json:"recipients_per_day"`
	// LoginsPerMinute is per mailbox, over a moving window.
	LoginsPerMinute int `json:"logins_per_minute"`
	// CommandLine is how long a command line may be, in octets with its CRLF. It
	// holds for AUTH with an initial response too; a line that answers a 334 may
	// have 12,288. Without it, AUTH may have 12,288 too, and other commands 2,048.
	// It is in force even when limits are off.
	CommandLine int `json:"command_line"`
	// IdleTimeout ends a connection that sends no command for so long. It is in
	// force even when limits are off.
	IdleTimeout wait.Duration `json:"idle_timeout"`
}

// Names of the limits that a mailbox keeps, as in Limits.
const (
	LimitConnections = "connections"
	LimitLogins      = "logins_per_minute"
	LimitRate        = "messages_per_minute"
	LimitMessages    = "messages_per_day"
	LimitRecipients  = "recipients_per_day"
)

// Merge returns l with the values of over that are not 0; a negative one becomes
// 0, no limit.
func (l Limits) Merge(over Limits) Limits {
	pick := func(v *int, o int) {
		if o != 0 {
			*v = max(o, 0)
		}
	}
	pick(&l.Connections, over.Connections)
	pick(&l.Recipients, over.Recipients)
	pick(&l.MessagesPerConnection, over.MessagesPerConnection)
	pick(&l.CommandLine, over.CommandLine)
	pick(&l.MessagesPerMinute, over.MessagesPerMinute)
	pick(&l.MessagesPerDay, over.MessagesPerDay)
	pick(&l.RecipientsPerDay, over.RecipientsPerDay)
	pick(&l.LoginsPerMinute, over.LoginsPerMinute)
	if over.IdleTimeout != 0 {
		l.IdleTimeout = max(over.IdleTimeout, 0)
	}
	return l
}

// Off returns the limits that are in force even when limits are off: those that
// are no matter of load.
func (l Limits) Off() Limits {
	return Limits{CommandLine: l.CommandLine, IdleTimeout: l.IdleTimeout}
}
