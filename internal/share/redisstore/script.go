package redisstore

import (
	"crypto/sha1" //nolint:gosec // the protocol names scripts so
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"xoauth2-proxy/internal/share"
)

// files has the texts of the scripts. The server runs each whole, and one at a time.
//
//go:embed script
var files embed.FS

// script is one of them, with the name that the server knows it by.
type script struct {
	text, sum string
}

// scripts are those of a store.
type scripts struct {
	renew, claim, commit, abandon, order, announce, nodes, ping *script
}

// loadScripts returns scripts that read the time by what clock says in Lua, and count slots
// that carry messages for busyFor. Each begins with them and with epoch.lua.
func loadScripts(clock string, busyFor time.Duration) scripts {
	begin := clock + constants(busyFor) + fileText("epoch")
	load := func(name string) *script {
		text := begin + fileText(name)
		sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
		return &script{text: text, sum: hex.EncodeToString(sum[:])}
	}
	return scripts{renew: load("renew"), claim: load("claim"), commit: load("commit"), abandon: load("abandon"),
		order: load("order"), announce: load("announce"), nodes: load("nodes"), ping: load("ping")}
}

// serverClock is the server's own.
const serverClock = `local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
`

// How long the server keeps what is not renewed.
const (
	// keep is for records, orders and nodes. A node has its own record, and announces
	// itself all the time.
	keep = 30 * 24 * time.Hour
	// keepRows is for leases: what a silent node held of a day's permits counts for a day
	// and a slot after its messages' time. A row is not extended more often than once an
	// hour.
	keepRows = 28 * time.Hour
	// shown is for how long a node is listed.
	shown = time.Minute
)

// constants returns the numbers that scripts need, times in ms, as Lua.
func constants(busyFor time.Duration) string {
	var b strings.Builder
	for _, c := range []struct {
		name string
		time time.Duration
	}{
		{"TTL", share.TTL}, {"BUSY_FOR", busyFor}, {"RENEW_EVERY", share.RenewEvery}, {"HOUR", time.Hour},
		{"KEEP", keep}, {"KEEP_ROWS", keepRows}, {"SHOWN", shown},
	} {
		fmt.Fprintf(&b, "local %s = %s\n", c.name, millis(c.time))
	}
	var span, slots, slot []string
	for k := range share.NumKinds {
		span = append(span, fmt.Sprintf("[%d]=%s", k, millis(k.Span())))
		slots = append(slots, fmt.Sprintf("[%d]=%d", k, k.Slots()))
		slot = append(slot, fmt.Sprintf("[%d]=%s", k, millis(k.Span()/time.Duration(k.Slots()))))
	}
	fmt.Fprintf(&b, "local SPAN, SLOTS, SLOT = {%s}, {%s}, {%s}\n", strings.Join(span, ","), strings.Join(slots, ","), strings.Join(slot, ","))
	fmt.Fprintf(&b, "local RECIPIENTS, ACTIVE = %d, 'active'\n", share.RecipientsPerDay)
	return b.String()
}

func fileText(name string) string {
	text, err := files.ReadFile("script/" + name + ".lua")
	if err != nil {
		panic(err) // it is in the program
	}
	return string(text)
}
