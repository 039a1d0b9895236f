package hint

const (
	support    = "only Microsoft's support can lift this block"
	quotaOver  = "nothing to do: the quota comes back within 24 hours"
	lookAt     = "look at the text of the reply"
	howSupport = "https://admin.microsoft.com: Help and support, with the text of the refusal."
	howQuota   = "The proxy tries the account again after an hour, then at longer intervals, and the client is told 452. Give the account limits that keep it below: providers.NAME.rate_limiting."
)

var refusalEntries = map[ID]entry{
	SenderBlocked: {"sender-blocked", "Microsoft has blocked the sender for outbound spam",
		"an administrator of the tenant has to unblock the sender at https://security.microsoft.com/restrictedentities, after the cause is removed",
		"https://security.microsoft.com/restrictedentities: the user, Unblock. Then `POST /admin/accounts/EMAIL/resume`."},
	SenderBanned:         {"sender-banned", "Microsoft has banned the sender", support, howSupport},
	TenantBlocked:        {"tenant-blocked", "Microsoft has blocked the whole tenant for outbound spam", support, howSupport},
	TenantAddressBlocked: {"tenant-address-blocked", "Microsoft does not take mail of this tenant from this host's address", support, howSupport},
	MailboxBarred: {"mailbox-barred", "Microsoft has barred the mailbox from sending, because of repeated errors", "remove the cause; each further error prolongs the bar",
		"The last digits say which errors: 251 mailbox full, 252 sending as others (`Add-RecipientPermission -AccessRights SendAs`), 253 no licence, 254 too many recipients, 255 invalid recipients."},
	MailboxFull: {"mailbox-full", "the account's own mailbox is full, for example of copies of what it sent", "make room in the mailbox",
		"Exchange Online PowerShell: `Get-MailboxStatistics -Identity EMAIL`; `Set-Mailbox -Identity EMAIL -MessageCopyForSendAsEnabled $false -MessageCopyForSMTPClientSubmissionEnabled $false` stops the copies."},
	DailyQuota:  {"daily-quota", "the account's messages or recipients of a day are used up at the provider", quotaOver, howQuota},
	TenantQuota: {"tenant-quota", "the tenant's external recipients of a day are used up at Microsoft", quotaOver, "The limit of a tenant is 500 times its licences to the power of 0.7, plus 9,500 external recipients in 24 hours. https://admin.exchange.microsoft.com: Reports, Mail flow, Tenant outbound external recipients."},
	ConnectionUsedUp: {"connection-used-up", "the provider ends a connection that has carried enough, or was idle for too long",
		"nothing to do: the message is sent over another connection", ""},
	SendsTooFast: {"sends-too-fast", "the account sends too fast, or over too many connections, or the provider is busy", tooMuch, howTooMuch},
	RecipientNotAccepted: {"recipient-not-accepted", "the provider does not let mail go to this recipient", "take the recipient off the list, or ask the recipient's administrator",
		""},
	RecipientMailboxFull: {"recipient-mailbox-full", "a recipient's mailbox is full", "send it later, or take the recipient off the list", ""},
	RecipientBusy: {"recipient-busy", "the recipient gets mail too fast, or its server asks for another try", "nothing to do: the client tries again",
		""},
	HELONameRefused: {"helo-name-refused", "Microsoft refuses the name in the proxy's EHLO", "upstream.ehlo_name sets the name in EHLO: the fully qualified name of this host, as DNS has it", "`hostname -f`"},
	SenderRefusedByRecipient: {"sender-refused-by-recipient", "the recipient's organisation refuses mail of this sender",
		"ask the recipient's administrator, or take the recipient off the list", ""},
	AddressRangeBlocked: {"address-range-blocked", "this host's address range sends too much to Microsoft", "nothing to do: it passes by itself; send less from this range", ""},
	DMARCFailed: {"dmarc-failed", "the domain in From has a DMARC policy, and the message passes neither SPF nor DKIM for it",
		"send with a From address of the account's own domain, or set up SPF and DKIM for the domain", "`dig TXT _dmarc.DOMAIN`; https://security.microsoft.com/dkimv2 for the tenant's own domains."},
	DomainNotRegistered: {"domain-not-registered", "the domain in From is not one of the tenant", "add the domain to the tenant, or send with a From address of one of its domains",
		"https://admin.microsoft.com: Settings, Domains."},
	SenderDomainMissing: {"sender-domain-missing", "the domain of the envelope sender does not exist in DNS", "correct the envelope sender, or register its domain", "`dig MX DOMAIN`"},
	SenderRefused: {"sender-refused", "the provider refuses the envelope sender", lookAt + "; the account may have to have the right to send as this address",
		"Microsoft: `Add-RecipientPermission -Identity ADDRESS -Trustee EMAIL -AccessRights SendAs`. Google: Gmail, Settings, Accounts, Send mail as."},
	SenderDeferred:    {"sender-deferred", "the provider does not take mail of the envelope sender for now", "nothing to do: the client tries again", ""},
	RecipientRefused:  {"recipient-refused", "the provider refuses the recipient", lookAt + "; take an address that does not exist off the list", ""},
	RecipientDeferred: {"recipient-deferred", "the provider does not take the recipient for now", "nothing to do: the client tries again", ""},
	MessageRefused: {"message-refused", "the provider refuses the message itself", lookAt + ": most often it is about size, content, attachments or the From header",
		"https://support.google.com/a/answer/3726730 and https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online/non-delivery-reports-in-exchange-online list the codes."},
	MessageDeferred: {"message-deferred", "the provider does not take the message for now", "nothing to do: the client tries again", ""},
}
