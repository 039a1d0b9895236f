package fault

import (
	"encoding/json"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Phase is the point of a session at which a fault strikes.
type Phase string

// Phases in the order of a session; the last one is the token endpoint's.
const (
	PhaseConnect    Phase = "connect"     // the connection was accepted, nothing sent
	PhaseTLS        Phase = "tls"         // the client sent the start of its handshake
	PhaseBanner     Phase = "banner"      // in place of the greeting
	PhaseEHLO       Phase = "ehlo"        // at EHLO or HELO, both before and after TLS
	PhaseStartTLS   Phase = "starttls"    // at STARTTLS, before its reply
	PhaseCommand    Phase = "command"     // at any command line (see Rule.Verb), before it has any effect
	PhaseAuth       Phase = "auth"        // the client sent its token
	PhaseMail       Phase = "mail"        // at MAIL
	PhaseRcpt       Phase = "rcpt"        // at each RCPT
	PhaseData       Phase = "data"        // at DATA (in place of 354), or at the first BDAT (content read)
	PhaseMidContent Phase = "mid-content" // part of the content was read
	PhaseAfterEOD   Phase = "after-eod"   // all content was read, no reply was sent
	PhaseAfterReply Phase = "after-reply" // the final reply was sent
	PhaseIdle       Phase = "idle"        // logged in, no transaction, no input
	PhaseRset       Phase = "rset"        // at RSET
	PhaseNoop       Phase = "noop"        // at NOOP
	PhaseQuit       Phase = "quit"        // at QUIT
	PhaseToken      Phase = "token"       // at the token endpoint
)

// SMTPPhases are all phases but PhaseToken.
var SMTPPhases = []Phase{PhaseConnect, PhaseTLS, PhaseBanner, PhaseEHLO, PhaseStartTLS, PhaseAuth, PhaseMail,
	PhaseRcpt, PhaseData, PhaseMidContent, PhaseAfterEOD, PhaseAfterReply, PhaseIdle, PhaseRset,
	PhaseNoop, PhaseQuit, PhaseCommand}

// Action is what a fault does.
type Action string

// Actions. All wait for Rule.Delay first.
const (
	// ActionReply answers Rule.Reply; a reply of code 421 ends the connection.
	// At phase token it answers Status, Body, Error, RetryAfter.
	ActionReply Action = "reply"
	// ActionClose ends the connection in order: TLS close_notify, FIN.
	ActionClose Action = "close"
	// ActionCut ends the connection by FIN without a close_notify.
	ActionCut Action = "cut"
	// ActionReset ends the connection by RST.
	ActionReset Action = "reset"
	// ActionStall neither reads nor writes until the peer closes; or for Rule.For,
	// and then goes on as usual.
	ActionStall Action = "stall"
	// ActionSlow goes on, but sends the reply one byte each Rule.Interval. At
	// mid-content it reads the rest in small pieces so far apart.
	ActionSlow Action = "slow"
	// ActionGarbage sends Rule.Garbage.
	ActionGarbage Action = "garbage"
	// ActionHuge sends a reply of Rule.Size bytes in many lines.
	ActionHuge Action = "huge"
	// ActionPass goes on as usual. It is for Rule.Then.
	ActionPass Action = "pass"
	// ActionIgnore reads the command, and the content of a BDAT, and never
	// answers; the session goes on.
	ActionIgnore Action = "ignore"
	// ActionDropKeyword answers EHLO without Rule.Keyword (a keyword or an
	// AUTH mechanism), which is then refused as well.
	ActionDropKeyword Action = "drop-keyword"
	// ActionWrongCertificate shows the certificate Rule.Certificate.
	ActionWrongCertificate Action = "wrong-certificate"
	// ActionAcceptThenClose is ActionClose with Rule.Accept.
	ActionAcceptThenClose Action = "accept-then-close"
	// ActionAlter, at phase token, changes the usual answer by Status, Headers,
	// Fields, Drop, Gzip and BOM.
	ActionAlter Action = "alter"
	// At phase token, ActionInvalidGrant refuses the grant as expired,
	// ActionWrongScope issues a token that does not open SMTP, and ActionRevoke
	// issues a token and revokes it at once.
	ActionInvalidGrant Action = "invalid-grant"
	ActionWrongScope   Action = "wrong-scope"
	ActionRevoke       Action = "revoke"
)

// Kinds of wrong certificate, see Rule.Certificate.
const (
	CertificateOtherName = "other-name"
	CertificateOtherCA   = "other-ca"
	CertificateExpired   = "expired"
)

// Verbs are the verbs that the SMTP server knows.
var Verbs = []string{"MAIL", "RCPT", "BDAT", "DATA", "RSET", "QUIT", "EHLO", "HELO", "STARTTLS", "AUTH", "NOOP", "VRFY", "HELP"}

// VerbUnknown stands for all verbs that are not in Verbs.
const VerbUnknown = "UNKNOWN"

// Rule is one line of a fault script. Of the rules that match an event, the first
// that is due fires. The rules after it do not count the event as seen.
type Rule struct {
	// Name finds the rule's counters. Default: "phase/action#index".
	Name string `json:"name,omitempty"`

	// These say what the rule matches; an empty field matches all. Addresses match
	// without regard to case, and "*@example.com" matches a domain.
	Endpoint  string `json:"endpoint,omitempty"`  // name of the endpoint
	Account   string `json:"account,omitempty"`   // the login; known from AUTH on and at the token endpoint
	MailFrom  string `json:"mail_from,omitempty"` // from MAIL on; "<>" is the null reverse-path
	Recipient string `json:"recipient,omitempty"` // at RCPT this recipient, later any accepted one
	Secure    string `json:"secure,omitempty"`    // "clear" or "tls": state of the connection
	Verb      string `json:"verb,omitempty"`      // at phase command, in upper case; "UNKNOWN" is any verb not in Verbs
	// Connection is the number of the connection, from 1, counted over all
	// endpoints since the script was set.
	Connection int64 `json:"connection,omitempty"`

	// These choose among the matching events: the Nth only, or every Every-th, or
	// the Since-th and all that follow, and at most Times times. With Per
	// "connection" or "account", each has a count of its own for Nth, Every and
	// Since.
	Nth   int64  `json:"nth,omitempty"`
	Every int64  `json:"every,omitempty"`
	Since int64  `json:"since,omitempty"`
	Times int64  `json:"times,omitempty"`
	Per   string `json:"per,omitempty"`

	Phase  Phase  `json:"phase"`
	Action Action `json:"action"`

	// Delay passes before the action. At phase idle: how long the connection must
	// have been idle.
	Delay wait.Duration `json:"delay,omitempty"`
	// Accept lets the command take effect before the action: the message is
	// stored, the login done, but its own reply is not sent.
	Accept bool `json:"accept,omitempty"`
	// Reply is code and text; '\n' starts a further line.
	Reply string `json:"reply,omitempty"`
	// Then ends the connection after the reply: "close", "cut" or "reset". With
	// phase data it does so after the 354, or after the reply to the first BDAT.
	Then Action `json:"then,omitempty"`
	// For bounds a stall. Default: until the peer closes.
	For wait.Duration `json:"for,omitempty"`
	// Interval between the bytes of a slow reply. Default: 10ms.
	Interval wait.Duration `json:"interval,omitempty"`
	// Size of a huge reply in bytes. Default: 1 MiB.
	Size int `json:"size,omitempty"`
	// After is how many bytes of content are read before a fault at
	// mid-content. Default: half of a BDAT chunk, the first piece of DATA.
	After int64 `json:"after,omitempty"`
	// Keyword is for ActionDropKeyword, Certificate for ActionWrongCertificate.
	Keyword     string `json:"keyword,omitempty"`
	Certificate string `json:"certificate,omitempty"`

	// For ActionReply at phase token: the HTTP status (default 400 with Error, else
	// 500), the body, the OAuth2 error code to make a body of, and Retry-After as on
	// the wire.
	Status     int    `json:"status,omitempty"`
	Body       string `json:"body,omitempty"`
	Error      string `json:"error,omitempty"`
	RetryAfter string `json:"retry_after,omitempty"`
	// At phase token these change the answer of any action that sends a whole one.
	// Fields are set in the JSON object as they are written here (3599.0 stays
	// 3599.0), Drop are left out of it. BOM puts a byte order mark before the body,
	// and Gzip compresses it. Headers are set last; an empty one is not sent.
	Fields  map[string]json.RawMessage `json:"fields,omitempty"`
	Drop    []string                   `json:"drop,omitempty"`
	BOM     bool                       `json:"bom,omitempty"`
	Gzip    bool                       `json:"gzip,omitempty"`
	Headers map[string]string          `json:"headers,omitempty"`
}

var smtpActions = []Action{ActionReply, ActionClose, ActionCut, ActionReset, ActionStall, ActionSlow, ActionGarbage,
	ActionHuge, ActionPass, ActionIgnore, ActionDropKeyword, ActionWrongCertificate, ActionAcceptThenClose}

var tokenActions = []Action{ActionReply, ActionClose, ActionCut, ActionReset, ActionStall, ActionSlow, ActionGarbage,
	ActionHuge, ActionAlter, ActionInvalidGrant, ActionWrongScope, ActionRevoke}
