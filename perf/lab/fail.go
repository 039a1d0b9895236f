package lab

import "fmt"

// failure is what Check panics with.
type failure struct{ err error }

// Check ends the measurement if err is not nil: a measurement that something is
// wrong with has no result. The innermost Try returns err. Functions of the
// measuring commands call it instead of returning errors, unless a caller goes on
// after the error.
func Check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// Must returns the value, and ends the measurement if err is not nil.
func Must[T any](value T, err error) T {
	Check(err)
	return value
}

// Failf ends the measurement with an error of that text.
func Failf(format string, args ...any) { Check(fmt.Errorf(format, args...)) }

// Try calls f and returns the error that ended it, nil if none did. Other panics go
// on.
func Try(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.err
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// Go calls f in a goroutine. The function that it returns waits for its end and ends
// the measurement if f did.
func Go(f func()) (wait func()) {
	ended := make(chan error, 1)
	go func() { ended <- Try(f) }()
	return func() { Check(<-ended) }
}
