package accounting

import "bytes"

// categoryOf returns PowerMTA's category of a refusal, "" for none. The class decides, then
// words of a reply of the provider, then the enhanced code. What none of them tells is "other".
func categoryOf(w *row) string {
	if w.kind != Refused && w.kind != Deferred {
		return ""
	}
	if category, ok := byClass[string(w.texts[textClass])]; ok {
		return category
	}
	for _, c := range byWord {
		if w.byProvider && containsFold(w.texts[textReply], c.word) {
			return c.category
		}
	}
	code := [2]uint16{w.enhanced[1], w.enhanced[2]}
	if category, ok := byStatus[code]; ok {
		return category
	}
	if category, ok := bySubject[code[0]]; ok {
		return category
	}
	return "other"
}

// byClass has the classes that say more than the reply.
var byClass = map[string]string{
	"messages_minute": "quota-issues", "messages_hour": "quota-issues", "messages_day": "quota-issues", "recipients_day": "quota-issues",
	"logins_minute": "quota-issues", "tenant_recipients_day": "quota-issues", "quota": "quota-issues",
	"throttled": "policy-related", "held": "policy-related",
	"connect": "no-answer-from-host", "timeout": "no-answer-from-host", "endpoint_down": "no-answer-from-host",
	"lost": "bad-connection", "tls": "bad-connection", "connection_used_up": "bad-connection",
	"dns": "routing-errors", "protocol": "protocol-errors", "login": "bad-configuration", "token": "bad-configuration",
}

// byWord has words in lower case.
var byWord = []struct{ word, category string }{
	{"virus", "virus-related"},
	{"spam", "spam-related"},
	{"unsolicited", "spam-related"},
	{"quotaexceeded", "quota-issues"},
	{"over quota", "quota-issues"},
	{"mailbox full", "quota-issues"},
}

// byStatus has subject and detail of enhanced codes (RFC 3463).
var byStatus = map[[2]uint16]string{
	{1, 0}: "bad-mailbox", {1, 1}: "bad-mailbox", {1, 3}: "bad-mailbox", {1, 4}: "bad-mailbox", {1, 6}: "bad-mailbox", {1, 10}: "bad-mailbox",
	{1, 2}: "bad-domain", {1, 7}: "invalid-sender", {1, 8}: "invalid-sender", {1, 90}: "quota-issues",
	{2, 0}: "bad-mailbox", {2, 1}: "inactive-mailbox", {2, 2}: "quota-issues", {2, 3}: "content-related",
	{3, 4}: "content-related",
	{4, 1}: "no-answer-from-host", {4, 2}: "bad-connection", {4, 3}: "routing-errors", {4, 4}: "routing-errors",
	{4, 5}: "quota-issues", {4, 6}: "routing-errors", {4, 7}: "message-expired",
}

// bySubject has the rest of the subjects of enhanced codes.
var bySubject = map[uint16]string{
	3: "bad-configuration", 4: "bad-connection", 5: "protocol-errors", 6: "content-related", 7: "policy-related",
}

// containsFold reports whether s contains word, which is in lower-case ASCII, in any case.
func containsFold(s []byte, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if s[i]|0x20 == word[0]|0x20 && bytes.EqualFold(s[i:i+len(word)], []byte(word)) {
			return true
		}
	}
	return false
}
