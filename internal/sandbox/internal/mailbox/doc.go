// Package mailbox has the accounts of the sandbox: their names and grants
// ([Account]), their limits ([Limits]) and their counters ([Stats]).
//
// A [Mailbox] is one account at work. It counts logins, connections, messages and
// recipients against limits over moving windows. It answers with the name of a
// limit; the SMTP server has the reply to it. The [Directory] finds mailboxes by
// address.
package mailbox
