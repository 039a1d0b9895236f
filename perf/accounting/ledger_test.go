package accounting

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

// TestCompare has a run of four messages, and a log that agrees, or does not.
func TestCompare(t *testing.T) {
	const (
		head  = "type,orig,rcpt,email,maybeAccepted,process,sequence,aboutProcess,firstSequence,lastSequence,count\n"
		one   = "d,0@sender.test,0@recipient.test,user0@bench.test,,a,1,,,,\n"
		two   = "b,0@sender.test,1@recipient.test,user0@bench.test,,a,2,,,,\n"
		three = "t,1@sender.test,0@recipient.test,user1@bench.test,true,a,3,,,,\n"
		four  = "b,2@sender.test,,user1@bench.test,,a,4,,,,\n"
		five  = "d,3@sender.test,0@recipient.test,user0@bench.test,,a,5,,,,\n"
		end   = "end,,,,,a,,,,5,0\n"
		next  = "start,,,,,b,,a,,4,1\nend,,,,,b,,,,0,0\n" // after a kill
	)
	has := []sandbox.Range{{First: 0, Last: 1}, {First: 3, Last: 3}}
	for _, tt := range []struct {
		name, log string
		has       []sandbox.Range
		untold    bool // the client of message 3 lost its connection
		want      string
	}{
		{"all agree", one + two + three + four + five + end, has, false, ""},
		{"what is missing is what the next start says", one + two + three + four + next, has, false, ""},
		{"dropped, and said", one + two + three + "drop,,,,,a,,,4,4,1\n" + five + end, has, false, ""},
		{"a client that lost its connection", one + two + three + four + five + end, has, true, ""},
		{"lost both ways", one + two + three + four + next, has, true, ""},
		{"a record too few", one + two + three + four + "end,,,,,a,,,,4,0\n", has, false, "1 outcomes are not in the log, and it says that 0 are lost"},
		{"a gap", one + two + four + five + end, has, false, "Gaps:1"},
		{"more lost than is missing", one + two + three + four + five + next, has, false, "0 outcomes are not in the log, and it says that 1 are lost"},
		{"another outcome", one + strings.Replace(two, "b,", "t,", 1) + three + four + five + end, has, false, "was told 'b', the log says 't'"},
		{"another account", one + two + three + four + strings.Replace(five, "user0", "user1", 1) + end, has, false, "user0@bench.test: the log has"},
		{"a record that comes again", one + two + three + four + five + five + end, has, false, "1 records come again"},
		{"two records of a recipient", one + two + three + four + five + strings.Replace(five, ",5,", ",6,", 1) + "end,,,,,a,,,,6,0\n", has, false, "two records of recipient 0"},
		{"of no message", one + two + three + four + five + strings.Replace(strings.Replace(five, "3@", "9@", 1), ",5,", ",6,", 1), has, false, "of none of the messages"},
		{"no end", one + two + three + four + five, has, false, "State:open"},
		{"damaged", one + two + three + four + five + end + "x\n", has, false, "the line has 1 fields"},
		{"the provider lacks one", one + two + three + four + five + end, has[:1], false, "message 3 is delivered, and the provider does not have it"},
		{"the provider has more", one + two + three + four + five + end, []sandbox.Range{{First: 0, Last: 3}}, false, "the provider has message 2, and the log does not know"},
		{"it may have been accepted, and was not", one + two + three + four + five + end, []sandbox.Range{{First: 0, Last: 0}, {First: 3, Last: 3}}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLedger(4)
			for n, account := range []int{0, 1, 1, 0} {
				l.begin(n, account)
			}
			l.told(0, 0, nil)
			l.told(0, 1, lab.Refusal("550 5.1.1 no"))
			l.told(1, 0, lab.Refusal("451 4.4.2 lost"))
			l.told(2, ofEnvelope, lab.Refusal("550 5.7.1 no"))
			var last error
			if tt.untold {
				last = errors.New("reset")
			}
			l.told(3, 0, last)
			path := filepath.Join(t.TempDir(), "accounting.csv")
			if err := os.WriteFile(path, []byte(head+tt.log), 0o600); err != nil {
				t.Fatal(err)
			}
			err := l.compare(sandbox.LoadStats{DeliveredRanges: tt.has}, path).failure("CSV")
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestFaultsAreValid(t *testing.T) {
	for _, r := range faults {
		if err := r.Validate(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
