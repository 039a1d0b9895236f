package sandbox

import (
	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/smtpd"
	"xoauth2-proxy/internal/sandbox/internal/store"
	"xoauth2-proxy/internal/sandbox/internal/tokend"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Names of the rooms that callers use.
type (
	// CommandRecord is one command as it came, without secrets.
	CommandRecord = smtpd.CommandRecord
	// Endpoint is one SMTP server of the sandbox.
	Endpoint = smtpd.Endpoint
	// Latency is how long an endpoint thinks.
	Latency = smtpd.Latency
	// Client is an OAuth client that the token server knows.
	Client = tokend.Client
	// TokenConfig configures the token server.
	TokenConfig = tokend.Config
	// Account is a mailbox of the provider.
	Account = mailbox.Account
	// Tenant is an organization that mailboxes belong to.
	Tenant = mailbox.Tenant
	// TenantStats is what a tenant has seen so far.
	TenantStats = mailbox.TenantStats
	// AccountStats is what an account has seen so far.
	AccountStats = mailbox.Stats
	// Peaks are the most that a mailbox had, see Config.Spans.
	Peaks = mailbox.Peaks
	// Action is what a rule does.
	Action = fault.Action
	// Phase is where in a dialog a rule applies.
	Phase = fault.Phase
	// Rule is a fault that is injected.
	Rule = fault.Rule
	// Duration is a time.Duration that JSON has as text.
	Duration = wait.Duration
	// LoadStats sums up the messages of a load generator.
	LoadStats = store.LoadStats
	// Message is one message that arrived.
	Message = store.Message
	// Recipient is one of its recipients.
	Recipient = store.Recipient
	// Range is a range of numbers.
	Range = store.Range
	// StoreConfig says what is kept of messages.
	StoreConfig = store.Config
)

// ModeDir is a mode of the store, see StoreConfig.
const ModeDir = store.ModeDir

// Header fields of a load message.
const (
	HeaderLoadID      = store.HeaderLoadID
	HeaderLoadAccount = store.HeaderLoadAccount
	HeaderLoadSum     = store.HeaderLoadSum
)

// LoadSum is the value of HeaderLoadSum for a body.
func LoadSum(body []byte) string { return store.LoadSum(body) }

// Phases of a session, see Rule.Phase.
const (
	PhaseConnect    = fault.PhaseConnect
	PhaseTLS        = fault.PhaseTLS
	PhaseBanner     = fault.PhaseBanner
	PhaseEHLO       = fault.PhaseEHLO
	PhaseStartTLS   = fault.PhaseStartTLS
	PhaseCommand    = fault.PhaseCommand
	PhaseAuth       = fault.PhaseAuth
	PhaseMail       = fault.PhaseMail
	PhaseRcpt       = fault.PhaseRcpt
	PhaseData       = fault.PhaseData
	PhaseMidContent = fault.PhaseMidContent
	PhaseAfterEOD   = fault.PhaseAfterEOD
	PhaseAfterReply = fault.PhaseAfterReply
	PhaseIdle       = fault.PhaseIdle
	PhaseRset       = fault.PhaseRset
	PhaseNoop       = fault.PhaseNoop
	PhaseQuit       = fault.PhaseQuit
	PhaseToken      = fault.PhaseToken
)

// Actions of a fault, see Rule.Action.
const (
	ActionReply            = fault.ActionReply
	ActionClose            = fault.ActionClose
	ActionCut              = fault.ActionCut
	ActionReset            = fault.ActionReset
	ActionStall            = fault.ActionStall
	ActionSlow             = fault.ActionSlow
	ActionGarbage          = fault.ActionGarbage
	ActionHuge             = fault.ActionHuge
	ActionPass             = fault.ActionPass
	ActionIgnore           = fault.ActionIgnore
	ActionDropKeyword      = fault.ActionDropKeyword
	ActionWrongCertificate = fault.ActionWrongCertificate
	ActionAcceptThenClose  = fault.ActionAcceptThenClose
	ActionAlter            = fault.ActionAlter
	ActionInvalidGrant     = fault.ActionInvalidGrant
	ActionWrongScope       = fault.ActionWrongScope
	ActionRevoke           = fault.ActionRevoke
)

// Kinds of wrong certificate, see Rule.Certificate.
const (
	CertificateOtherName = fault.CertificateOtherName
	CertificateOtherCA   = fault.CertificateOtherCA
	CertificateExpired   = fault.CertificateExpired
)

// Names of the presets.
const (
	PresetGmail   = mailbox.Gmail
	PresetOutlook = mailbox.Outlook
	PresetPlain   = smtpd.Plain
)

// SampleAccounts returns n accounts, Gmail and Outlook in turn: the first two are
// user@gmail.com and user@outlook.com, then user2@gmail.com and so on.
func SampleAccounts(n int) []Account { return mailbox.Sample(n) }

// Violations, see Stats.
const (
	ViolationEarlyTalk  = smtpd.ViolationEarlyTalk
	ViolationLineLength = smtpd.ViolationLineLength
	// ViolationTenantLimit: a message had external recipients beyond its tenant's limit.
	ViolationTenantLimit = smtpd.ViolationTenantLimit
)
