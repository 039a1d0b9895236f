package handover

import (
	"context"
	"errors"
	"math"
	"os"
	"sync"
	"time"

	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/quota"
)

// flushTimeout is how long a Flush waits for the other process.
const flushTimeout = 2 * time.Second

// Counts are the counts of the day of a process that may give its file to another process, or
// get it from one. They implement upstream.QuotaStore.
//
// The meters of a process count what it sends itself, from what Load gave them on. The file
// has the sum of both processes: what the other one adds does not come into the meters here
// before Others gives it to them.
type Counts struct {
	open func() (*quota.Store, error)

	flushing sync.Mutex // one Flush, change of the file or message at a time; before mu

	mu     sync.Mutex
	file   *quota.Store // nil: this process does not have it
	link   *frames.Conn
	total  map[string]hours // without the file: what this process knows of it
	unsent map[string]hours // without the file: what it counted since and was not acknowledged
	others map[string]hours // what the sum has above the meters of this process
}

// hours are counts by hour.
type hours map[int64]pair

// pair is messages and recipients, or a difference of them.
type pair struct{ Messages, Recipients int64 }

func (a pair) plus(b pair) pair  { return pair{a.Messages + b.Messages, a.Recipients + b.Recipients} }
func (a pair) minus(b pair) pair { return pair{a.Messages - b.Messages, a.Recipients - b.Recipients} }

// counts returns a as it is in the file.
func (a pair) counts() (messages, recipients uint32) {
	in := func(n int64) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }
	return in(a.Messages), in(a.Recipients)
}

// put makes is what is counted of an hour; nothing: it is left out.
func put(of map[string]hours, account string, hour int64, is pair) {
	h := of[account]
	if h == nil {
		if is == (pair{}) {
			return
		}
		h = make(hours)
		of[account] = h
	}
	h[hour] = is
	if is == (pair{}) {
		if delete(h, hour); len(h) == 0 {
			delete(of, account)
		}
	}
}

// NewCounts returns the counts whose file open opens.
func NewCounts(open func() (*quota.Store, error)) (*Counts, error) {
	c := &Counts{open: open, unsent: make(map[string]hours), others: make(map[string]hours)}
	var err error
	if c.file, err = open(); err != nil {
		return nil, err
	}
	return c, nil
}

// connect has the counts use link; nil: there is no other process any more.
func (c *Counts) connect(link *frames.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = link
}

// contents returns what the file has.
func contents(file *quota.Store) map[string]hours {
	all := make(map[string]hours)
	file.All(func(account string, hour int64, messages, recipients uint32) {
		put(all, account, hour, pair{int64(messages), int64(recipients)})
	})
	return all
}

// leave writes all to the file and closes it.
func (c *Counts) leave() error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	c.mu.Lock()
	file := c.file
	if file == nil {
		c.mu.Unlock()
		return nil
	}
	c.total = contents(file)
	c.file = nil
	c.mu.Unlock()
	return file.Close()
}

// takeBack opens the file, if this process does not have it, and adds what was not
// acknowledged.
func (c *Counts) takeBack() error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		return nil
	}
	file, err := c.open()
	if err != nil {
		return err
	}
	now := contents(file)
	for account, of := range c.unsent {
		for hour, n := range of {
			sum := now[account][hour].plus(n)
			put(now, account, hour, sum)
			messages, recipients := sum.counts()
			file.Save(account, hour, messages, recipients)
		}
	}
	for account, of := range now {
		for hour, sum := range of {
			own := c.total[account][hour].minus(c.others[account][hour])
			put(c.others, account, hour, sum.minus(own))
		}
	}
	c.file, c.total, c.unsent = file, nil, make(map[string]hours)
	return nil
}

// Load implements upstream.QuotaStore. The meter that it fills counts what the other process
// has counted, too.
func (c *Counts) Load(account string, each func(hour int64, messages, recipients uint32)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.others, account)
	if c.file != nil {
		c.file.Load(account, each)
		return
	}
	for hour, n := range c.total[account] {
		messages, recipients := n.counts()
		each(hour, messages, recipients)
	}
}

// Save implements upstream.QuotaStore.
func (c *Counts) Save(account string, hour int64, messages, recipients uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil && len(c.others) == 0 {
		c.file.Save(account, hour, messages, recipients)
		return
	}
	sum := pair{int64(messages), int64(recipients)}.plus(c.others[account][hour])
	if c.file != nil {
		messages, recipients = sum.counts()
		c.file.Save(account, hour, messages, recipients)
		return
	}
	put(c.unsent, account, hour, c.unsent[account][hour].plus(sum.minus(c.total[account][hour])))
	put(c.total, account, hour, sum)
}

// Others calls each with what the other process has counted of the account and Load has not
// given to its meter, which now counts it. It is for the goroutine that calls Save for the
// account.
func (c *Counts) Others(account string, each func(hour int64, messages, recipients uint32)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for hour, n := range c.others[account] {
		messages, recipients := n.counts()
		if messages+recipients == 0 {
			continue
		}
		each(hour, messages, recipients)
		put(c.others, account, hour, n.minus(pair{int64(messages), int64(recipients)}))
	}
}

// take adds what the other process has counted; false: this process does not have the file.
func (c *Counts) take(counted map[string]hours) (here bool, err error) {
	if c.away() { // and flushing may be held by a Flush that waits for the other process
		return false, nil
	}
	c.flushing.Lock()
	defer c.flushing.Unlock()
	c.mu.Lock()
	file := c.file
	if file == nil {
		c.mu.Unlock()
		return false, nil
	}
	for account, of := range counted {
		has := make(hours)
		file.Load(account, func(hour int64, messages, recipients uint32) {
			has[hour] = pair{int64(messages), int64(recipients)}
		})
		for hour, n := range of {
			put(c.others, account, hour, c.others[account][hour].plus(n))
			messages, recipients := has[hour].plus(n).counts()
			file.Save(account, hour, messages, recipients)
		}
	}
	c.mu.Unlock()
	return true, file.Flush()
}

// Flush implements upstream.QuotaStore. Without the file it sends the counts to the process
// that has it; what that does not acknowledge is kept.
func (c *Counts) Flush() error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	c.mu.Lock()
	file, link, unsent := c.file, c.link, c.unsent
	if file != nil {
		c.mu.Unlock()
		return file.Flush()
	}
	if len(unsent) == 0 || link == nil {
		c.mu.Unlock()
		return nil
	}
	c.unsent = make(map[string]hours)
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	saved, err := tellCounts(ctx, link, unsent)
	if saved && err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for account, of := range unsent {
		for hour, n := range of {
			put(c.unsent, account, hour, c.unsent[account][hour].plus(n))
		}
	}
	return err
}

// away reports whether this process does not have the file.
func (c *Counts) away() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file == nil
}

// copyTo writes the file to w.
func (c *Counts) copyTo(w *os.File) error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	c.mu.Lock()
	file := c.file
	c.mu.Unlock()
	if file == nil {
		return ErrAway
	}
	return errors.Join(file.Flush(), file.CopyTo(w))
}

// holds reports whether something is neither in the file nor acknowledged.
func (c *Counts) holds() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file == nil && len(c.unsent) > 0
}

// Accounts returns those that have counts.
func (c *Counts) Accounts() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		return c.file.Accounts()
	}
	for account := range c.total {
		list = append(list, account)
	}
	return list
}

// Failing returns the error of the last Flush to the file.
func (c *Counts) Failing() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	return c.file.Failing()
}

// Close writes all to the file and closes it, if this process has it.
func (c *Counts) Close() error { return c.leave() }
