package app

import (
	"bufio"
	"io"
	"strings"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/metric"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// accountMetrics writes the metrics of each account, on a page of their own: they name
// accounts, and there are many.
type accountMetrics struct {
	api *adminAPI

	info, state, messages, recipients, connections, queue metric.Family
	limit, used, tokenEnd, lastDelivered, leftOut         metric.Family
}

func newAccountMetrics(api *adminAPI) *accountMetrics {
	family := func(name, help, do string, labels ...string) metric.Family {
		labels = append([]string{"account: its account_id", "provider"}, labels...)
		return metric.New(nil, name, help, labels...).Do(do)
	}
	const (
		limits = "limit: messages_minute, messages_hour, messages_day, recipients_day, logins_minute; those that are set"
	)
	return &accountMetrics{
		api: api,
		info: family("account_info", "1, with the email of the account in a label.",
			"Nothing: join it by account where a dashboard is to show addresses.", "email: of the account"),
		state: family("account_state", "1, with the state of the account in a label.",
			"GET /admin/accounts/{email} says why the account is not active.", "state: one of those of the family accounts"),
		messages: family("account_messages_total", "Messages, by account and outcome.",
			"Compare with the other accounts of the provider; the log lines with the account have the replies.", upstream.OutcomeLabel),
		recipients: family("account_recipients_total", "Recipients of messages that came to an end, by account and outcome.",
			"Many refused: the list of addresses is bad, and providers stop accounts for it.", upstream.OutcomeLabel),
		connections: family("account_connections", "Connections of the account to its provider, by what they are doing; those that there are.",
			"All active for long: max_connections bounds the mail of this account.", "state: dialing, active, parked, closing"),
		queue: family("account_queue_depth", "Messages that wait for a connection of the account; those accounts that were used lately.",
			"Growing: more mail comes for this account than its provider takes."),
		limit: family("account_limit", "Messages, recipients or logins that the account may have in the time of the limit.",
			"Nothing: it is the limit in force.", limits),
		used: family("account_limit_used", "Messages, recipients or logins that the account has had in the time of the limit.",
			"Near account_limit: the account gets 452 soon. Spread the mail over time.", limits),
		tokenEnd: family("account_token_expiry_timestamp_seconds", "Seconds since 1970 at the end of the newest access token.",
			"In the past while the account sends: refreshes fail, see GET /admin/accounts/{email}."),
		lastDelivered: family("account_last_delivered_timestamp_seconds", "Seconds since 1970 when the provider took a message of the account last, in this run.",
			"Long ago for an account that should send: look at its state and at the client."),
		leftOut: metric.New(nil, "account_metrics_left_out", "Accounts that are not on this page.").
			Do("Scrape the other pages too, with ?offset=10000 and so on."),
	}
}

// accountRow is what the page has of one account.
type accountRow struct {
	*account.Account
	status   admin.Status
	activity upstream.Activity
	known    bool // activity is
	counts   *upstream.Counts
	token    oauth.AccountState
}

// write writes the metrics of count accounts from number offset on, in the order of the
// file. A shard that does not answer has its accounts in the state unknown.
func (m *accountMetrics) write(w io.Writer, offset, count int) {
	all := m.api.store.Load().All()
	first := min(offset, len(all))
	shown := all[first:min(first+count, len(all))]
	rows := m.rows(shown)
	page := bufio.NewWriter(w)
	m.families(page, rows)
	m.leftOut.Write(page, "gauge", func(set func(float64, ...string)) { set(float64(len(all) - len(shown))) })
	_ = page.Flush() // w is memory
}

func (m *accountMetrics) rows(shown []*account.Account) []accountRow {
	activities, _ := m.api.relay.Activities() // the states tell of a shard that is stuck
	statuses := m.api.statuses(shown)
	rows := make([]accountRow, len(shown))
	for i, a := range shown {
		r := accountRow{Account: a, status: statuses[i], counts: m.api.relay.Counts(a.ID)}
		r.activity, r.known = activities[a.ID]
		r.token, _ = m.api.tokens.State(a.ID)
		rows[i] = r
	}
	return rows
}

// series tells the value of a series of an account, by what comes after its first labels.
type series func(value float64, more ...string)

// families writes all families of the rows.
func (m *accountMetrics) families(page io.Writer, rows []accountRow) {
	for _, f := range []struct {
		metric.Family
		kind string
		of   func(r *accountRow, set series)
	}{
		{m.info, "gauge", func(r *accountRow, set series) { set(1, r.Email) }},
		{m.state, "gauge", func(r *accountRow, set series) { set(1, r.status.State) }},
		{m.messages, "counter", func(r *accountRow, set series) { r.outcomes(set, false) }},
		{m.recipients, "counter", func(r *accountRow, set series) { r.outcomes(set, true) }},
		{m.connections, "gauge", (*accountRow).connections},
		{m.queue, "gauge", func(r *accountRow, set series) {
			if r.known {
				set(float64(r.activity.Waiting))
			}
		}},
		{m.limit, "gauge", func(r *accountRow, set series) { r.limits(set, false) }},
		{m.used, "gauge", func(r *accountRow, set series) { r.limits(set, true) }},
		{m.tokenEnd, "gauge", func(r *accountRow, set series) { setTime(set, r.token.Expiry) }},
		{m.lastDelivered, "gauge", func(r *accountRow, set series) {
			if r.counts != nil {
				setTime(set, r.counts.LastDelivered())
			}
		}},
	} {
		f.Write(page, f.kind, func(set func(float64, ...string)) {
			for i := range rows {
				r := &rows[i]
				f.of(r, func(value float64, more ...string) {
					set(value, append([]string{r.ID, r.Provider}, more...)...)
				})
			}
		})
	}
}

// outcomes has zeros for an account that has sent nothing, so that its first message is
// an increase.
func (r *accountRow) outcomes(set series, recipients bool) {
	for i, name := range upstream.Outcomes {
		n := int64(0)
		switch {
		case r.counts == nil:
		case recipients:
			n = r.counts.Recipients[i].Load()
		default:
			n = r.counts.Messages[i].Load()
		}
		set(float64(n), name)
	}
}

func (r *accountRow) connections(set series) {
	for _, c := range []struct {
		state string
		n     int
	}{{"dialing", r.activity.Dialing}, {"active", r.activity.Busy}, {"parked", r.activity.Parked}, {"closing", r.activity.Closing}} {
		if c.n > 0 {
			set(float64(c.n), c.state)
		}
	}
}

// limitName makes the value of a label of the name of a limit, such as "messages an hour".
var limitName = strings.NewReplacer(" an ", "_", " a ", "_")

// limits has those that are set.
func (r *accountRow) limits(set series, used bool) {
	for _, limit := range []struct {
		name string
		most int
	}{
		{"messages a minute", r.Limits.MessagesPerMinute}, {"messages an hour", r.Limits.MessagesPerHour},
		{"messages a day", r.Limits.MessagesPerDay}, {"recipients a day", r.Limits.RecipientsPerDay},
		{"logins a minute", r.Limits.LoginsPerMinute},
	} {
		value := limit.most
		if used {
			value = 0
			for _, u := range r.activity.Uses {
				if u.Limit == limit.name {
					value = u.Used
				}
			}
		}
		if limit.most > 0 && !r.IsCatchAll() { // whose mailboxes have limits each
			set(float64(value), limitName.Replace(limit.name))
		}
	}
}

func setTime(set series, t time.Time) {
	if !t.IsZero() {
		set(float64(t.Unix()))
	}
}
