package hint

// None: there is nothing to explain.
const None ID = 0

// The entries. What each one means stands in the table of its group.
const (
	// What clients do.
	BareNewline ID = iota + 1
	LineTooLong
	UnknownCommand
	BadArguments
	BadSenderAddress
	BadRecipientAddress
	UnknownParameter
	SMTPUTF8Missing
	CommandNotImplemented
	BadSequence
	HelloFirst
	NoRecipients
	TooManyErrors
	PipelinedSTARTTLS
	AuthRequired
	STARTTLSRequired
	UnknownMechanism
	AuthCancelled
	AuthMalformed
	ClientLoginRefused
	TooManyFailedLogins
	ClientAddressNotAllowed
	HTTPClient
	MessageTooBig
	BareLF
	BareCR
	ConversionRequired
	SMTPUTF8Unsupported
	Body8BitUnsupported
	BinaryMIMEUnsupported
	TooManyRecipients
	NextTransaction
	MessagesPerConnection
	ClientTimeout
	ContentTooSlow
	TooMuchInput
	NoCRLF
	ClientGone
	SenderNotListed
	FromNotListed
	FromUnclear

	// This proxy and its host.
	LoginDeferred
	MemoryUsedUp
	TooManyConnections
	LocalError
	ProxyStuck
	ShuttingDown
	AccountRemoved
	AccountPaused
	AccountEntryWrong
	AccountBusy
	QueueFull
	TransactionExpired
	LimitMessagesPerMinute
	LimitMessagesPerHour
	LimitMessagesPerDay
	LimitRecipientsPerDay
	LimitLoginsPerMinute
	LimitTenantRecipientsPerDay
	ShareOutage

	// The way to the provider.
	CannotConnect
	ConnectionLost
	DNSFailed
	TLSFailed
	ProtocolError
	SourceNotOfHost
	SourceFamily
	IPv6Off
	NoIPv6
	EnvelopeRefusedNow
	BDATRefused

	// What an account is stopped by.
	AccountHeld
	AccountQuota
	AccountThrottled

	// Refusals of a login by the provider.
	LoginRefused
	LoginFailing
	LoginForm
	SMTPAuthDisabled
	SMTPAuthDisabledTenant
	SMTPAuthDisabledMailbox
	SecurityDefaults
	MailboxLocked
	LoginPolicy
	PasswordLogin
	TokenNotForMailbox
	TokenNotForSMTP
	TokenNearExpiry
	TokenNotGoogles
	TokenLacksGoogleScope
	TokenLacksScope
	TokenExpired
	TokenOfOtherUser
	TokenTooLong
	BrowserLogin
	TooManyLogins
	TooManyConnectionsOrLogins
	EHLONameRefused
	ConnectionRefused

	// Refusals of a sender, a recipient or a message by the provider.
	SenderBlocked
	SenderBanned
	TenantBlocked
	TenantAddressBlocked
	MailboxBarred
	MailboxFull
	DailyQuota
	TenantQuota
	ConnectionUsedUp
	SendsTooFast
	RecipientNotAccepted
	RecipientMailboxFull
	RecipientBusy
	HELONameRefused
	SenderRefusedByRecipient
	AddressRangeBlocked
	DMARCFailed
	DomainNotRegistered
	SenderDomainMissing
	SenderRefused
	SenderDeferred
	RecipientRefused
	RecipientDeferred
	MessageRefused
	MessageDeferred

	// Access tokens.
	RefreshTokenRefused
	RefreshTokenInvalid
	RefreshTokenExpired
	RefreshTokenUnused
	RefreshTokenMissing
	SessionsRevoked
	MFARequired
	MFAEnrolment
	UserDisabled
	UserUnknown
	ConditionalAccess
	ConsentMissing
	InteractionRequired
	SessionControl
	AdminPolicy
	InternalClient
	ClientRefused
	ClientDeleted
	ClientDisabled
	ClientUnknown
	ClientCredentialsRefused
	ClientSecretWrong
	ClientSecretExpired
	ClientSecretNeeded
	ClientSecretUnwanted
	ClientCertificateRefused
	ClientAssertionTime
	ClientWithoutSecret
	ClientKeys
	ServicePrincipalMissing
	TenantUnknown
	TenantOfClient
	PersonalAccountsOnly
	ScopeMissing
	ScopeRefused
	TokenRequestWrong
	TokenRequestRefused
	TokenLoop
	TokenEndpointDown
	TokenEndpointBusy
	TokenURLRedirects
	TokenURLWrong
	NoTokenEndpoint
	NotTokenEndpoint
	TokenCAMissing
	TokenCAFile
	TokenProxyURL
	TokenProxyAuth
	TokenProxyRefuses
	TokenNoIPv6
	FlowUnknown
	TokenStoreUnreadable
	TokenShareAway
	TooManyMailboxes
	AccountChanged
	AppOnlyRefused
	AppOnlyScope
	ServiceAccountRefused
	ServiceAccountKey
	DomainWideDelegation
	TokenServiceRefusesAccount
	TokenServiceRefusesProxy
	TokenCommandFailed
	TokenCommandCannotStart

	// Consent, in a browser or by a code.
	ConsentRefused
	ConsentDenied
	ConsentNeedsAdmin
	ConsentTooLate
	ConsentCodeInvalid
	ConsentCodeUsed
	ConsentCodeOfOther
	ConsentCodeOld
	ConsentCodeWrong
	ConsentCodeForeign
	ConsentRedirect
	ConsentRedirectDiffers
	ConsentPublicClient
	ConsentPolicy
	ConsentRefusedOtherwise
	ConsentURLs
	ConsentNotOffline
	ConsentNoDeviceCode

	// NumIDs is how many IDs there are, None included.
	NumIDs
)
