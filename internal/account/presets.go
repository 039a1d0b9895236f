package account

import "time"

// Values that the providers do not publish, chosen with care and used where a
// preset has nothing better.
const (
	// messagesPerConnection retires connections before a provider ends them.
	messagesPerConnection = 100
	// idleTimeout is well below the shortest idle timeout seen upstream (five
	// minutes), so that reuse does not race with the provider's close.
	idleTimeout = 60 * time.Second
	// acquireTimeout is the original's connection_acquire_timeout.
	acquireTimeout = 5 * time.Second
	// loginsPerMinute is far above what reuse needs and far below what brings
	// "454 4.7.0 Too many login attempts".
	loginsPerMinute = 30
	// idleReason is why no configuration may raise idleTimeout.
	idleReason = "reuse must not race with the provider's own idle timeout, which may be as short as minutes"
)

const day = 24 * time.Hour

// retryPolicy is the original's, for requests to the token endpoint.
var retryPolicy = RetryPolicy{MaxAttempts: 2, BackoffFactor: 2, MaxDelay: 30 * time.Second, Jitter: true}

// Gmail returns the preset for Gmail and Google Workspace.
func Gmail() Provider {
	p := Provider{
		Name:         "gmail",
		SMTP:         Endpoint{"smtp.gmail.com", 587, TLSStartTLS},
		TokenURL:     "https://oauth2.googleapis.com/token",
		AuthURL:      "https://accounts.google.com/o/oauth2/v2/auth",
		ConsentScope: "https://mail.google.com/", // not to be had by device code
		AppScope:     "https://mail.google.com/",
		KeepAlive:    60 * day,
		// "Not been used for six months", which are 181 days at least:
		// https://developers.google.com/identity/protocols/oauth2#expiration
		RefreshIdle:       181 * day,
		NeedsClientSecret: true,
		Extensions:        Ext8BITMIME | ExtSMTPUTF8, // no DSN, no BINARYMIME in the EHLO reply
		RefreshMargin:     5 * time.Minute,
		Retry:             retryPolicy,
		Limits: Limits{
			// Not published; about 16 sessions are reported before 421.
			MaxConnections:           10,
			MaxMessagesPerConnection: messagesPerConnection,
			// Per message over SMTP: https://support.google.com/a/answer/166852
			MaxRecipients:    100,
			ConnectionMaxAge: 10 * time.Minute,
			IdleTimeout:      idleTimeout,
			AcquireTimeout:   acquireTimeout,
			// Workspace, rolling 24 hours, same page. Free accounts have about 500.
			MessagesPerDay:   2000,
			RecipientsPerDay: 10000,
			LoginsPerMinute:  loginsPerMinute,
			// SIZE in the EHLO reply: 25 MB of content, encoded.
			MaxMessageSize: 35882577,
		},
	}
	l := p.Limits
	p.Ceilings = Ceilings{
		MaxConnections:   Ceiling[int]{l.MaxConnections, "Gmail answers 421 to more sessions of one account than about 16, so the proxy stays below"},
		MaxRecipients:    Ceiling[int]{l.MaxRecipients, "Gmail takes 100 recipients per message over SMTP"},
		ConnectionMaxAge: Ceiling[time.Duration]{l.ConnectionMaxAge, "Gmail ends long sessions at a time it does not publish"},
		IdleTimeout:      Ceiling[time.Duration]{l.IdleTimeout, idleReason},
		MessagesPerDay:   Ceiling[int]{l.MessagesPerDay, "Google Workspace takes 2,000 messages in 24 hours and then blocks the account"},
		RecipientsPerDay: Ceiling[int]{l.RecipientsPerDay, "Google Workspace takes 10,000 recipients in 24 hours and then blocks the account"},
		MaxMessageSize:   Ceiling[int64]{l.MaxMessageSize, "Gmail announces SIZE 35882577"},
	}
	return p
}

// Outlook returns the preset for Microsoft 365 and Outlook.com.
func Outlook() Provider {
	p := Provider{
		Name:         "outlook",
		SMTP:         Endpoint{"smtp.office365.com", 587, TLSStartTLS},
		TokenURL:     "https://login.microsoftonline.com/common/oauth2/v2.0/token",
		AuthURL:      "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
		DeviceURL:    "https://login.microsoftonline.com/common/oauth2/v2.0/devicecode",
		ConsentScope: "https://outlook.office.com/SMTP.Send offline_access",
		AppScope:     "https://outlook.office365.com/.default",
		KeepAlive:    30 * day,
		// https://learn.microsoft.com/entra/identity-platform/refresh-tokens; those of
		// single-page applications end after 24 hours, which answers tell.
		RefreshIdle: 90 * day,
		// Mailboxes of persons: the endpoint that their refresh tokens were
		// issued by.
		PersonalTokenURL: "https://login.live.com/oauth20_token.srf",
		PersonalDomains:  []string{"hotmail.com", "outlook.com", "live.com", "msn.com"},
		// Refresh tokens of public clients, which most are, are refused when a
		// secret comes with them.
		OmitClientSecret: true,
		Extensions:       Ext8BITMIME | ExtSMTPUTF8 | ExtDSN | ExtBINARYMIME,
		// The submission endpoint refuses tokens that are about to expire (501
		// 5.5.127), at some hosts ten minutes before.
		RefreshMargin:    10 * time.Minute,
		MinRefreshMargin: 10 * time.Minute,
		Retry:            retryPolicy,
		Limits: Limits{
			// The fourth connection of a mailbox gets 432 4.3.2:
			// https://learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements
			MaxConnections:           3,
			MaxMessagesPerConnection: messagesPerConnection,
			// The mailbox setting RecipientLimits of Exchange Online ("Customizable
			// Recipient Limits in Office 365", Exchange team blog): 500 unless the
			// administrator chose another value, which may be up to 1,000.
			MaxRecipients: 500,
			// Sessions are ended after about 20 minutes in all.
			ConnectionMaxAge: 10 * time.Minute,
			IdleTimeout:      idleTimeout,
			AcquireTimeout:   acquireTimeout,
			// Both on the page above; more than 30 a minute are delayed, more
			// than 10,000 a day refused.
			MessagesPerMinute: 30,
			RecipientsPerDay:  10000,
			LoginsPerMinute:   loginsPerMinute,
			// By report; not on the page above.
			CountRefused: true,
			// SIZE in the EHLO reply.
			MaxMessageSize: 157286400,
		},
	}
	l := p.Limits
	p.Ceilings = Ceilings{
		MaxConnections:    Ceiling[int]{l.MaxConnections, "Microsoft refuses the fourth connection of a mailbox with 432 4.3.2"},
		MaxRecipients:     Ceiling[int]{1000, "Microsoft takes at most 1,000 recipients per message"},
		ConnectionMaxAge:  Ceiling[time.Duration]{15 * time.Minute, "Microsoft ends a session after about 20 minutes in all"},
		IdleTimeout:       Ceiling[time.Duration]{l.IdleTimeout, idleReason},
		MessagesPerMinute: Ceiling[int]{l.MessagesPerMinute, "Microsoft takes 30 messages a minute from a mailbox and delays the rest"},
		RecipientsPerDay:  Ceiling[int]{l.RecipientsPerDay, "Microsoft takes 10,000 recipients a day from a mailbox"},
		MaxMessageSize:    Ceiling[int64]{l.MaxMessageSize, "Microsoft announces SIZE 157286400"},
	}
	return p
}

// Clouds returns the presets of Microsoft's national clouds: like Outlook, with
// sign-in and submission of their own and without mailboxes of persons.
func Clouds() []Provider {
	cloud := func(name, login, smtp, resource string) Provider {
		p := Outlook()
		p.Name, p.SMTP.Host = name, smtp
		p.PersonalTokenURL, p.PersonalDomains = "", nil
		p.TokenURL = "https://" + login + "/common/oauth2/v2.0/token"
		p.AuthURL = "https://" + login + "/common/oauth2/v2.0/authorize"
		p.DeviceURL = "https://" + login + "/common/oauth2/v2.0/devicecode"
		p.ConsentScope = "https://" + resource + "/SMTP.Send offline_access"
		p.AppScope = "https://" + resource + "/.default"
		return p
	}
	const us, cn = "login.microsoftonline.us", "login.partner.microsoftonline.cn"
	return []Provider{
		cloud("outlook-usgov", us, "smtp.office365.us", "outlook.office365.us"),
		cloud("outlook-usdod", us, "outlook-dod.office365.us", "outlook-dod.office365.us"),
		cloud("outlook-china", cn, "smtp.partner.outlook.cn", "partner.outlook.cn"),
	}
}

// Default returns the starting values for a provider that is known by
// configuration only. It has no endpoint, no token URL and no ceilings; its
// limits are those that every provider known to us bears.
func Default() Provider {
	return Provider{
		Name:          "default",
		Extensions:    ExtensionsUnknown,
		RefreshMargin: 5 * time.Minute,
		Retry:         retryPolicy,
		Limits: Limits{
			MaxConnections:           3,
			MaxMessagesPerConnection: messagesPerConnection,
			MaxRecipients:            100,
			ConnectionMaxAge:         10 * time.Minute,
			IdleTimeout:              idleTimeout,
			AcquireTimeout:           acquireTimeout,
			LoginsPerMinute:          loginsPerMinute,
			MaxMessageSize:           35882577,
		},
	}
}
