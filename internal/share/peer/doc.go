// Package peer shares the limits of the mailboxes between the old and the new process of an
// upgrade.
//
// The old process is the host: it has the store, a ledger in memory, and is its first node.
// The new process is the second one, by a [Client] over a unix socket. So both together never
// have more connections of a mailbox than it may have, nor more messages, recipients and
// logins, and one of them at a time refreshes a chain of tokens.
//
// # Alone
//
// A process has one [Switch] from its start on, in which its mailboxes are. While it is alone,
// nothing is leased: the limits are what the pool of connections counts by itself, and the
// switch only counts too, so that it can say later what was counted when. It becomes one of
// two by [Switch.Share]:
//
//   - the host's ledger begins with what the old process counted in the last minute, hour and
//     day, in the slots in which it did so ([NewHost]);
//   - connections that the old process has stay: until the first grant it opens none, and
//     closes none;
//   - permits of messages that were under way count as held, until their messages end.
//
// [Switch.Alone] ends it. What the other process has counted, and held at its end, counts
// until it leaves the windows: the limits hold over the upgrade. The new process gets it from
// the old one at its end. It also hears of each grant to the old one before that can use it, so
// that it knows enough if the old one is killed; but for a new process that does not run at
// that moment, and so has not heard. The old process, if the new one ends, has it as the host.
//
// # Locks
//
// Sharing.one, Switch.mu, box.lot, counts.mu, each before the next; Sharing.mu, Host.mu and
// Client.mu are leaves. The mailboxes of a member are called with box.lot held: they call
// nothing back on the caller's goroutine.
package peer
