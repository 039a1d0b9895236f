package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/watchdog"
)

// record is an order in the file.
type record struct {
	Account string    `json:"account_id"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
}

// untold is a Given in the file.
type untold struct {
	record         // since: when it was given
	Release bool   `json:"release,omitempty"`
	Seen    uint64 `json:"seen,omitempty"`
}

// FileName is the name of the file with the orders.
const FileName = "orders.json"

// version is the number of the file's format. Files without one are of version 1.
const version = 1

// ErrVersion: the file has another format.
var ErrVersion = errors.New("is of another version of this program: start that one, or move the file away, and no account is paused")

// document is the file.
type document struct {
	Version int      `json:"version"`
	Orders  []record `json:"orders"`
	// Versions before ignore Untold, and drop it when they write the file.
	Untold []untold `json:"untold,omitempty"`
}

// Open reads the orders from the file at path, which need not exist, and keeps all later
// orders in it. The file's directory must exist. A damaged file is renamed, see
// durable.SetAside; damaged is its new name, and there are no orders. A file of another
// format is ErrVersion, and stays. Call Open before the orders are used. One process at a
// time may have the file.
func (o *Orders) Open(path string) (damaged string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.path = path
		return "", nil
	case err != nil:
		return "", fmt.Errorf("orders: %w", err)
	}
	all, later, err := parse(text)
	if errors.Is(err, ErrVersion) {
		return "", fmt.Errorf("orders: %s: %w", path, err)
	}
	if err != nil {
		var renameErr error
		if damaged, renameErr = durable.SetAside(path); renameErr != nil {
			return "", fmt.Errorf("orders: %s: %w", path, errors.Join(err, renameErr))
		}
	}
	o.path, o.untold = path, later
	o.current.Store(&all)
	return damaged, nil
}

// Check finds out whether Open would read a file with that text.
func Check(text []byte) error {
	_, _, err := parse(text)
	return err
}

// parse reads a file. On an error there are no orders.
func parse(text []byte) (all map[string]Order, later map[string]Given, err error) {
	all, later = make(map[string]Order), make(map[string]Given)
	format := struct{ Version int }{version}
	if err := json.Unmarshal(text, &format); err == nil && format.Version != version {
		return all, later, fmt.Errorf("%w: it has format %d, this one reads %d", ErrVersion, format.Version, version)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return all, later, err
	}
	for _, r := range d.Orders {
		state := State(max(0, slices.Index(stateNames[:], r.State)))
		if state == Active || r.Account == "" {
			return make(map[string]Order), later, fmt.Errorf("there is no order %q for %q", r.State, r.Account)
		}
		all[r.Account] = Order{state, r.Since}
	}
	for _, u := range d.Untold {
		if state, ok := ParseState(u.State); ok && u.Account != "" {
			later[u.Account] = Given{u.Account, state, u.Release, u.Since, u.Seen}
		}
	}
	return all, later, nil
}

// Leave leaves the file to another process: later orders are in memory only, until Open.
func (o *Orders) Leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.path, o.unkept = "", true
}

// keep makes all the orders and writes them to the file, if there is one. Called
// with mu.
func (o *Orders) keep(all map[string]Order) error {
	o.current.Store(&all)
	if o.path == "" {
		return nil
	}
	d := document{Version: version, Orders: make([]record, 0, len(all))}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		d.Orders = append(d.Orders, record{id, all[id].State.String(), all[id].Since})
	}
	for _, id := range slices.Sorted(maps.Keys(o.untold)) {
		g := o.untold[id]
		d.Untold = append(d.Untold, untold{record{id, g.State.String(), g.At}, g.Release, g.Seen})
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err == nil {
		part := o.Watch.Begin(watchdog.Task{Kind: watchdog.OrderStore, Func: "control.(*Orders).keep", On: o})
		err = durable.Replace(o.path, append(text, '\n'), nil)
		part.Remove()
	}
	if o.unkept = err != nil; o.unkept {
		return fmt.Errorf("orders: %w", err)
	}
	return nil
}
