package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/app/internal/succession"
	"xoauth2-proxy/internal/handover"
	"xoauth2-proxy/internal/share/peer"
	"xoauth2-proxy/internal/systemd"
	"xoauth2-proxy/internal/upgrade"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// turn is the proxy of this process, between that of the process that it replaces and that of
// the one that replaces it. Either may be missing.
type turn struct {
	p      *Proxy
	o      *Options
	ctx    context.Context // ends when the process is told to end
	taker  *handover.Taker // nil: it replaces none
	giver  *handover.Giver
	claims *succession.Claims // nil: no process replaces this one, or is replaced by it
	next   *upgrade.Successor // nil: it is not replaced
	signal chan<- os.Signal   // ends the process
	parent int                // the process that this one replaces, if it does
}

func newTurn(o *Options, p *Proxy) *turn {
	t := &turn{p: p, o: o, ctx: o.Ended, giver: &handover.Giver{}, parent: os.Getppid()}
	if t.ctx == nil {
		t.ctx = context.Background()
	}
	if o.Signals != nil {
		t.signal = o.Signals.end
	}
	if (o.Upgrade != nil || o.Replaces != nil) && o.Settings.Share.URL == "" { // else the store has both
		t.giver.Sharing = &peer.Sharing{Switch: peer.NewSwitch(), Name: "upgrade", Version: o.Version, Log: p.log}
		t.claims = &succession.Claims{Sharing: t.giver.Sharing}
	}
	return t
}

// share has the parts share with the processes before and after this one.
func (t *turn) share(tokens *oauth.Config, toProviders *upstream.Config) {
	if t.claims == nil {
		return
	}
	t.claims.Kept, t.claims.TTL = tokens.Store, tokens.ClaimTTL()
	tokens.Share, toProviders.Share = t.claims, t.giver.Sharing.Switch
	if t.o.Replaces != nil {
		t.claims.Shares()
	}
}

// await waits until the stores may be opened.
func (t *turn) await() error {
	n := t.o.Replaces
	if n == nil {
		return nil
	}
	succession.ShareMemory(true)
	t.step("its files are read")
	if err := n.Prepared(t.ctx, t.o.Version); err != nil {
		return err
	}
	t.step("it may take the stores")
	t.taker = handover.NewTaker(n.Stores, t.o.Settings.Secrets.Key)
	if err := t.taker.Await(t.ctx); err != nil {
		return err
	}
	t.step("it opens the stores")
	return nil
}

// step logs how far this process is in replacing another one.
func (t *turn) step(at string) {
	t.p.log.Info("upgrade: this process replaces another one", zap.String("step", at), zap.Int("replaces", t.parent))
}

// inherit has the servers use the sockets of the process before.
func (t *turn) inherit(clients *server.Config, operators *admin.Config) error {
	if t.o.Replaces == nil {
		return nil
	}
	return succession.Inherit(t.o.Replaces, clients, operators)
}

// begin accepts, when all parts have started.
func (t *turn) begin() error {
	p, n := t.p, t.o.Replaces
	t.giver.Stores = handover.Stores{Tokens: p.kept, Counts: p.quota, Orders: p.orders, Accounting: p.accounting, Sharing: t.giver.Sharing}
	t.giver.OrdersPath = ordersFile(t.o.Settings)
	if n == nil {
		return nil
	}
	t.step("its parts have started")
	if err := t.taker.Opened(t.giver.Stores); err != nil {
		return err
	}
	t.step("it can serve")
	if err := n.Ready(t.ctx); err != nil {
		return err
	}
	t.step("it may accept")
	p.server.Resume()
	p.admin.Resume()
	n.Accepting()
	t.step("it accepts")
	if t.o.Upgrade != nil {
		t.o.Upgrade.Replaced(n)
	}
	go func() {
		<-n.Alone()
		succession.ShareMemory(false)
		p.log.Info("upgrade: the process before this one has ended", zap.Bool("it_said_all", t.taker.Whole()))
	}()
	return nil
}

// running is the proxy as an upgrade needs it.
func (t *turn) running() upgrade.Running {
	r := &succession.Running{Giver: t.giver, Claims: t.claims, Server: t.p.server, Admin: t.p.admin, Log: t.p.log}
	for _, l := range t.o.Settings.Server.Listeners {
		r.Addresses = append(r.Addresses, l.Address)
	}
	return r
}

// upgraded is the signal that ends a process which another one has replaced.
const upgraded = upgradeSignal("upgrade")

type upgradeSignal string

// Signal and String implement os.Signal.
func (upgradeSignal) Signal()          {}
func (s upgradeSignal) String() string { return string(s) }

// wait returns the signal that ends the process.
func (t *turn) wait(end *ending) os.Signal {
	var replaced <-chan *upgrade.Successor
	if t.o.Upgrade != nil {
		replaced = t.o.Upgrade.Replacement()
	}
	for {
		select {
		case sig := <-end.first:
			return sig
		case next := <-replaced:
			t.giveWay(next, end)
		}
	}
}

// giveWay ends the sessions slowly, after another process accepts. It returns when the process
// is to end, for which it sends the signal, or goes on.
func (t *turn) giveWay(next *upgrade.Successor, end *ending) {
	t.p.log.Info("upgrade: another process accepts, sessions end one after the other; a signal ends them at once",
		zap.Int("pid", next.PID()), zap.Duration("over", t.o.Settings.Server.EvictOver))
	t.p.server.Evict(t.o.Settings.Server.EvictOver)
	over := time.NewTimer(t.o.Settings.Server.EvictOver)
	defer over.Stop()
	select {
	case <-over.C:
	case <-end.told.Done():
	case <-next.Asks():
		next.Resume()
		return
	case <-next.Gone():
		if next.GoOn() {
			return
		}
	}
	t.next = next
	next.Final()
	select {
	case t.signal <- upgraded:
	default: // it ends already
	}
}

// leave is called when the process is told to end.
func (t *turn) leave() {
	if t.o.Upgrade != nil {
		t.o.Upgrade.Stop()
	}
	if n := t.o.Replaces; n != nil && t.next == nil {
		n.Leaving()
	}
	t.p.service.Stopping()
}

// finish hands over the last of what this process has counted and got, after the last session
// and the last connection.
func (t *turn) finish(ctx context.Context) {
	if t.next == nil {
		return
	}
	if err := t.giver.Finish(ctx); err != nil {
		t.p.log.Error("upgrade: the other process does not have all", zap.Error(err))
	}
}

// end ends what is with the other processes, last of all.
func (t *turn) end() {
	if t.taker != nil {
		_ = t.taker.Close()
	}
	if t.claims != nil {
		t.giver.Sharing.Close()
	}
	if t.next != nil {
		t.next.Close()
	}
}

// Upgrade implements admin.API.
func (a *adminAPI) Upgrade(ctx context.Context, how admin.Upgrade) (*admin.Upgraded, error) {
	old := a.turn.o.Upgrade
	switch {
	case old == nil:
		return nil, errors.New("this process cannot be replaced: only the command serve can")
	case systemd.Supervised():
		return nil, errors.New("systemd does not listen to this process, and would end both when it ends: the unit needs Type=notify and NotifyAccess=all")
	}
	done, err := old.Upgrade(ctx, a.turn.running(), how.Back, cmp.Or(how.Timeout, upgrade.DefaultTimeout))
	if errors.Is(err, upgrade.ErrRunning) || errors.Is(err, upgrade.ErrDraining) {
		err = fmt.Errorf("%w: %w", admin.ErrConflict, err)
	}
	if err != nil {
		return nil, err
	}
	return &admin.Upgraded{PID: done.PID, Version: done.Version, Program: done.Program, Replaced: os.Getpid(),
		EndsSessions: int(a.turn.o.Settings.Server.EvictOver.Seconds())}, nil
}
