package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/share/roster"
)

// nodesCmd lists the proxies that share their limits.
type nodesCmd struct {
	files
	table.Form
	socketFlag
}

// Run implements the command.
func (c *nodesCmd) Run() error {
	ctx := context.Background()
	settings, err := c.lenientSettings()
	if err != nil {
		return err
	}
	running, err := c.findProxy(ctx, settings)
	if err != nil {
		return err
	}
	defer running.Close()
	var r roster.Roster
	if err := running.Do(ctx, http.MethodGet, "/admin/nodes", nil, &r); err != nil {
		return fmt.Errorf("the running proxy: %w", err)
	}
	return showNodes(os.Stdout, c.Form, r)
}

// showNodes writes the table.
func showNodes(w io.Writer, form table.Form, r roster.Roster) error {
	if !r.Shared && !form.JSON && !form.CSV {
		_, err := fmt.Fprintln(w, "the running proxy shares its limits with no other one")
		return err
	}
	rows := make([][]string, len(r.Nodes))
	for i, n := range r.Nodes {
		asked := ""
		if n.Asked {
			asked = "yes"
		}
		rows[i] = []string{n.Name, n.Incarnation, n.Version, n.Since.Format(time.RFC3339), n.Seen.Format(time.RFC3339), strconv.Itoa(n.Keys),
			asked, strings.Join(n.Differs, ", ")}
	}
	return form.Write(w, []string{"name", "incarnation", "version", "since", "seen", "keys", "asked", "differs"}, rows, r)
}
