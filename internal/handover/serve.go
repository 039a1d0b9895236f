package handover

import (
	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/oauth"
)

// serve answers what both processes may ask. It does not wait: the work is done on another
// goroutine.
func serve(m *frames.Message, tokens *Tokens, counts *Counts) {
	switch {
	case m.Kind == kindRecord:
		go answerRecord(m, tokens)
	case m.Kind == kindLoad:
		go answerLoad(m, tokens)
	case m.Kind == kindCounts:
		go answerCounts(m, counts)
	default:
		for _, f := range m.Files {
			_ = f.Close()
		}
		_ = m.Answer(nil, frames.ErrUnknown)
	}
}

// answerRecord saves a record, or holds it without the file. A process that has none at all
// does neither.
func answerRecord(m *frames.Message, tokens *Tokens) {
	var r record
	var out stored
	err := m.Body(&r)
	if err == nil && tokens != nil {
		is := r.saving()
		if out.Here, err = tokens.save(is, true); !out.Here {
			tokens.hold(holding{is.chain.AccountID, true}, is)
		}
	}
	_ = m.Answer(out, err)
}

func answerLoad(m *frames.Message, tokens *Tokens) {
	var c chain
	var out loaded
	err := m.Body(&c)
	if err == nil && tokens != nil {
		var is saving
		is.chain = c.chain()
		is.record, out.Found, out.Here, err = tokens.load(is.chain)
		out.Record = recordFor(is.chain, is.record)
	}
	_ = m.Answer(out, err)
}

func answerCounts(m *frames.Message, counts *Counts) {
	var counted map[string]hours
	var out stored
	err := m.Body(&counted)
	if err == nil && counts != nil {
		out.Here, err = counts.take(counted)
	}
	_ = m.Answer(out, err)
}

// joined returns the newer refresh token and the newer access token of two records of one
// chain. Generations tell more than times, if both have one.
func joined(a, b oauth.Record) oauth.Record {
	if a.Generation != b.Generation && a.Generation > 0 && b.Generation > 0 {
		if a.Generation > b.Generation {
			return a
		}
		return b
	}
	b.Generation = max(a.Generation, b.Generation)
	if b.Spare.IsZero() {
		b.Spare = a.Spare
	}
	if a.Rotated.After(b.Rotated) {
		b.Refresh, b.Rotated, b.RefreshEnds, b.RefreshRolls = a.Refresh, a.Rotated, a.RefreshEnds, a.RefreshRolls
	}
	if a.Refreshed.After(b.Refreshed) {
		b.Access, b.Refreshed, b.Expiry, b.Credentials = a.Access, a.Refreshed, a.Expiry, a.Credentials
	}
	if !a.Seen.IsZero() && (b.Seen.IsZero() || a.Seen.Before(b.Seen)) {
		b.Seen = a.Seen
	}
	return b
}
