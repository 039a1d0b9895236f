// Package pace tells when content comes too slowly: a slow client holds memory that others
// could use.
package pace

const (
	// Window is the time over which the speed of content is averaged, in ticks of 100 ms.
	Window = 600
	// Least is the fewest octets that must come in any Window: 1 KiB a second.
	Least = 60 << 10

	// step is how far one window is after the next.
	step  = 100
	steps = Window / step
)

// Meter measures the speed of one content. The zero value is stopped. Times are ticks of
// a clock that does not go back.
type Meter struct {
	running bool
	slow    bool // a whole window had too few octets
	next    int64
	full    int          // steps that have passed, up to a window
	came    [steps]int64 // octets of each step of the last window
	sum     int64        // of came
	at      int
}

// Running reports whether the meter was started.
func (m *Meter) Running() bool { return m.running }

// Start begins a content.
func (m *Meter) Start(now int64) { *m = Meter{running: true, next: now + step} }

// Stop ends the content.
func (m *Meter) Stop() { *m = Meter{} }

// Add counts octets that came.
func (m *Meter) Add(now int64, n int) {
	m.advance(now)
	m.came[m.at] += int64(n)
	m.sum += int64(n)
}

// Next is the time at which TooSlow is to be asked next; it has passed if the content has
// come too slowly already.
func (m *Meter) Next() int64 {
	if m.slow {
		return 0
	}
	return m.next
}

// TooSlow reports whether fewer than Least octets came in a window that has passed.
func (m *Meter) TooSlow(now int64) bool {
	m.advance(now)
	return m.slow
}

// advance ends the steps that have passed.
func (m *Meter) advance(now int64) {
	for m.running && now >= m.next {
		m.next += step
		m.full = min(m.full+1, steps)
		m.slow = m.slow || m.full == steps && m.sum < Least
		m.at = (m.at + 1) % steps
		m.sum -= m.came[m.at]
		m.came[m.at] = 0
	}
}
