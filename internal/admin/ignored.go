package admin

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

const (
	// mostIgnored bounds how many fields an answer names, longestIgnored the octets of each.
	mostIgnored    = 20
	longestIgnored = 64
)

// newAccountFields are the fields that a new account can have. The decoder takes them in
// any case.
var newAccountFields = func() map[string]bool {
	fields := make(map[string]bool)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[NewAccount]()) {
		if name := f.Tag.Get("json"); name != "" && name != "-" {
			fields[name] = true
		}
	}
	return fields
}()

// UnmarshalJSON implements [json.Unmarshaler]. It notes the fields that mean nothing.
func (n *NewAccount) UnmarshalJSON(text []byte) error {
	type plain NewAccount // without this method
	if err := json.Unmarshal(text, (*plain)(n)); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	n.ignored = nil
	for name := range all {
		if !newAccountFields[strings.ToLower(name)] && !strings.HasPrefix(name, "_") {
			n.ignored = append(n.ignored, strings.ToValidUTF8(name[:min(len(name), longestIgnored)], ""))
		}
	}
	return nil
}

// ignoredIn returns the fields of all accounts that mean nothing, each once.
func ignoredIn(list ...*NewAccount) (names []string) {
	for _, n := range list {
		names = append(names, n.ignored...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), mostIgnored)]
}
