package upstream

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/watchdog"
)

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
			for i, m := range s.unsaved {
				m.meter.Advance(now)
				m.meter.Hours(m.moved, func(hour int64, messages, recipients uint32) {
					v.relay.cfg.Quota.Save(m.key, hour, messages, recipients)
				})
				m.unsaved, m.moved, s.unsaved[i] = false, false, nil
			}
			s.unsaved = s.unsaved[:0]
		})
	}
	v.relay.desk.Tenants.Save()
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

// save has the counts of the mailbox of st saved.
func (s *shard) save(st *accountState) {
	if s.relay.cfg.Quota != nil && !st.mailbox.unsaved {
		st.mailbox.unsaved = true
		s.unsaved = append(s.unsaved, st.mailbox)
	}
}
