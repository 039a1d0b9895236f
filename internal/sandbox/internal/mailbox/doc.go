// Package mailbox has the accounts of the sandbox: who they are ([Account]), what
// they may do ([Limits]), and what they did ([Stats]).
//
// A [Mailbox] is one account at work. It counts logins, connections, messages and
// recipients against limits over moving windows. It answers with the name of a
// limit; the SMTP server has the reply to it. The [Directory] finds mailboxes by
// address.
package mailbox
