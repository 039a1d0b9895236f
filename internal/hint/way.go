package hint

var wayEntries = map[ID]entry{
	CannotConnect: {"cannot-connect", "no connection to the provider's server can be made, or it failed so often that it is left alone for some seconds",
		"check that this host may connect to the provider's host and port", "`nc -vz smtp.gmail.com 587`, `nc -vz smtp.office365.com 587`. Many hosting companies block these ports until they are asked."},
	ConnectionLost: {"connection-lost", "the connection to the provider broke, or the provider was silent for too long; after the end of data the message may have been taken",
		"nothing to do if it is rare; else look at the network, firewalls and NAT between this host and the provider", ""},
	DNSFailed: {"dns-failed", "the provider's host name has no address", "check the host name in the configuration, and DNS on this host", "`getent ahosts smtp.gmail.com`; providers.NAME.smtp_host."},
	TLSFailed: {"tls-failed", "the provider's certificate is not trusted, or the TLS handshake failed", "check what answers at that address; if the server has a private certificate authority, name it as upstream.ca_file",
		"`openssl s_client -starttls smtp -connect smtp.office365.com:587`. A firewall that opens TLS shows its own certificate there."},
	ProtocolError: {"protocol-error", "the provider's replies do not fit the commands that it was sent", "look at the log; if it repeats, have the proxy do without the extension that it is about",
		"providers.NAME.avoid, for example [\"PIPELINING\"] or [\"CHUNKING\"]."},
	SourceNotOfHost: {"source-not-of-host", "the account's ip_address is not an address of this host, or has no way to the provider",
		"give the address to an interface of this host, or change the ip_address of the account or take it out", "`ip address show`, `ip route get 142.250.0.1 from ADDRESS`"},
	SourceFamily: {"source-family", "the account's ip_address is of IPv4 and the host has only IPv6 addresses, or the other way round",
		"change the ip_address of the account to one of the family that the host has or take it out", ""},
	IPv6Off: {"ipv6-off", "the host has only IPv6 addresses, and the proxy may not use IPv6",
		"set global.smtp.use_ipv6 to true if this host has IPv6; else name a host with an IPv4 address", ""},
	NoIPv6: {"no-ipv6", "the provider's host has only IPv6 addresses, and this host has no IPv6", "give this host IPv6, or name a host with an IPv4 address", ""},
	EnvelopeRefusedNow: {"envelope-refused-now", "the provider refuses a sender or a recipient that it accepted before, so the message was not sent",
		"look at the quoted reply: the client sends the message again, and gets the refusal itself then", ""},
	BDATRefused: {"bdat-refused", "the provider refuses BDAT, which it offers, and the message cannot go by DATA", "add CHUNKING to what is avoided with the provider", "providers.NAME.avoid: [\"CHUNKING\"]"},
}
