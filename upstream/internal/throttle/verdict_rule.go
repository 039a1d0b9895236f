package throttle

import (
	"fmt"
	"strconv"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
)

// verdictRow is one row of the table, in the form that people read.
type verdictRow struct {
	by providerSet
	at phaseSet
	// code is a reply code, a class ("5yz"), or several of them ("450, 451").
	code string
	// enhanced is an enhanced status code, in which x stands for any number and
	// 501-503 for a range; "" for any, "none" for a reply without one.
	enhanced string
	// text must occur in the reply's text, in any case. It is for codes with several
	// meanings.
	text string
	// carried: only on a connection that has carried a message before.
	carried bool

	message    MessageEffect
	connection ConnectionEffect
	account    AccountEffect
	line       LineEffect // of AUTH

	means  string // what the provider says with it
	hint   hint.ID
	source string // where that is documented
}

// providerSet has the bit of each provider in it.
type providerSet uint8

const (
	google      = providerSet(1 << ProviderGoogle)
	microsoft   = providerSet(1 << ProviderMicrosoft)
	anyProvider = providerSet(1<<NumProviders - 1)
)

func (s providerSet) has(p Provider) bool { return s&(1<<p) != 0 }

// phaseSet has the bit of each phase in it.
type phaseSet uint16

const (
	atConnect     = phaseSet(1<<PhaseGreeting | 1<<PhaseEHLO | 1<<PhaseTLS)
	atEHLO        = phaseSet(1 << PhaseEHLO)
	atAuth        = phaseSet(1 << PhaseAuth)
	atMail        = phaseSet(1 << PhaseMail)
	atRcpt        = phaseSet(1 << PhaseRcpt)
	atEnd         = phaseSet(1<<PhaseData | 1<<PhaseFinal) // BDAT is answered by the final reply
	notAtRcpt     = atMail | atEnd
	inTransaction = atMail | atRcpt | atEnd
)

func (s phaseSet) has(p Phase) bool { return s&(1<<p) != 0 }

// verdictRule is a row in the form that is compared with replies.
type verdictRule struct {
	*verdictRow
	codes          [4]span // those that are not empty
	enhancedNone   bool
	enhancedDigits [3]span // all zero: any
	lower          string  // text
}

// span is an inclusive range of numbers.
type span struct{ from, to uint16 }

func (s span) has(n uint16) bool { return s.from <= n && n <= s.to }

var verdictRules = compile(verdictRows)

// compile returns the rules of rows. It panics if a row cannot be read.
func compile(rows []verdictRow) []verdictRule {
	rules := make([]verdictRule, len(rows))
	for i := range rows {
		rule := &rules[i]
		rule.verdictRow, rule.lower = &rows[i], strings.ToLower(rows[i].text)
		for j, code := range strings.Split(rows[i].code, ", ") {
			class, isClass := strings.CutSuffix(code, "yz")
			rule.codes[j] = readSpan(class)
			if isClass {
				rule.codes[j] = span{rule.codes[j].from * 100, rule.codes[j].from*100 + 99}
			}
		}
		switch e := rows[i].enhanced; e {
		case "":
		case "none":
			rule.enhancedNone = true
		default:
			for j, digits := range strings.SplitN(e, ".", 3) {
				rule.enhancedDigits[j] = readSpan(digits)
			}
		}
	}
	return rules
}

// readSpan reads "x", "n" or "n-m".
func readSpan(s string) span {
	if s == "x" {
		return span{0, 999}
	}
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err != nil || err2 != nil {
		panic(fmt.Sprintf("cannot read %q in the table of verdicts", s))
	}
	return span{uint16(from), uint16(to)}
}

// fits reports whether the rule applies to the reply on that occasion.
func (v *verdictRule) fits(o Occasion, r *codec.Reply) bool {
	if !v.by.has(o.Provider) || !v.at.has(o.Phase) || v.carried && !o.Carried {
		return false
	}
	code := uint16(r.Code)
	if !v.codes[0].has(code) && !v.codes[1].has(code) && !v.codes[2].has(code) && !v.codes[3].has(code) {
		return false
	}
	switch e := r.Enhanced; {
	case v.enhancedNone:
		if !e.IsZero() {
			return false
		}
	case v.enhanced != "":
		d := &v.enhancedDigits
		if e.IsZero() || !d[0].has(e[0]) || !d[1].has(e[1]) || !d[2].has(e[2]) {
			return false
		}
	}
	return v.lower == "" || containsFold(r.Text, v.lower)
}

// containsFold is strings.Contains for ASCII in any case; lower is in lower case.
func containsFold(s, lower string) bool {
	for i := 0; i+len(lower) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(lower)], lower) {
			return true
		}
	}
	return false
}
