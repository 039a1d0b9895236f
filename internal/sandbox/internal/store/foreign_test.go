package store

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMailOfOthersStays has a folder with files that look like messages: new ones
// get other numbers, and clearing removes those only.
func TestMailOfOthersStays(t *testing.T) {
	dir := t.TempDir()
	others := map[string]string{"000001.eml": "mine", "000001.json": "{}", "000002.json": "mine", "000004.eml.tmp": "mine", "notes.eml": "mine"}
	for name, text := range others {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	st := newStore(t, Config{Mode: ModeDir, Dir: dir, MaxMessages: 10, MaxBytes: 1 << 20})
	for want := uint64(5); want < 7; want++ {
		if id, err := st.Add("a", []byte("content"), func() *Message { return new(Message) }); err != nil || id != want {
			t.Fatalf("message %d, %v, want %d", id, err, want)
		}
	}
	edited := filepath.Join(dir, "000006.eml")
	if err := os.WriteFile(edited, []byte("edited"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := st.ClearMessages(); err != nil {
		t.Fatal(err)
	}
	others["000006.eml"] = "edited"
	for name, text := range others {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "000005.eml")); err == nil {
		t.Error("a message is still there")
	}
}
