// Package turns spreads over a time what is to happen to many.
package turns

// Turns are the turns of some.
type Turns[T any] struct {
	left       []T
	all        int64
	began, end int64
}

// Begin gives turns to those in of, which it owns, in the order from the last to the first:
// evenly between two times.
func (t *Turns[T]) Begin(of []T, began, end int64) {
	*t = Turns[T]{left: of, all: int64(len(of)), began: began, end: max(end, began+1)}
}

// Next returns one whose turn has come; ok is false if there is none now.
func (t *Turns[T]) Next(now int64) (one T, ok bool) {
	last := len(t.left) - 1
	if last < 0 || int64(last) < t.all*max(t.end-now, 0)/(t.end-t.began) {
		return one, false
	}
	one, t.left[last] = t.left[last], one
	t.left = t.left[:last]
	return one, true
}

// Left is how many have not had their turn.
func (t *Turns[T]) Left() int { return len(t.left) }

// Clear forgets those who have not had their turn.
func (t *Turns[T]) Clear() { t.left = nil }
