package hint

// group is a chapter of the page.
type group struct {
	title, about string
	entries      map[ID]entry
}

// groups have each entry once.
var groups = []group{
	{"What clients do", "The mail server that logs in to the proxy gets these replies for what it sent. No one at the provider knows of it.", clientEntries},
	{"This proxy", "The proxy or its host has no room, ends a session, or applies a limit or an order.", proxyEntries},
	{"The way to the provider", "Names, routes, TLS and broken connections. The client is told 4yz and keeps the mail.", wayEntries},
	{"Logins at the provider", "The provider refuses a connection or AUTH. Nothing was said about a message, so the client is told 4yz and keeps the mail.", loginEntries},
	{"Refusals by the provider",
		"The provider refuses a sender, a recipient or a message. The client gets the provider's own reply. [provider-replies.md](provider-replies.md) has the codes, and what the proxy does then.",
		refusalEntries},
	{"Access tokens", "The token endpoint gives no access token. A client reads 454 if the failure passes; else 535 at AUTH, and 451 4.7.0 for a message.", tokenEntries},
	{"Consent", "What `xoauth2-proxy authorize` shows while a person gives consent.", consentEntries},
}
