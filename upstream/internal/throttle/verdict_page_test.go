package throttle

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"xoauth2-proxy/internal/hint"
)

//go:generate go test -run TestProviderRepliesPage|TestSamples -update .

var update = flag.Bool("update", false, "write what is generated from the table")

const repliesPage = "../../../docs/provider-replies.md"

// TestProviderRepliesPage holds the page for operators against the table.
func TestProviderRepliesPage(t *testing.T) { generated(t, repliesPage, page(verdictRows)) }

// generated holds a file against what it is to say, or writes it.
func generated(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the table says (%v): run go generate ./upstream/...", name, err)
	}
}

const pageHead = `# What a provider's refusal leads to

Generated from ` + "`upstream/internal/throttle/verdict_table.go`" + ` by ` + "`go generate ./upstream/...`" + `. Do not edit.

A refusal concerns the message or the recipient that it answers, and nothing else, unless a row below says more. The
first row that fits decides. An effect on the account needs a code that speaks of the account, a provider that gives
it that meaning, and a point of the session at which it can: the reply to RCPT may be about the recipient.

A provider is Google or Microsoft by the preset of the account (gmail, outlook and those that begin with outlook), or
by the host name of its endpoint.

| Effect | Meaning |
| --- | --- |
| kept, closed, retired | The connection is used again; is closed by the provider; is ended with QUIT, since it has done its share. |
| login refused | The next login of the account waits, from 0.5 s to 60 s, longer after each failure in a row. |
| token refused | One more login with a new access token, then as "login refused". |
| logins paused | As "login refused", from 8 s on. Open connections go on. |
| throttled | The account has half of its connections, and one more after each 30 s. At one connection it pauses, from 0.5 s to 60 s. Before MAIL as "logins paused" or "login refused" too. |
| paused for hours | The account sends nothing for an hour, after the next such refusal for two, and so on to 24. Its messages get 452 4.7.1. |
| held | The account sends nothing: its messages get 451 4.7.0, its connections end. After 1 hour one message of a client tries whether the provider still refuses it, then after 4 more, 12 more, and every 24 hours; after a refusal of AUTH every 24 hours. A message that is accepted, or refused for its own sake, releases the account. So do another refresh token, credentials or endpoint in the accounts file, and the order "resume" of the admin API. A restart forgets the hold; the next refusal brings it back. |

Before MAIL nothing was said about the message, so the client is told 451 or 454 and keeps it. What is in no row means:
before MAIL the connection is closed and the login refused; from MAIL on the client gets the reply, and the connection
is kept unless the code is 421.

After a reply that retires the connection, the message is sent once more over a fresh connection, and the client hears
of the second answer only. That needs a proof that the provider has not taken the message: the content has not left,
or the provider has refused the content or what it needs, and nothing positive came after that.

A provider that announces CHUNKING may not know BDAT. 500, 502 and 504 to BDAT, 503 though MAIL and RCPT were accepted,
and 552 5.3.4 to content below the announced SIZE say so. The connection is closed, the message is sent by DATA over a
fresh one, and for 24 hours no BDAT is sent to that endpoint. Such a provider reads the content that it was sent as
commands. If a line of it begins with DATA, BDAT or BURL, the provider may have taken what follows that line, for the
recipients of the message or of other lines: the refusal proves nothing, and the message is not sent again but answered
with 451 4.5.0. What the client sends later goes by DATA.

A BDAT that is not answered leaves open whether the message was taken: 451 4.4.2. If the provider was silent for at
least half of the timeout of its final reply, content goes by DATA for an hour, or until the provider takes content by
BDAT: it may only have been slow. Messages with BINARYMIME cannot go by DATA, and still go by BDAT in that hour.

`

// page returns the page of a table.
func page(rows []verdictRow) []byte {
	var b bytes.Buffer
	b.WriteString(pageHead)
	b.WriteString("| Provider | Answer to | Reply | Client is told | Connection | Account | Meaning; what to do |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	sources := []string{}
	for i := range rows {
		row := &rows[i]
		n := 1
		for n <= len(sources) && sources[n-1] != row.source {
			n++
		}
		if n > len(sources) {
			sources = append(sources, row.source)
		}
		means, v := row.means, row.effects()
		if row.hint == hint.None {
			panic("no hint: " + means)
		}
		means += fmt.Sprintf("; %s ([%s](troubleshooting.md#%[2]s))", row.hint.Remedy(), row.hint)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s [%d] |\n", row.by, row.at, row.reply(), v.Message, v.Connection, v.Account, means, n)
	}
	b.WriteString("\nSources:\n\n")
	for i, s := range sources {
		fmt.Fprintf(&b, "%d. %s\n", i+1, s)
	}
	return b.Bytes()
}

func (s providerSet) String() string {
	if s == anyProvider {
		return "any"
	}
	var names []string
	for p := range NumProviders {
		if s.has(p) {
			names = append(names, p.String())
		}
	}
	return strings.Join(names, ", ")
}

func (s phaseSet) String() string {
	var names []string
	for p := range numPhases {
		switch {
		case !s.has(p):
		case p == PhaseTLS:
			names = append(names, "STARTTLS")
		case p == PhaseGreeting:
			names = append(names, "connect")
		case p == PhaseFinal:
			names = append(names, "content (BDAT too)")
		default:
			names = append(names, p.String())
		}
	}
	return strings.Join(names, ", ")
}

func (row *verdictRow) reply() string {
	s := row.code
	switch row.enhanced {
	case "":
	case "none":
		s += " without enhanced code"
	default:
		s += " " + row.enhanced
	}
	if row.text != "" {
		s += " with " + row.text
	}
	if row.carried {
		s += ", after a message on the connection"
	}
	return s
}

// effects returns the row's effects where it applies: those that Judge adds to
// every reply there included.
func (row *verdictRow) effects() Verdict {
	v := Verdict{Message: row.message, Connection: row.connection, Account: row.account}
	if row.at&inTransaction == 0 {
		v.Message, v.Connection, v.Account = MessageLater, ConnectionClosed, max(AccountLogin, row.account)
	} else if row.code == "421" && row.connection == ConnectionKept {
		v.Connection = ConnectionClosed
	}
	return v
}
