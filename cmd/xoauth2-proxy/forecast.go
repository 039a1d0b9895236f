package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/forecast"
	"xoauth2-proxy/internal/oneline"
	"xoauth2-proxy/internal/outlook"
)

// forecastCmd lists what will break next.
type forecastCmd struct {
	files
	table.Form
	socketFlag
	Within string `help:"Only what ends within this time, as in 30d or 12h; if anything does, the exit code is 4." placeholder:"TIME"`
	All    bool   `help:"Each account on a line of its own. Default: accounts that end alike on one day are one line."`
}

// Run implements the command.
func (c *forecastCmd) Run() error {
	var within time.Duration
	if c.Within != "" {
		var err error
		if within, err = forecast.ParseWithin(c.Within); err != nil {
			return exitError{exitUsage, fmt.Errorf("--within: %w", err)}
		}
	}
	f, err := c.ask(context.Background())
	if err != nil {
		return err
	}
	if within > 0 {
		f = f.Within(within)
	}
	if !c.All {
		f = f.Grouped()
	}
	if err := c.show(os.Stdout, f); err != nil {
		return err
	}
	if within > 0 && len(f.Endings) > 0 {
		return exitError{code: exitForecast}
	}
	return nil
}

// show writes the forecast.
func (c *forecastCmd) show(w io.Writer, f forecast.Forecast) error {
	var text strings.Builder
	rows := make([][]string, len(f.Endings))
	for i, e := range f.Endings {
		rows[i] = []string{e.At.UTC().Format(time.RFC3339), string(e.Kind), oneline.Text(e.Subject(), ' '), oneline.Text(e.Fails, ' '), oneline.Text(e.Remedy, ' '), oneline.Text(e.Assumes, ' ')}
		fmt.Fprintf(&text, "%s  %s: %s\n    then: %s\n    do:   %s\n", rows[i][0], rows[i][1], rows[i][2], rows[i][3], rows[i][4])
		if e.Assumes != "" {
			fmt.Fprintf(&text, "    if:   %s\n", rows[i][5])
		}
	}
	if c.JSON || c.CSV {
		return c.Write(w, []string{"at", "kind", "of", "fails", "remedy", "assumes"}, rows, f)
	}
	if len(rows) == 0 {
		text.WriteString("nothing is known to end\n")
	}
	for _, note := range f.Notes {
		fmt.Fprintln(&text, "note: "+oneline.Text(note, ' '))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// ask asks the running proxy, or reads the files if none runs.
func (c *forecastCmd) ask(ctx context.Context) (f forecast.Forecast, err error) {
	settings, err := c.lenientSettings()
	if err != nil {
		return f, err
	}
	running, err := c.findProxy(ctx, settings)
	switch {
	case err == nil:
		defer running.Close()
		if err = running.Do(ctx, http.MethodGet, "/admin/forecast?all=true", nil, &f); err != nil {
			err = fmt.Errorf("the running proxy: %w", err)
		}
		return f, err
	case !c.mayBeAlone(err):
		return f, err
	}
	settings, accounts, err := c.load()
	if err != nil {
		return f, err
	}
	f, err = outlook.OfFiles(settings, accounts, time.Now())
	return f, err
}
