package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/testkit"
)

func TestStoreDir(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Store: StoreConfig{Mode: ModeDir, Dir: dir}}
	content := "Subject: x\r\n\r\n\x00\xff binary\r\n"
	s := newServer(t, cfg)
	mustDeliver(t, s, outlookUser, content)
	check := func(name string) {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(dir, name+".eml"))
		if err != nil || string(raw) != content {
			t.Errorf("%q, %v", raw, err)
		}
		b, err := os.ReadFile(filepath.Join(dir, name+".json"))
		var m Message
		if err := json.Unmarshal(b, &m); err != nil {
			t.Errorf("%v in %s", err, b)
		}
		sum := sha256.Sum256([]byte(content))
		if err != nil || m.SHA256 != hex.EncodeToString(sum[:]) || m.Account != outlookUser || m.Recipients[0].Path != "to@b.test" {
			t.Errorf("%+v, %v", m, err)
		}
	}
	check("000001")
	s.Close()
	// A second run goes on with the numbers.
	s = newServer(t, cfg)
	mustDeliver(t, s, outlookUser, content)
	check("000002")
	if err := s.ClearMessages(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d files left", len(left))
	}
	// A message that cannot be written is not accepted.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, s, outlookUser, "x"); !refused(err, 451, "4.3.0 ") {
		t.Errorf("a message that cannot be written: %v", err)
	}
	if st := s.Stats(); st.Messages != 1 {
		t.Errorf("%d messages", st.Messages)
	}
}

func TestHTTP(t *testing.T) {
	s := newServer(t, Config{Record: 10, Spans: []Duration{Duration(time.Minute)}})
	content := "Subject: over HTTP\r\n\r\n\x80\r\n"
	mustDeliver(t, s, gmailUser, content)
	mustDeliver(t, s, outlookUser, HeaderLoadID+"run/3\r\n\r\n")
	do := func(method, path, body string, want int) []byte {
		t.Helper()
		resp, text := testkit.Ask(t, nil, method, "http://"+s.HTTPAddr()+path, body)
		if resp.StatusCode != want {
			t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
		}
		return []byte(text)
	}
	var list []Message
	json.Unmarshal(do("GET", "/messages", "", 200), &list)
	if len(list) != 2 || list[0].Account != gmailUser || list[0].ReversePath != "from@a.test" {
		t.Errorf("%+v", list)
	}
	json.Unmarshal(do("GET", "/messages?account=USER@outlook.com&after=1", "", 200), &list)
	if len(list) != 1 || list[0].ID != 2 {
		t.Errorf("%+v", list)
	}
	do("GET", "/messages?after=x", "", 400)
	var m Message
	json.Unmarshal(do("GET", "/messages/1", "", 200), &m)
	if raw := do("GET", "/messages/1/raw", "", 200); string(raw) != content || m.Size != int64(len(content)) {
		t.Errorf("%q, %+v", raw, m)
	}
	do("GET", "/messages/9", "", 404)
	do("GET", "/messages/x", "", 400)
	for path, want := range map[string]string{
		"/stats": `"messages":2,"bytes":`, "/accounts": `"account_id":"gmail_user_gmail_com"`, "/loads": `"run":"run"`,
		"/loads/run": `"delivered":[{"first":3,"last":3}]`, "/commands": `AUTH XOAUTH2"`,
	} {
		if got := do("GET", path, "", 200); !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := do("GET", "/accounts", "", 200); bytes.Contains(got, []byte("sandbox-refresh")) || bytes.Contains(got, []byte("sandbox-secret")) {
		t.Errorf("secrets in %s", got)
	}
	for method, most := range map[string]string{"GET": `"connections":1`, "DELETE": `"connections":`} {
		if got := do(method, "/peaks", "", 200); !bytes.Contains(got, []byte(most)) || !bytes.Contains(got, []byte(`"span":"1m0s","messages":1,`)) {
			t.Errorf("%s /peaks: %s", method, got)
		}
	}
	do("GET", "/loads/none", "", 404)
	do("POST", "/faults", `[{"name":"f","phase":"noop","action":"reply","reply":"450 4.0.0 no"}]`, 200)
	if err := login(t, s, gmailUser).Noop(); !refused(err, 450, "4.0.0 no") {
		t.Errorf("NOOP with a fault: %v", err)
	}
	if got := do("GET", "/faults", "", 200); !bytes.Contains(got, []byte(`"fired":1`)) {
		t.Errorf("%s", got)
	}
	do("POST", "/faults", `[{"phase":"noop","action":"nothing"}]`, 400)
	do("POST", "/faults", `[{"fase":"noop"}]`, 400)
	do("DELETE", "/faults", "", 200)
	do("PUT", "/latency", `{"round_trip":"1ms"}`, 200)
	if err := login(t, s, gmailUser).Noop(); err != nil {
		t.Errorf("NOOP without a fault: %v", err)
	}
	do("DELETE", "/messages", "", 200)
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages left", n)
	}
	do("GET", "/nowhere", "", 404)
	index := string(do("GET", "/", "", 200))
	for line := range strings.Lines(index) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.ToUpper(fields[0]) != fields[0] {
			continue
		}
		path := strings.NewReplacer("ID", "1", "RUN", "run").Replace(fields[1])
		if _, text := testkit.Ask(t, nil, fields[0], "http://"+s.HTTPAddr()+path, ""); strings.Contains(text, "is not served here") {
			t.Errorf("/ lists %s %s: %s", fields[0], fields[1], text)
		}
	}
	for _, path := range []string{"/messages", "/loads", "/peaks", "/stats", "/accounts", "/commands", "/faults", "/latency", "/token"} {
		if !strings.Contains(index, " "+path+" ") {
			t.Errorf("/ does not list %s:\n%s", path, index)
		}
	}
}

func TestProxyFiles(t *testing.T) {
	s := newServer(t, Config{Accounts: SampleAccounts(5)})
	dir := t.TempDir()
	files, err := s.WriteProxyFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(files.Accounts)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Accounts []map[string]string }
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	a := got.Accounts[1]
	_, port, _ := strings.Cut(s.Addr(PresetOutlook), ":")
	if len(got.Accounts) != 5 || a["email"] != outlookUser || a["oauth_token_url"] != s.TokenURL() || a["oauth_endpoint"] != "localhost:"+port {
		t.Errorf("%s", b)
	}
	if ca, err := os.ReadFile(files.CA); err != nil || !bytes.HasSuffix(ca, s.CAPEM()) {
		t.Error(err)
	}
	if b, err := os.ReadFile(files.Config); err != nil || !bytes.Contains(b, []byte(`"ca_file": "`+files.CA+`"`)) {
		t.Errorf("%s, %v", b, err)
	}
}
