// Package hint is the catalogue of what goes wrong: each reply of ours that refuses, each
// class of a provider's refusal and each token error has an entry, with its cause and its
// remedy. The names of the entries are an interface: logs, answers and alerts have them.
// docs/troubleshooting.md is generated from it.
package hint

import (
	"iter"

	"go.uber.org/zap"
)

// ID names an entry. The zero value is None. Its number differs between versions.
type ID uint16

// entry explains one thing. Each text is printable ASCII on one line.
type entry struct {
	name string
	// cause is what has happened, as a clause.
	cause string
	// remedy is what to do, as a clause. Replies and log lines have it; "": they say no more.
	remedy string
	// how has the exact commands, settings and pages, for the page; a line each.
	how string
}

// table has the entries of all groups.
var table = assemble()

func assemble() (all [NumIDs]entry) {
	for i := range groups {
		for id, e := range groups[i].entries {
			all[id] = e
		}
	}
	return all
}

// String returns the name, such as "account-paused"; "" for None.
func (id ID) String() string { return table[id].name }

// Cause says what has happened.
func (id ID) Cause() string { return table[id].cause }

// Remedy says what to do; "" for None.
func (id ID) Remedy() string { return table[id].remedy }

// How has the exact commands, settings and pages, a line each; "" if Remedy says it all.
func (id ID) How() string { return table[id].how }

// Fields are the fields of a line of the log: the name and the remedy.
func (id ID) Fields() []zap.Field {
	if id == None {
		return nil
	}
	return []zap.Field{zap.String("hint_id", id.String()), zap.String("hint", id.Remedy())}
}

// Or returns id, or other if id is None.
func (id ID) Or(other ID) ID {
	if id == None {
		return other
	}
	return id
}

// Parse returns the entry with that name.
func Parse(name string) (id ID, ok bool) {
	for id := range All() {
		if id.String() == name {
			return id, true
		}
	}
	return None, false
}

// All yields each entry.
func All() iter.Seq[ID] {
	return func(yield func(ID) bool) {
		for id := None + 1; id < NumIDs && yield(id); id++ {
		}
	}
}
