package throttle

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth"
)

func parsed(t testing.TB, reply string) codec.Reply {
	t.Helper()
	r, _, err := codec.ParseReply([]byte(reply + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestJudge has what the providers document, by hand.
func TestJudge(t *testing.T) {
	const g, m, o = ProviderGoogle, ProviderMicrosoft, ProviderOther
	type effects = map[Provider]AccountEffect
	all := func(e AccountEffect) effects { return effects{g: e, m: e, o: e} }
	quota := "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; x"
	tests := []struct {
		reply string
		at    phaseSet
		want  effects // of a provider that is not in it: none, or login refused before MAIL
	}{
		{"250 2.0.0 ok", 1<<numPhases - 1, all(AccountNone)},

		{"550 5.7.501 Access denied, spam abuse detected", notAtRcpt, effects{m: AccountHold}},
		{"550 5.7.502 Access denied, banned sender", notAtRcpt, effects{m: AccountHold}},
		{"550 5.7.503 Access denied, banned sender", notAtRcpt, effects{m: AccountHold}},
		{"550 5.7.511 Access denied, banned sender", notAtRcpt, effects{m: AccountHold}},
		{"550 5.7.705 Access denied, tenant has exceeded threshold", notAtRcpt, effects{m: AccountHold}},
		{"550 5.7.708 traffic not accepted from this IP", notAtRcpt, effects{m: AccountHold}},
		{"550 5.1.8 Access denied, bad outbound sender", notAtRcpt, effects{m: AccountHold}},
		{"550 5.2.251 full", notAtRcpt, effects{m: AccountHold}},
		{"550 5.2.253 licence", notAtRcpt, effects{m: AccountHold}},
		{"550 5.2.255 invalid recipients", notAtRcpt, effects{m: AccountHold}},
		{"554 5.2.2 mailbox full", notAtRcpt, effects{m: AccountHold}},
		{"550 5.7.501 Access denied, spam abuse detected", atRcpt, nil},
		{"550 5.7.511 Access denied, banned sender", atRcpt, nil},
		{"550 5.7.705 tenant", atRcpt, nil},
		{"550 5.7.708 traffic", atRcpt, nil},
		{"550 5.1.8 Sender address rejected: Domain not found", atRcpt, nil},
		{"550 5.2.251 full", atRcpt, nil},
		{"554 5.2.2 mailbox full", atRcpt, nil},
		{"550 5.7.504 recipient", inTransaction, nil},
		{"550 5.7.505 banned recipient", inTransaction, nil},
		{"550 5.7.506 bad HELO", inTransaction, nil},
		{"550 5.7.507 rejected by recipient", inTransaction, nil},
		{"550 5.7.508 rejected by range", inTransaction, nil},
		{"550 5.7.509 fails DMARC", inTransaction, nil},
		{"550 5.7.510 x", inTransaction, nil},
		{"550 5.7.750 unregistered domain", inTransaction, nil},
		{"550 5.2.250 other", inTransaction, nil},
		{"554 5.2.252 SendAsDenied", inTransaction, nil},
		{"554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.x", inTransaction, nil},
		{"550 5.1.1 no such user", inTransaction, nil},
		{"550 5.7.1 policy", inTransaction, nil},

		{"550 5.4.5 Daily user sending limit exceeded", inTransaction, effects{g: AccountQuota}},
		{quota, inTransaction, effects{m: AccountQuota}},
		{"550 5.1.90 daily limit for message recipients", inTransaction, effects{m: AccountQuota}},
		{"550 5.7.232 trial tenant", inTransaction, effects{m: AccountQuota}},
		{"550 5.7.233 tenant", inTransaction, effects{m: AccountQuota}},

		{"421 4.3.2 try later", inTransaction, all(AccountThrottle)},
		{"421 4.7.0 too fast", inTransaction, all(AccountThrottle)},
		{"421 busy", notAtRcpt, all(AccountThrottle)},
		{"421 busy", atRcpt, nil},
		{"421 4.2.1 the recipient gets mail too fast", atRcpt, nil},
		{"421 4.4.2 timeout", inTransaction, nil},
		{"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", inTransaction, all(AccountThrottle)},
		{"450 4.7.1 slow down", notAtRcpt, all(AccountThrottle)},
		{"451 4.7.500 server busy", notAtRcpt, all(AccountThrottle)},
		{"450 4.7.1 greylisted", atRcpt, nil},
		{"451 4.7.1 greylisted", atRcpt, nil},
		{"450 4.2.1 the user receives mail too fast", inTransaction, nil},
		{"451 4.3.0 later", inTransaction, nil},
		{"452 4.5.3 too many recipients", inTransaction, nil},
		{"452 4.4.5 later", inTransaction, nil},
		{"454 4.7.0 later", inTransaction, nil},

		{"421 4.7.0 too many sessions", atConnect | atAuth, all(AccountThrottle)},
		{"421 busy", atConnect | atAuth, all(AccountThrottle)},
		{"421 4.4.2 timeout", atConnect | atAuth, nil},
		{"432 4.3.2 too many", atAuth, all(AccountThrottle)},
		{"454 4.7.0 too many logins", atAuth, all(AccountLogins)},
		{"450 4.7.1 too many logins", atAuth, all(AccountLogins)},
		{"454 4.7.0 TLS not available", atConnect, nil},
		{"535 5.7.139 SmtpClientAuthentication is disabled", atAuth, effects{m: AccountHold}},
		{"535 5.7.3 Authentication unsuccessful", atAuth, all(AccountToken)},
		{"535 5.7.8 not accepted", atAuth, all(AccountToken)},
		{"501 5.5.127 near its expiry", atAuth, all(AccountToken)},
		{"534 5.7.9 browser", atAuth, nil},
		{"500 5.5.2 line too long", atAuth, nil},
		{"501 5.5.2 cannot decode", atAuth, nil},
		{"555 5.5.2 syntax error", atAuth, nil},
		{"500 5.5.6 line too long", atAuth, nil},
	}
	for _, tt := range tests {
		r := parsed(t, tt.reply)
		for phase := PhaseGreeting; phase < numPhases; phase++ {
			if !tt.at.has(phase) {
				continue
			}
			for p := range NumProviders {
				want, ok := tt.want[p]
				if !ok && phase < PhaseMail {
					want = AccountLogin
				}
				if got := Judge(Occasion{Provider: p, Phase: phase}, &r).Account; got != want {
					t.Errorf("%s from %s at %v: %s, want %s", tt.reply, p, phase, got, want)
				}
			}
		}
	}
}

// TestJudgeUsedConnection: what speaks of a connection that has carried messages
// throttles nothing.
func TestJudgeUsedConnection(t *testing.T) {
	for _, tt := range []struct {
		reply   string
		at      phaseSet
		retired bool
		account AccountEffect
	}{
		{"421 closing", inTransaction, true, AccountNone},
		{"421 4.4.2 idle", inTransaction, true, AccountNone},
		{"421 4.4.5 busy", inTransaction, true, AccountNone},
		{"451 4.4.2 timeout", notAtRcpt, true, AccountNone},
		{"452 4.4.5 enough", notAtRcpt, true, AccountNone},
		{"452 4.4.5 enough", atRcpt, false, AccountNone},
		{"451 4.4.1 no answer", inTransaction, false, AccountNone},
		{"421 4.3.2 busy", inTransaction, false, AccountThrottle},
		{"421 4.7.0 too fast", inTransaction, false, AccountThrottle},
	} {
		r := parsed(t, tt.reply)
		for phase := PhaseMail; phase < numPhases; phase++ {
			for p := range NumProviders {
				if !tt.at.has(phase) {
					continue
				}
				v := Judge(Occasion{p, phase, true}, &r)
				if v.Connection == ConnectionRetired != tt.retired || v.Account != tt.account {
					t.Errorf("%s from %s at %v: %+v", tt.reply, p, phase, v)
				}
				if fresh := Judge(Occasion{p, phase, false}, &r); fresh.Connection == ConnectionRetired {
					t.Errorf("%s on a fresh connection: %+v", tt.reply, fresh)
				}
			}
		}
	}
}

// commonCodes are enhanced codes that servers use, for every reply code.
var commonCodes = []string{"", "x.0.0", "x.1.0", "x.1.1", "x.1.2", "x.1.3", "x.1.7", "x.1.10", "x.2.0", "x.2.1", "x.2.3", "x.2.4",
	"x.3.0", "x.3.1", "x.3.4", "x.4.0", "x.4.1", "x.4.3", "x.4.4", "x.4.6", "x.4.7", "x.5.0", "x.5.1", "x.5.3", "x.5.4", "x.6.0", "x.6.3",
	"x.6.7", "x.7.0", "x.7.1", "x.7.2", "x.7.9", "x.7.23", "x.7.25", "x.7.26", "x.7.27", "x.7.28", "x.7.57", "x.7.60", "x.7.124", "x.7.500", "x.7.606"}

// eachCommonCode calls f for each reply code with each of the common enhanced
// codes that the table says nothing of from MAIL on.
func eachCommonCode(t *testing.T, f func(reply string)) {
	n := 0
	for code := 400; code < 600; code++ {
		for _, enhanced := range commonCodes {
			detail := strings.TrimPrefix(enhanced, "x")
			switch { // what speaks of the account: see TestJudge
			case code == 421, code == 432, (code == 450 || code == 451) && strings.HasPrefix(detail, ".7."):
				continue
			}
			reply := strconv.Itoa(code) + " "
			if enhanced != "" {
				reply += strconv.Itoa(code/100) + detail + " "
			}
			f(reply + "no")
			n++
		}
	}
	if n < 8000 {
		t.Errorf("only %d replies", n)
	}
}

// TestOtherCodesConcernTheMessage: whatever is not in the table.
func TestOtherCodesConcernTheMessage(t *testing.T) {
	eachCommonCode(t, func(reply string) {
		r := parsed(t, reply)
		for phase := PhaseMail; phase < numPhases; phase++ {
			for p := range NumProviders {
				for _, carried := range []bool{false, true} {
					if v := Judge(Occasion{p, phase, carried}, &r); v.Hint == hint.None || v != (Verdict{Hint: v.Hint}) {
						t.Errorf("%s from %s at %v: %+v", reply, p, phase, v)
					}
				}
			}
		}
	})
}

// TestTokenVerdictsAgree: the table and what the log and the API say of a refusal
// of AUTH are of one opinion on whether another token may help.
func TestTokenVerdictsAgree(t *testing.T) {
	presets := [NumProviders]string{ProviderOther: "own", ProviderGoogle: "gmail", ProviderMicrosoft: "outlook"}
	check := func(reply string) {
		r := parsed(t, reply)
		for p, name := range presets {
			enhanced := ""
			if !r.Enhanced.IsZero() {
				enhanced = r.Enhanced.String()
			}
			class, _ := oauth.ExplainAuthRefusal(name, r.Code, enhanced, r.Text, "")
			got := Judge(Occasion{Provider: Provider(p), Phase: PhaseAuth}, &r).Account == AccountToken
			if want := class == oauth.ClassTokenRefused; got != want {
				t.Errorf("%s from %s: token refused %t by the table, %t by its explanation (%v)", reply, name, got, want, class)
			}
		}
	}
	eachCommonCode(t, check)
	for _, reply := range []string{"535 5.7.3 x", "535 5.7.8 x", "535 5.7.139 x", "535 5.7.9 x", "535 5.7.14 x", "534 5.7.14 x", "501 5.5.124 x",
		"501 5.5.127 x", "500 5.5.2 x", "501 5.5.2 x", "555 5.5.2 x", "500 5.5.6 x", "432 4.7.0 x", "454 4.7.0 x", "421 4.7.0 x", "550 5.7.30 x"} {
		check(reply)
	}
}

func TestProviderOf(t *testing.T) {
	for _, tt := range []struct {
		name, host string
		want       Provider
	}{
		{"gmail", "127.0.0.1", ProviderGoogle},
		{"outlook", "127.0.0.1", ProviderMicrosoft},
		{"outlook-china", "smtp.partner.outlook.cn", ProviderMicrosoft},
		{"own", "SMTP.office365.com", ProviderMicrosoft},
		{"own", "smtp.hve.mx.microsoft", ProviderMicrosoft},
		{"own", "smtp-relay.gmail.com", ProviderGoogle},
		{"own", "notgmail.com", ProviderOther},
		{"own", "gmail.com.example.net", ProviderOther},
		{"own", "smtp.example.com", ProviderOther},
	} {
		a := &account.Account{Provider: tt.name, SMTP: account.Endpoint{Host: tt.host}}
		if got := ProviderOf(a); got != tt.want {
			t.Errorf("%s at %s: %s, want %s", tt.name, tt.host, got, providerNames[tt.want])
		}
	}
}

// TestJudgeAllocatesNothing, for any row.
func TestJudgeAllocatesNothing(t *testing.T) {
	replies := []codec.Reply{parsed(t, "554 5.2.0 "+strings.Repeat("a", 300)+" submissionquotaexceeded"), parsed(t, "550 5.1.1 no")}
	a := &account.Account{Provider: "own", SMTP: account.Endpoint{Host: "smtp.example.com"}}
	n := testing.AllocsPerRun(100, func() {
		for i := range replies {
			Judge(Occasion{ProviderOf(a), PhaseFinal, true}, &replies[i])
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestCodesStandInTheTable: no other file compares a reply with a code of a
// refusal, so none can Judge by itself.
func TestCodesStandInTheTable(t *testing.T) {
	files := token.NewFileSet()
	var names []string
	for _, pattern := range []string{"../../*.go", "../*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	refusal := func(e ast.Expr) bool {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.INT {
			return false
		}
		n, _ := strconv.Atoi(lit.Value)
		return n > 400 && n < 600 // 400 parts refusals from success
	}
	looked := 0
	complain := func(n ast.Node, what string) {
		t.Errorf("%v: %s: what a reply means stands in verdict_table.go", files.Position(n.Pos()), what)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "../throttle/verdict_") {
			continue
		}
		looked++
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op != token.MUL && (refusal(n.X) || refusal(n.Y)) {
					complain(n, "compares with the code of a refusal")
				}
			case *ast.CaseClause:
				for _, e := range n.List {
					if refusal(e) {
						complain(e, "is a case for the code of a refusal")
					}
				}
			case *ast.IndexExpr:
				if sel, ok := n.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Enhanced" {
					complain(n, "looks at a part of an enhanced code")
				}
			}
			return true
		})
	}
	if looked < 30 {
		t.Errorf("looked at %d files", looked)
	}
}
