package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/roster"
)

// TestNodesAlone asks a proxy that shares nothing, and then one that does not run.
func TestNodesAlone(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	list := with(s.Files, "nodes")
	if said := mustRun(t, 0, list...); said != "the running proxy shares its limits with no other one\n" {
		t.Errorf("%q", said)
	}
	var r map[string]any
	if err := json.Unmarshal([]byte(mustRun(t, 0, append(list, "--json")...)), &r); err != nil || r["shared"] != false || len(r["nodes"].([]any)) != 0 {
		t.Errorf("%v, %v", r, err)
	}
	s.End()
	apptest.CheckParts(t, mustRun(t, exitFailure, list...), "no running proxy was found")
}

func TestShowNodes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	info := func(name, version string) share.Info {
		return share.Info{Node: share.Node{Name: name, Incarnation: "i-" + name}, Version: version, Since: at, Seen: at.Add(time.Hour), Members: 12}
	}
	all := []share.Info{info("mx1", "1.2"), info("mx2", "1.3")}
	all[1].Limits = "others"
	r := roster.Of(all[0].Node, all)
	for _, tt := range []struct {
		form table.Form
		want []string
	}{
		{table.Form{}, []string{"name  incarnation  version  since", "mx1   i-mx1        1.2      2026-01-02T03:04:05Z  2026-01-02T04:04:05Z  12    yes\n", "12           version, limits\n"}},
		{table.Form{CSV: true}, []string{"name,incarnation,version,since,seen,keys,asked,differs\n", `mx2,i-mx2,1.3,2026-01-02T03:04:05Z,2026-01-02T04:04:05Z,12,,"version, limits"`}},
		{table.Form{JSON: true}, []string{`"shared": true`, `"asked": true`, `"limits"`}},
	} {
		var said strings.Builder
		if err := showNodes(&said, tt.form, r); err != nil {
			t.Fatal(err)
		}
		apptest.CheckParts(t, said.String(), tt.want...)
	}
}
