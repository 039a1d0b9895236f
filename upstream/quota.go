package upstream

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/watchdog"
)

// QuotaStore keeps the counts of the day over restarts. An hour is numbered
// since the Unix epoch. Load and Save are called by shards and must not wait
// for the disk; all methods may be called at the same time.
type QuotaStore interface {
	// Load calls hour for each hour of the account that was saved.
	Load(account string, hour func(hour int64, messages, recipients uint32))
	// Save replaces the counts of an hour of the account.
	Save(account string, hour int64, messages, recipients uint32)
	// Flush has all that was saved on the disk when it returns.
	Flush() error
}

// saveInterval is how often counts go to the store: so much of them is lost
// when the process is killed.
const saveInterval = 5 * time.Second

// saver writes counts to Config.Quota from time to time.
type saver struct {
	relay *Relay
	quit  chan struct{}
	done  sync.WaitGroup
}

// start begins to save, until stop.
func (v *saver) start(r *Relay) {
	if r.cfg.Quota == nil {
		return
	}
	v.relay, v.quit = r, make(chan struct{})
	v.done.Go(func() {
		tick := time.NewTicker(saveInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				v.save()
			case <-v.quit:
				v.save()
				return
			}
		}
	})
}

// stop saves for the last time and waits for it.
func (v *saver) stop() {
	if v.quit != nil {
		close(v.quit)
		v.done.Wait()
	}
}

// save gives the store what has changed. A shard that does not answer keeps its
// counts for the next time.
func (v *saver) save() {
	answers := make(chan struct{}, len(v.relay.shards))
	asked := 0
	for _, s := range v.relay.shards {
		if s.part.Stuck() || s.saving.Swap(true) {
			continue
		}
		asked++
		s.do(func(now time.Time) {
			defer func() {
				s.saving.Store(false)
				answers <- struct{}{}
			}()
			for i, st := range s.unsaved {
				st.meter.advance(now)
				st.meter.save(v.relay.cfg.Quota, st.id)
				st.unsaved, s.unsaved[i] = false, nil
			}
			s.unsaved = s.unsaved[:0]
		})
	}
	patience := time.After(askPatience)
	for late := false; asked > 0 && !late; asked-- {
		select {
		case <-answers:
		case <-patience:
			late = true
		}
	}
	part := v.relay.cfg.Watch.Begin(watchdog.Task{Kind: watchdog.QuotaStore, Func: "upstream.(*saver).save", On: v})
	err := v.relay.cfg.Quota.Flush()
	part.Remove()
	if err != nil {
		v.relay.log.Error("counts of the day are not saved: after a restart accounts may exceed their limits", zap.Error(err))
	}
}

// load restores the counts of the day of an account.
func (m *meter) load(store QuotaStore, id string) {
	if store == nil {
		return
	}
	store.Load(id, func(hour int64, messages, recipients uint32) {
		before := m.rcpts.sum
		m.used[limitDay].restore(hour, int(messages))
		m.rcpts.restore(hour, int(recipients))
		m.left.Add(int64(before - m.rcpts.sum))
	})
}

// save gives the store the hours that can have changed since the last time: the
// one that runs and the one before.
func (m *meter) save(store QuotaStore, id string) {
	for hour := m.rcpts.last - 1; hour <= m.rcpts.last; hour++ {
		messages, recipients := m.used[limitDay].at(hour), m.rcpts.at(hour)
		if messages+recipients > 0 {
			store.Save(id, hour, messages, recipients)
		}
	}
}
