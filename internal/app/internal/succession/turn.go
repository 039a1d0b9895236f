package succession

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/handover"
	"xoauth2-proxy/internal/share/peer"
	"xoauth2-proxy/internal/systemd"
	"xoauth2-proxy/internal/upgrade"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// Turn is the proxy of this process, between that of the process that it replaces and that of
// the one that replaces it. Either may be missing.
type Turn struct {
	c      Config
	log    *zap.Logger
	parts  Parts
	taker  *handover.Taker // nil: it replaces none
	giver  *handover.Giver
	claims *Claims            // nil: no process replaces this one, or is replaced by it
	next   *upgrade.Successor // nil: it is not replaced
	parent int                // the process that this one replaces, if it does
}

// Config is what a Turn is made from.
type Config struct {
	Settings *config.Settings
	Version  string       // of the program
	Upgrade  *upgrade.Old // nil: no one can ask for another process
	Replaces *upgrade.New // nil: it replaces none
	// Ended ends when the process is told to end. Nil: it is not told.
	Ended context.Context
	// End takes a signal that ends the process. Nil: it is not ended by a signal.
	End chan<- os.Signal
	Log *zap.Logger
}

// Parts are what a Turn needs of a proxy that has all parts.
type Parts struct {
	// Stores are those of the proxy; Sharing is the Turn's own.
	handover.Stores
	OrdersPath string // the file that the orders are kept in; "": they are in memory only
	Server     *server.Server
	Admin      *admin.Server
}

// New returns the turn of a proxy that has no parts yet.
func New(c Config) *Turn {
	if c.Ended == nil {
		c.Ended = context.Background()
	}
	t := &Turn{c: c, log: c.Log, giver: &handover.Giver{}, parent: os.Getppid()}
	if (c.Upgrade != nil || c.Replaces != nil) && c.Settings.Share.URL == "" { // else the store has both
		t.giver.Sharing = &peer.Sharing{Switch: peer.NewSwitch(), Name: "upgrade", Version: c.Version, Log: c.Log}
		t.claims = &Claims{Sharing: t.giver.Sharing}
	}
	return t
}

// Share has the parts share with the processes before and after this one.
func (t *Turn) Share(tokens *oauth.Config, toProviders *upstream.Config) {
	if t.claims == nil {
		return
	}
	t.claims.Kept, t.claims.TTL = tokens.Store, tokens.ClaimTTL()
	tokens.Share, toProviders.Share = t.claims, t.giver.Sharing.Switch
	if t.c.Replaces != nil {
		t.claims.Shares()
	}
}

// Await waits until the stores may be opened.
func (t *Turn) Await() error {
	n := t.c.Replaces
	if n == nil {
		return nil
	}
	ShareMemory(true)
	t.step("its files are read")
	if err := n.Prepared(t.c.Ended, t.c.Version); err != nil {
		return err
	}
	t.step("it may take the stores")
	t.taker = handover.NewTaker(n.Stores, t.c.Settings.Secrets.Key)
	if err := t.taker.Await(t.c.Ended); err != nil {
		return err
	}
	t.step("it opens the stores")
	return nil
}

// step logs how far this process is in replacing another one.
func (t *Turn) step(at string) {
	t.log.Info("upgrade: this process replaces another one", zap.String("step", at), zap.Int("replaces", t.parent))
}

// Inherit has the servers use the sockets of the process before.
func (t *Turn) Inherit(clients *server.Config, operators *admin.Config) error {
	if t.c.Replaces == nil {
		return nil
	}
	return inherit(t.c.Replaces, clients, operators)
}

// Has gives it the parts of the proxy, before operators can connect.
func (t *Turn) Has(p Parts) {
	p.Sharing = t.giver.Sharing
	t.parts, t.giver.Stores, t.giver.OrdersPath = p, p.Stores, p.OrdersPath
}

// Begin accepts, when all parts have started.
func (t *Turn) Begin() error {
	n := t.c.Replaces
	if n == nil {
		return nil
	}
	t.step("its parts have started")
	if err := t.taker.Opened(t.parts.Stores); err != nil {
		return err
	}
	t.step("it can serve")
	if err := n.Ready(t.c.Ended); err != nil {
		return err
	}
	t.step("it may accept")
	t.parts.Server.Resume()
	t.parts.Admin.Resume()
	n.Accepting()
	t.step("it accepts")
	if t.c.Upgrade != nil {
		t.c.Upgrade.Replaced(n)
	}
	go func() {
		<-n.Alone()
		ShareMemory(false)
		t.log.Info("upgrade: the process before this one has ended", zap.Bool("it_said_all", t.taker.Whole()))
	}()
	return nil
}

// running is the proxy as an upgrade needs it.
func (t *Turn) running() upgrade.Running {
	r := &Running{Giver: t.giver, Claims: t.claims, Server: t.parts.Server, Admin: t.parts.Admin, Log: t.c.Log}
	for _, l := range t.c.Settings.Server.Listeners {
		r.Addresses = append(r.Addresses, l.Address)
	}
	return r
}

// Upgraded is the signal that ends a process which another one has replaced.
const Upgraded = upgradeSignal("upgrade")

type upgradeSignal string

// Signal and String implement os.Signal.
func (upgradeSignal) Signal()          {}
func (s upgradeSignal) String() string { return string(s) }

// Wait returns the signal that ends the process, the first of signals. When another process
// accepts, it ends the sessions, and sends Upgraded.
func (t *Turn) Wait(signals <-chan os.Signal) os.Signal {
	var replaced <-chan *upgrade.Successor
	if t.c.Upgrade != nil {
		replaced = t.c.Upgrade.Replacement()
	}
	for {
		select {
		case sig := <-signals:
			return sig
		case next := <-replaced:
			t.giveWay(next)
		}
	}
}

// giveWay ends the sessions slowly, after another process accepts. It returns when the process
// is to end, for which it sends the signal, or goes on.
func (t *Turn) giveWay(next *upgrade.Successor) {
	over := t.c.Settings.Server.EvictOver
	t.log.Info("upgrade: another process accepts, sessions end one after the other; a signal ends them at once",
		zap.Int("pid", next.PID()), zap.Duration("over", over))
	t.parts.Server.Evict(over)
	passed := time.NewTimer(over)
	defer passed.Stop()
	select {
	case <-passed.C:
	case <-t.c.Ended.Done():
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
	case t.c.End <- Upgraded:
	default: // it ends already
	}
}

// Leave is called when the process is told to end.
func (t *Turn) Leave() {
	if t.c.Upgrade != nil {
		t.c.Upgrade.Stop()
	}
	if n := t.c.Replaces; n != nil && t.next == nil {
		n.Leaving()
	}
}

// Finish hands over the last of what this process has counted and got, after the last session
// and the last connection.
func (t *Turn) Finish(ctx context.Context) {
	if t.next == nil {
		return
	}
	if err := t.giver.Finish(ctx); err != nil {
		t.log.Error("upgrade: the other process does not have all", zap.Error(err))
	}
}

// End ends what is with the other processes, last of all.
func (t *Turn) End() {
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

// Upgrade replaces this process by another one, as the admin API asks for it.
func (t *Turn) Upgrade(ctx context.Context, how admin.Upgrade) (*admin.Upgraded, error) {
	old := t.c.Upgrade
	switch {
	case old == nil:
		return nil, errors.New("this process cannot be replaced: only the command serve can")
	case systemd.Supervised():
		return nil, errors.New("systemd does not listen to this process, and would end both when it ends: the unit needs Type=notify and NotifyAccess=all")
	}
	done, err := old.Upgrade(ctx, t.running(), how.Back, cmp.Or(how.Timeout, upgrade.DefaultTimeout))
	if errors.Is(err, upgrade.ErrRunning) || errors.Is(err, upgrade.ErrDraining) {
		err = fmt.Errorf("%w: %w", admin.ErrConflict, err)
	}
	if err != nil {
		return nil, err
	}
	return &admin.Upgraded{PID: done.PID, Version: done.Version, Program: done.Program, Replaced: os.Getpid(),
		EndsSessions: int(t.c.Settings.Server.EvictOver.Seconds())}, nil
}
