package accounting

import (
	"bytes"
	"strconv"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
)

// Field is one field of a record.
type Field struct {
	Name, Meaning string
}

type field struct {
	Field
	put func(*encoder, *row)
}

// Fields returns all fields in their order.
func Fields() []Field {
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = f.Field
	}
	return out
}

// fields are all fields: first those of PowerMTA, with its names and in its order.
var fields = []field{
	{Field{"type", "`d`: the provider has taken the message for the recipient. `b`: refused for good (5yz). `t`: refused for now (4yz), the client keeps it. `start`, `drop`, `end`: about the log itself, see below."},
		func(e *encoder, w *row) { e.word(w.kind.String()) }},
	{Field{"timeLogged", "When the verdict came. All times are in UTC with milliseconds, as in RFC 3339."},
		func(e *encoder, w *row) { e.time(w.at) }},
	{Field{"timeQueued", "When the proxy had what the verdict is about: the content, or the command that was refused."},
		ofRecord(func(e *encoder, w *row) { e.time(w.queued) })},
	{Field{"orig", "Sender of the envelope (MAIL FROM)."}, ofText(textFrom)},
	{Field{"rcpt", "Recipient of the envelope (RCPT TO). Empty: the envelope was refused at MAIL."}, ofText(textRcpt)},
	{Field{"orcpt", "ORCPT of the recipient, as the client gave it."}, ofText(textORcpt)},
	{Field{"dsnAction", "`relayed`, `failed` or `delayed`."}, ofRecord(func(e *encoder, w *row) { e.word(actionOf(w.kind)) })},
	{Field{"dsnStatus", "Enhanced status code of the verdict (RFC 3463); its class alone, such as `5.0.0`, if the reply has none."},
		ofRecord((*encoder).status)},
	{Field{"dsnDiag", "The reply: `smtp;`, code, enhanced code and text. The lines of a reply are on one line."},
		ofRecord((*encoder).diagnosis)},
	{Field{"dsnMta", "Host of the provider with its address in parentheses. Empty: no connection to it was used."},
		ofRecord((*encoder).mta)},
	{Field{"bounceCat", "Category of a refusal in PowerMTA's words: `bad-mailbox`, `quota-issues`, `policy-related`, `spam-related` and so on."},
		ofRecord(func(e *encoder, w *row) { e.word(categoryOf(w)) })},
	{Field{"srcType", "`smtp`."}, ofRecord(func(e *encoder, _ *row) { e.word("smtp") })},
	{Field{"srcMta", "Address of the client. Empty: a unix socket."}, ofRecord(func(e *encoder, w *row) { e.address(w.client.addr()) })},
	{Field{"dlvType", "`smtp`, if a connection to the provider was used."}, ofRecord(func(e *encoder, w *row) {
		if w.connection != 0 {
			e.word("smtp")
		}
	})},
	{Field{"dlvSourceIp", "Local address of the connection to the provider."}, ofRecord(func(e *encoder, w *row) { e.address(w.local.addr()) })},
	{Field{"dlvDestinationIp", "Address of the provider."}, ofRecord(func(e *encoder, w *row) { e.address(w.remote.addr()) })},
	{Field{"dlvEsmtpAvailable", "Always empty: the column keeps PowerMTA's order."}, func(*encoder, *row) {}},
	{Field{"dlvSize", "Octets of content."}, ofRecord(func(e *encoder, w *row) { e.nonzero(uint64(max(w.size, 0))) })},
	{Field{"vmta", "`vmta_name` of the account."}, ofAccount(func(a *account.Account) string { return a.VMTA })},
	{Field{"jobId", "Always empty: the column keeps PowerMTA's order."}, func(*encoder, *row) {}},
	{Field{"envId", "ENVID of the envelope."}, ofText(textEnvID)},

	{Field{"account", "`account_id`."}, ofAccount(func(a *account.Account) string { return a.ID })},
	{Field{"email", "Address of the account."}, ofAccount(func(a *account.Account) string { return a.Email })},
	{Field{"tenant", "Tenant of the account: `tenant`, or the domain of its address."}, ofAccount((*account.Account).TenantName)},
	{Field{"provider", "Provider of the account."}, ofAccount(func(a *account.Account) string { return a.Provider })},
	{Field{"code", "Reply code of the verdict."}, ofRecord(func(e *encoder, w *row) { e.nonzero(uint64(max(w.code, 0))) })},
	{Field{"verdictBy", "`provider`, or `proxy` for a reply of ours."}, ofRecord(func(e *encoder, w *row) {
		if w.byProvider {
			e.word("provider")
		} else {
			e.word("proxy")
		}
	})},
	{Field{"phase", "Where it failed, as in the log."}, ofText(textPhase)},
	{Field{"class", "Class of the refusal. Of a `drop`: why records are missing."}, func(e *encoder, w *row) {
		if w.about != nil {
			e.word(w.about.why)
			return
		}
		text(e, w.texts[textClass])
	}},
	{Field{"hint", "Entry of the catalogue of hints that explains the reply."}, ofRecord(func(e *encoder, w *row) { e.word(hint.ID(w.hint).String()) })},
	{Field{"messageId", "Message-ID of the content."}, ofText(textMessageID)},
	{Field{"maybeAccepted", "`true`: the provider may have taken the message although it did not say so."},
		ofRecord(func(e *encoder, w *row) { e.truth(w.maybeAccepted) })},
	{Field{"late", "`true`: the client was not told this verdict. It had gone, or had got another answer before."},
		ofRecord(func(e *encoder, w *row) { e.truth(w.late) })},
	{Field{"attempts", "Connections that the message was given to."}, ofRecord(func(e *encoder, w *row) { e.nonzero(uint64(max(w.attempts, 0))) })},
	{Field{"waitMs", "Milliseconds from timeQueued until a connection began to send."}, ofRecord(func(e *encoder, w *row) { e.millis(w.queued, w.began) })},
	{Field{"sendMs", "Milliseconds from there until the last octet of the content had left."}, ofRecord(func(e *encoder, w *row) { e.millis(w.began, w.left) })},
	{Field{"answerMs", "Milliseconds from there until the verdict."}, ofRecord(func(e *encoder, w *row) { e.millis(w.left, w.done) })},
	{Field{"totalMs", "Milliseconds from timeQueued until the verdict."}, ofRecord(func(e *encoder, w *row) { e.millis(w.queued, w.done) })},
	{Field{"session", "Session of the client, `sid` in the log."}, ofRecord(func(e *encoder, w *row) { e.nonzero(w.session) })},
	{Field{"connection", "Number of the connection to the provider in this process."}, ofRecord(func(e *encoder, w *row) { e.nonzero(w.connection) })},
	{Field{"listener", "Address that the client came by."}, ofText(textListener)},
	{Field{"upstream", "Endpoint of the provider, host:port."}, ofText(textUpstream)},
	{Field{"process", "Process that wrote the record: when it started, and its id."}, func(e *encoder, _ *row) { e.word(e.process) }},
	{Field{"sequence", "Number of the record in its process, from 1. Records about the log have none."},
		ofRecord(func(e *encoder, w *row) { e.uint(w.seq) })},
	{Field{"aboutProcess", "Of a `start`: the process before."}, ofAbout(func(e *encoder, a *about) { text(e, a.process) })},
	{Field{"firstSequence", "Of a `drop`: the first number that is missing."}, ofAbout(func(e *encoder, a *about) { e.nonzero(a.first) })},
	{Field{"lastSequence", "Of a `drop`: the last number that is missing. Of a `start`: the last number of the process before that is on the disk. Of an `end`: the last number that was given."},
		ofAbout(func(e *encoder, a *about) { e.uint(a.last) })},
	{Field{"count", "Of a `drop`: how many records are missing. Of a `start`: how many records of the process before have a number and are not on the disk, beside those of its drops; empty if that is not known. Of an `end`: how many records were dropped."},
		ofAbout(func(e *encoder, a *about) {
			if !a.unknown {
				e.uint(a.count)
			}
		})},
	{Field{"version", "Of a `start`: version of the proxy."}, func(e *encoder, w *row) {
		if w.kind == kindStart {
			text(e, e.version)
		}
	}},
}

// ofRecord leaves the field empty in records about the log.
func ofRecord(put func(*encoder, *row)) func(*encoder, *row) {
	return func(e *encoder, w *row) {
		if w.about == nil {
			put(e, w)
		}
	}
}

func ofAbout(put func(*encoder, *about)) func(*encoder, *row) {
	return func(e *encoder, w *row) {
		if w.about != nil {
			put(e, w.about)
		}
	}
}

func ofText(i int) func(*encoder, *row) {
	return func(e *encoder, w *row) { text(e, w.texts[i]) }
}

func ofAccount(get func(*account.Account) string) func(*encoder, *row) {
	return func(e *encoder, w *row) {
		if w.account != nil {
			text(e, get(w.account))
		}
	}
}

func actionOf(k Kind) string {
	switch k {
	case Delivered:
		return "relayed"
	case Refused:
		return "failed"
	}
	return "delayed"
}

// status appends the enhanced code.
func (e *encoder) status(w *row) {
	code := w.enhanced
	if code.IsZero() {
		if w.code < 200 || w.code > 599 {
			return
		}
		code[0] = uint16(w.code / 100)
	}
	if e.json {
		e.dst = append(e.dst, '"')
	}
	e.dst = appendEnhanced(e.dst, code)
	if e.json {
		e.dst = append(e.dst, '"')
	}
}

func appendEnhanced(dst []byte, code [3]uint16) []byte {
	dst = append(strconv.AppendUint(dst, uint64(code[0]), 10), '.')
	dst = append(strconv.AppendUint(dst, uint64(code[1]), 10), '.')
	return strconv.AppendUint(dst, uint64(code[2]), 10)
}

// diagnosis appends the reply as a DSN has it (RFC 3464 section 2.3.6).
func (e *encoder) diagnosis(w *row) {
	if w.code <= 0 {
		return
	}
	s := append(e.scratch[:0], "smtp;"...)
	s = strconv.AppendInt(s, int64(w.code), 10)
	if !w.enhanced.IsZero() {
		s = appendEnhanced(append(s, ' '), w.enhanced)
	}
	if words := w.texts[textReply]; len(words) > 0 {
		at := len(s) + 1
		s = append(append(s, ' '), words...)
		for i := bytes.IndexByte(s[at:], '\n'); i >= 0; i = bytes.IndexByte(s[at:], '\n') {
			s[at+i] = ' '
		}
	}
	text(e, s)
	e.scratch = s
}

// mta appends the host of the provider.
func (e *encoder) mta(w *row) {
	host := w.texts[textUpstream]
	if i := bytes.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if len(host) == 0 || w.connection == 0 {
		return
	}
	s := append(e.scratch[:0], host...)
	if a := w.remote.addr(); a.IsValid() {
		s = append(a.AppendTo(append(s, " ("...)), ')')
	}
	text(e, s)
	e.scratch = s
}
