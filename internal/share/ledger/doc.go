// Package ledger is the store of shared limits in memory, and the specification of all
// stores: given the same calls at the same times, a store decides as a [Ledger] does. It is
// a state machine over a clock: the same calls at the same times give the same answers.
//
// All times are whole milliseconds since the Unix epoch, by the store's clock; all numbers
// are whole and below 2^53; "/" cuts off the remainder. TTL, BusyFor and the like are the
// constants of package share. Each call is executed as one step.
//
// # Rows
//
// A key has one row for each node, "Name|Incarnation", and rows stand in the order of the
// octets of that. A row keeps of the node's last executed report: seq, seen (when it was
// executed), limit, have, busy, want; then grant, has, since, asked; and for each kind that
// had a limit: limit, settled, held. Before a report is read: numbers below 0 are 0, and
// Busy above Have is Have.
//
//   - A report whose Seq is not above that of the row is stale: nothing changes.
//   - A row is live while now < seen + TTL. Afterwards it is silent.
//   - A row is dropped at the first report of the key for which nothing of it counts any
//     more: now >= seen + BusyFor, and, for each kind with held > 0, the counts below have
//     left the window.
//
// # Slots
//
// count(row) is max(have, grant) while the row is live, then busy until seen + BusyFor, then
// 0. limit is the smallest Limit above 0 of the live rows: while the configurations of nodes
// differ, the strictest holds. A report with Limit 0 gets Slots = max(Have, Want), and its
// row keeps limit 0 and grant 0.
//
// The need of a live row with a limit is max(want, busy). The capacity is limit, less the
// counts of silent rows and of live rows without a limit, at least 0. The targets:
//
//  1. fill(capacity, needs): rows with a need above 0 are open. share = capacity / open
//     rows; each open row that needs no more than share gets its need and is open no
//     longer, and capacity goes down by it; repeat with the rest until there is none such.
//     Each row that is still open gets share; left = capacity - share * open rows, which is
//     less than the open rows. The first left of them, by rank, get one more. (share stays
//     what was found last, 0 if no row was open; left is 0 if none is open in the end.)
//  2. What remains is for parked connections: fill(capacity - sum of targets, max(0, have -
//     target) of each live row with a limit), by the order of rows in place of rank. It is
//     added to the targets. So who has most gives one up.
//
// Rank takes turns. turn and grace are 60 s and 10 s if share > 0; otherwise turn is
// 4000 * left / (open - left) ms, at least 1000 and at most 4000, and grace is min(turn,
// 2000). held(row) is max(have, grant); in the row of the report, have is the new one and
// grant the old one, if the row was live. Ranks, first to last:
//
//	0  has, held > share, now - since < turn, and (busy > share or now - since < grace):
//	   the greatest since first
//	1  held <= share: the smallest since first (who waits longest)
//	2  the others: the greatest since first
//
// and by the order of rows if both have the same. The row of the report gets
//
//	grant = min(target, max(0, limit - sum of count(other rows)))
//
// and, while now < reset + TTL, not more than Have. Then has = need > 0 and grant >=
// min(need, share + min(left, 1)). since = now at a first report, at one of a row that was silent, when
// need rises from 0 (these three before the ranks are found), and when has changes (after).
//
// Events, for one report, in this order:
//
//   - [share.Demand], if grant < target, another live row has count > target, and the row
//     has not asked for 250 ms (asked = now with the event).
//   - [share.Freed], if max(have, grant) is below the count of the row before the report,
//     and another live row has count < target.
//
// # Permits
//
// A window counts by slot; slot(t) = t / (Span / Slots). It holds the slots from
// slot(now) - Slots to slot(now), one more than the span has, so that the limit holds in
// every span. Windows of kinds of an hour or a day keep counts for each node's Name. For one
// kind of a report with a limit, in this order:
//
//  1. delta is Settled less that of the row, at least 0; and 0 if the row has none (a first
//     report, or the kind had no limit): Settled of a node that returns says nothing of the
//     last minute. What a node has counted before its first report, it reports as Held, and
//     settles then; Hours say the rest. delta is added to slot(now).
//  2. Hours, for MessagesPerHour and MessagesPerDay (Messages) and RecipientsPerDay
//     (Recipients): an hour after that of now is the hour of now. If the last slot of the
//     hour is in the window, what the slots of the hour have for the Name is raised to the
//     number: what is missing is added to the last of them that is not after slot(now). So
//     a repeat adds nothing, and incarnations of one Name count once. (For that, windows of
//     an hour keep 59 slots more than they count.)
//  3. limit is the smallest above 0 of the live rows for the kind. used is the window, Held
//     of the report, and what other rows hold: held of a live row. Of a silent row, x =
//     min(held, busy) belonged to messages under way: x counts until seen + BusyFor, and
//     from there as used in slot(seen + BusyFor); held - x counts as used in
//     slot(seen + TTL).
//  4. Held = max(Held, min(Want, Held + max(0, limit - used))); while permits of the kind
//     are not granted after a reset, Held of the report.
//
// Used is used, with what was granted. Next, if Held < Want: the first moment at which a
// slot of the window, or a count of a silent row, leaves (a slot s leaves at
// (s + Slots + 1) * Span / Slots; x of a silent row that still counts as held, after its
// slot(seen + BusyFor)); after a reset, when permits are granted, if that is
// later; RenewEvery from now if neither is to come. A kind without a limit gets Held = max(Held, Want),
// and its row forgets it. Grant.Nodes is the number of live rows.
//
// # Reset
//
// A store that may have lost data (it was empty, restarted, or a replica was promoted) has
// another epoch from the moment reset on. What survived stays. Then
//
//   - for TTL, no slots are granted beyond Have, and no claims. Nodes that live have
//     reported by then, and the leases of others are over.
//   - permits of a minute are not granted for TTL, a span and a slot: a node that does not
//     reach the store may use what it holds for TTL, and that counts for a span.
//   - permits of an hour and a day are not granted for TTL: by then the nodes have written
//     their Hours again.
//
// # Claims
//
// A chain has record, version, fence (the highest ever given), open, node, until, and
// committed. Numbers of fences, versions and orders are max(last + 1, now), so that they
// rise over a loss of the data too.
//
//   - Claim: if open and now < until, the same node gets the same fence, with until = now +
//     ttl, and others get fence 0. Otherwise it gets a new fence.
//   - Commit holds if fence == committed, which changes nothing (it is a repeat); or fence
//     == fence of the chain and open, whether or not until has passed; or fence > that of
//     the chain: the claim was lost with the data, and none was given since. It sets
//     record, version, fence, committed, and closes the claim; [share.Published].
//   - Abandon of the open fence closes it; [share.Published], so that who waits claims.
//
// # Orders and nodes
//
// An order with the Node, At, State and Release of the one in force for its account is a
// repeat: nothing changes. Otherwise, in this order: an order to release alone (Release, no
// State) leaves the State in force as it is; an order whose State is "" or "active" while
// the one in force has another and Number > Seen has crossed it: that one stays, and is told
// again ([share.Ordered]). Any other gets the next Number, is kept and told. Orders are
// given in the order of AccountID. Who reads an order to release later releases only from a
// hold that began before At.
//
// Announce gives [share.ErrForeign], and keeps nothing, while another node that was
// announced less than TTL ago has another KeyCheck or Protocol. Nodes shows who was
// announced less than a minute ago, by Name, then Incarnation; later ones are forgotten.
//
// # What nodes must keep to
//
// The limits hold if nodes keep to three rules; package share's Member does.
//
//  1. A grant below Have is an order to close; what is open or closing is reported.
//  2. From sending a report until the answer to the last one sent, a node has no more than
//     Have of the lowest report that is not answered, opens nothing above it, and takes no
//     permits above those it holds. An answer to an earlier report is not obeyed.
//  3. A lease ends TTL after the report was sent whose answer was the last one obeyed, by
//     the monotonic clock. 5 s before, the node closes parked connections and begins nothing
//     new. A second before, it ends messages on all connections but the smallest number Busy
//     of the reports since then, unless their end-of-data has left. It reports again after
//     what had no lease is closed: after a reset, a store grants what is reported.
//
// Then these are the only cases in which more may be open than the limit: a node that was
// frozen across the end of its lease; a host that went without closing its connections; a
// connection after end-of-data at the end of a lease which had no message at the last
// report (it ends with the provider's reply); and a node that does not reach the store from
// before a reset on and has messages under way TTL after it.
package ledger
