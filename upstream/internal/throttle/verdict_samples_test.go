package throttle

import (
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

// samplesFile has a line for each reply that a row of the table is for. The tests of
// the relay have a provider give all of them.
const samplesFile = "testdata/samples.txt"

// TestSamples holds the file against the table, and each row against its samples.
func TestSamples(t *testing.T) {
	var all []string
	for i := range verdictRows {
		for _, s := range verdictRows[i].samples() {
			if r := parsed(t, s); !verdictRules[i].fitsAnywhere(&r) {
				t.Fatalf("row %d is not for its sample %q", i, s)
			}
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	generated(t, samplesFile, []byte(strings.Join(all, "\n")+"\n"))
}

// fitsAnywhere reports whether the rule is for the reply from some provider at
// some phase.
func (v *verdictRule) fitsAnywhere(r *codec.Reply) bool {
	for phase := range numPhases {
		for by := range NumProviders {
			if v.fits(Occasion{by, phase, true}, r) {
				return true
			}
		}
	}
	return false
}

// samples returns replies that the row is for: of each code, at both ends of
// each range.
func (row *verdictRow) samples() (replies []string) {
	for code := range strings.SplitSeq(row.code, ", ") {
		code = strings.Replace(code, "yz", "50", 1)
		var all []string
		switch row.enhanced {
		case "", "none":
			all = []string{""}
		default:
			all = []string{" "}
			for i, digits := range strings.Split(row.enhanced, ".") {
				ends := []string{digits}
				if digits == "x" {
					ends = []string{"1"}
				}
				if i == 0 {
					ends[0] = code[:1]
				}
				if from, to, ok := strings.Cut(digits, "-"); ok {
					ends = []string{from, to}
				}
				var longer []string
				for _, begun := range all {
					for _, end := range ends {
						longer = append(longer, begun+end+".")
					}
				}
				all = longer
			}
		}
		for _, enhanced := range all {
			replies = append(replies, code+strings.TrimSuffix(enhanced, ".")+" "+row.text+" no")
		}
	}
	return replies
}
