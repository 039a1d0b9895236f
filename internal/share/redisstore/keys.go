package redisstore

import (
	"fmt"
	"net/url"
	"strings"

	"xoauth2-proxy/internal/share"
)

// prefix begins the name of each key and channel, so that a user of the server can be held
// to them.
const prefix = "xp:"

// Keys that are there once.
const (
	keyEpoch  = prefix + "epoch"
	keyOrders = prefix + "orders"
	keyNodes  = prefix + "nodes"
	channel   = prefix + "events"
)

// kindNames end the keys of permits.
var kindNames = [share.NumKinds]string{
	share.MessagesPerMinute: "min",
	share.MessagesPerHour:   "hour",
	share.MessagesPerDay:    "day",
	share.RecipientsPerDay:  "rcpt",
	share.LoginsPerMinute:   "login",
}

// keyOf returns the key of one part of what name has. The name is in braces: a cluster keeps
// all its parts together.
func keyOf(name, part string) string { return prefix + "{" + escape(name) + "}:" + part }

// escape writes octets that part names, or that a terminal does not show, as % and two
// digits. Different names stay different.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c <= ' ', c == 0x7f, c == '%', c == '{', c == '}', c == '|':
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unescape undoes escape.
func unescape(s string) string {
	name, err := url.PathUnescape(s)
	if err != nil {
		return s // escape has not made it
	}
	return name
}
