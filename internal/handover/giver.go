package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/frames"
)

// abortTimeout is how long the new process has to hear that it may not go on.
const abortTimeout = time.Second

// Giver is the side of the old process. Its methods are called one at a time.
type Giver struct {
	// Stores have the files. Their orders are kept in the file OrdersPath; "": they are in
	// memory only.
	Stores
	OrdersPath string

	link   *frames.Conn
	away   bool                     // the file of the orders was left
	left   map[string]control.Order // the orders then, and when they were sent last
	events chan event               // what the new process says, in order
	step   func(string)             // tests set it: called after each step
}

// reached is called after each step.
func (g *Giver) reached(step string) {
	if g.step != nil {
		g.step(step)
	}
}

// event is a question of the new process that is a step.
type event struct {
	kind string
	*frames.Message
}

// Give hands the files over to the process at the other end of sock, which it takes, and
// returns when that process has them. After an error the process at the other end is to be
// ended, and then TakeBack called: it may have opened a file.
func (g *Giver) Give(ctx context.Context, sock *net.UnixConn) error {
	g.events = make(chan event, 8)
	g.link = frames.New(sock, g.hear)
	err := g.give(ctx)
	if err == nil {
		return nil
	}
	abort, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, _ = g.link.Ask(abort, kindAbort, err.Error(), nil)
	return errors.Join(fmt.Errorf("cannot hand over: %w", err), g.TakeBack())
}

func (g *Giver) give(ctx context.Context) error {
	m, err := g.await(ctx, kindHello)
	if err != nil {
		return err
	}
	var theirs hello
	if err := m.Body(&theirs); err != nil {
		return err
	}
	if _, err := ours.common(theirs); err != nil {
		_ = m.Answer(ours, nil) // it sees the same
		return err
	}
	if err := m.Answer(ours, nil); err != nil {
		return err
	}
	g.reached(kindHello)
	if m, err = g.await(ctx, kindSnapshot); err != nil {
		return err
	}
	if err := g.copies(m); err != nil {
		return err
	}
	g.reached(kindSnapshot)
	if m, err = g.await(ctx, kindReady); err != nil {
		return err
	}
	g.connect(g.link)
	if err := g.leave(); err != nil {
		return err
	}
	g.reached("left")
	if err := m.Answer(nil, nil); err != nil {
		return err
	}
	g.reached(kindReady)
	if m, err = g.await(ctx, kindOpened); err != nil {
		return err
	}
	g.reached(kindOpened)
	if g.Tokens != nil {
		g.Tokens.moveOn()
	}
	if err := g.share(ctx, m); err != nil {
		return err
	}
	return g.sendOrders(ctx)
}

// share answers that this process knows that the other one has the files: by a socket to the
// limits of the mailboxes, which both share from now on.
func (g *Giver) share(ctx context.Context, m *frames.Message) error {
	if g.Sharing == nil {
		return m.Answer(nil, nil)
	}
	sock, err := g.Sharing.Host(ctx)
	if err != nil {
		return err
	}
	defer sock.Close()
	file, err := sock.File()
	if err != nil {
		return err
	}
	defer file.Close()
	return m.Answer(nil, nil, file)
}

// await waits for a step of the new process.
func (g *Giver) await(ctx context.Context, kind string) (*frames.Message, error) {
	select {
	case e := <-g.events:
		if e.kind == kindRefuse {
			var why string
			_ = e.Body(&why)
			_ = e.Answer(nil, nil)
			return nil, fmt.Errorf("the new process refuses: %s", why)
		}
		if e.kind != kind {
			return nil, fmt.Errorf("the new process says %q before %q", e.kind, kind)
		}
		return e.Message, nil
	case <-g.link.Gone():
		return nil, fmt.Errorf("the new process has not said %q: %w", kind, g.link.Err())
	case <-ctx.Done():
		return nil, fmt.Errorf("the new process has not said %q: %w", kind, ctx.Err())
	}
}

// hear is called for each message of the new process.
func (g *Giver) hear(m *frames.Message) {
	switch m.Kind {
	case kindHello, kindSnapshot, kindRefuse, kindReady, kindOpened:
		select {
		case g.events <- event{m.Kind, m}:
		default: // it repeats itself
			_ = m.Answer(nil, errors.New("this was said before"))
		}
	default:
		serve(m, g.Tokens, g.Counts)
	}
}

// copies answers by copies of the files.
func (g *Giver) copies(m *frames.Message) error {
	s := snapshot{Tokens: g.Tokens != nil, Counts: g.Counts != nil}
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	add := func(name string, write func(*os.File) error) error {
		fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
		if err != nil {
			return fmt.Errorf("cannot copy the %s: %w", name, err)
		}
		files = append(files, os.NewFile(uintptr(fd), name))
		if err := write(files[len(files)-1]); err != nil {
			return fmt.Errorf("cannot copy the %s: %w", name, err)
		}
		return nil
	}
	var err error
	if g.Tokens != nil {
		err = add("token store", g.Tokens.copyTo)
	}
	if g.Counts != nil {
		err = errors.Join(err, add("counts of the day", g.Counts.copyTo))
	}
	return errors.Join(m.Answer(s, err, files...), err)
}

// connect has the stores send what is to be saved to the other process; nil: there is none.
func (g *Giver) connect(link *frames.Conn) {
	if g.Tokens != nil {
		g.Tokens.connect(link)
	}
	if g.Counts != nil {
		g.Counts.connect(link)
	}
}

// leave closes the files.
func (g *Giver) leave() (err error) {
	if err = g.Accounting.StepAside(); err != nil {
		return err
	}
	if g.Orders != nil && g.OrdersPath != "" {
		g.Orders.Leave()
		g.left, g.away = g.Orders.All(), true
	}
	if g.Counts != nil {
		err = g.Counts.leave()
	}
	if g.Tokens != nil {
		err = errors.Join(err, g.Tokens.leave())
	}
	return err
}

// TakeBack opens the files that this process does not have, after the other process has
// ended. What was not acknowledged is saved now. It may be called again after an error.
func (g *Giver) TakeBack() (err error) {
	if g.link != nil {
		_ = g.link.Close()
	}
	g.connect(nil)
	if g.Tokens != nil {
		err = g.Tokens.takeBack()
	}
	if g.Counts != nil {
		err = errors.Join(err, g.Counts.takeBack())
	}
	if g.Sharing != nil {
		g.Sharing.Alone()
	}
	err = errors.Join(err, g.openOrders(), g.Accounting.StepBack())
	if err != nil {
		return fmt.Errorf("cannot open the files again: %w", err)
	}
	return nil
}

// openOrders reads the orders again, and gives those anew that were given since.
func (g *Giver) openOrders() error {
	if !g.away {
		return nil
	}
	since := changes(g.left, g.Orders.All())
	if _, err := g.Orders.Open(g.OrdersPath); err != nil {
		return err
	}
	g.away = false
	return obey(g.Orders, since)
}

func obey(orders *control.Orders, list []order) (err error) {
	for _, o := range list {
		_, wrong := orders.Set(o.Account, o.State, o.Since)
		err = errors.Join(err, wrong)
	}
	return err
}

// sendOrders tells the new process what was ordered here since the file was left.
func (g *Giver) sendOrders(ctx context.Context) error {
	if !g.away {
		return nil
	}
	now := g.Orders.All()
	if since := changes(g.left, now); len(since) > 0 {
		if _, err := g.link.Ask(ctx, kindOrders, since, nil); err != nil {
			return fmt.Errorf("cannot hand over the orders: %w", err)
		}
	}
	g.left = now
	return nil
}

// Finish is called when the last session and the last connection to a provider have ended.
// It returns when the new process has acknowledged everything, or ctx ends.
func (g *Giver) Finish(ctx context.Context) (err error) {
	if g.Counts != nil {
		err = g.Counts.Flush()
		if err == nil && g.Counts.holds() {
			err = ErrAway
		}
	}
	if g.Tokens != nil {
		err = errors.Join(err, g.Tokens.sendHeld(ctx))
	}
	if g.Sharing != nil {
		err = errors.Join(err, g.Sharing.Finish(ctx))
	}
	if err = errors.Join(err, g.sendOrders(ctx)); err == nil {
		_, err = g.link.Ask(ctx, kindDone, nil, nil)
	}
	if err != nil {
		return fmt.Errorf("not everything is handed over: %w", err)
	}
	return g.link.Close()
}
