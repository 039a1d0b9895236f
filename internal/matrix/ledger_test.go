package matrix

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fate is what a client knows of a letter when it is done with it.
type fate struct {
	letter
	outcome
	// left: the client left before it had an answer. whole: it had sent the
	// content to its end.
	left, whole bool
}

// ledger holds the fates of all letters.
type ledger struct {
	mu    sync.Mutex // guards fates
	fates []fate
}

func (l *ledger) enter(f fate) {
	l.mu.Lock()
	l.fates = append(l.fates, f)
	l.mu.Unlock()
}

// audit compares the ledger with what the provider has, and returns how many
// letters were accepted.
func (l *ledger) audit(t *testing.T, k *stack) (accepted int) {
	t.Helper()
	counts := map[string]int{}
	for _, f := range l.fates {
		to := f.accepted(f.letter)
		if f.left || f.err != nil {
			to = nil
		}
		copies := k.arrived(f.letter)
		class := f.class(len(to))
		counts[class]++
		switch {
		case len(copies) > 1:
			t.Errorf("letter %s arrived %d times: %+v", f.from, len(copies), f.outcome)
		case len(to) > 0 && len(copies) == 0:
			t.Errorf("letter %s was acknowledged and is lost: %+v", f.from, f.outcome)
		case len(to) > 0:
			accepted++
			checkCopy(t, copies[0], f.letter, to)
		case len(copies) == 0:
		case class == "refused" || class == "deferred" || f.left && !f.whole:
			t.Errorf("letter %s of a client that %s arrived: %+v", f.from, class, f.outcome)
		default:
			counts[class+", arrived"]++
			var paths []string
			for _, r := range copies[0].Recipients {
				paths = append(paths, r.Path)
			}
			for i, rcpt := range f.to { // no refused recipient got it
				if i < len(f.rcpts) && f.rcpts[i][0] != '2' && slices.Contains(paths, rcpt) {
					t.Errorf("letter %s went to %s, who was refused: %+v", f.from, rcpt, f.outcome)
				}
			}
			checkCopy(t, copies[0], f.letter, paths)
		}
	}
	t.Logf("%d letters: %v", len(l.fates), fmt.Sprint(counts))
	return accepted
}

// class is what the client may conclude about the letter.
func (f *fate) class(accepted int) string {
	told := f.told(0)
	switch {
	case f.left:
		return "left"
	case f.err != nil:
		return "disconnected"
	case accepted > 0:
		return "accepted"
	case strings.HasPrefix(told, "5"):
		return "refused"
	case strings.HasPrefix(told, lost), strings.HasPrefix(told, protocol):
		return "unknown"
	}
	return "deferred"
}
