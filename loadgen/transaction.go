package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// fate is what became of a message.
type fate uint8

// The zero value stands for a message of which nothing was sent.
const (
	// fateAccepted: the server took the responsibility for it.
	fateAccepted fate = iota + 1
	// fateRefused: the server said no, or took back the connection before
	// the message's end was sent. It was not taken.
	fateRefused
	// fateBroken: the connection failed before the message's end was sent.
	fateBroken
	// fateUnknown: the connection failed between the message's end and the
	// reply to it. It may or may not have been taken.
	fateUnknown
)

// An outcome is a message's fate and the reply, or the lack of one, that
// decided it.
type outcome struct {
	fate  fate
	phase phaseName
	code  int    // 0: no reply
	text  []byte // the reply's lines or the error; borrowed until the next message
	// refusedRcpts counts the recipients refused of a message accepted for
	// others.
	refusedRcpts int
	// usable says that the connection can carry another message.
	usable bool
}

// forNow reports whether the message was not taken, and may be taken if it is sent again.
func (o *outcome) forNow() bool {
	return o.fate == fateBroken || o.fate == fateRefused && o.code/100 == 4
}

// A transaction is the state of one message while it is sent. It lives on the
// stack of send.
type transaction struct {
	*session
	template *template
	id       *id

	phase    phaseName
	ended    bool // the end of the content has been sent
	accepted int  // recipients
	no       outcome
	answered int // recipients
}

// send sends one message and reads what the server says to it.
func (s *session) send(t *template, x *id) outcome {
	tx := transaction{session: s, template: t, id: x}
	s.messages++
	var err error
	switch {
	case s.pipelining && s.chunking:
		err = tx.oneFlight()
	case s.pipelining:
		err = tx.pipelined()
	default:
		err = tx.stepByStep()
	}
	if err != nil {
		return tx.failed(err)
	}
	if tx.no.code == 421 { // the server closes, whatever came after it
		tx.no.usable = false
	}
	return tx.no
}

// oneFlight sends everything at once: MAIL, RCPT, BDAT LAST and the content.
func (tx *transaction) oneFlight() error {
	out := tx.appendMail(tx.out[:0], tx.template)
	out = append(out, tx.session.rcpts...)
	tx.out = tx.appendBDAT(out)
	tx.phase = phaseMAIL
	if err := tx.writeContent(tx.template.raw); err != nil {
		return err
	}
	if err := tx.readEnvelope(); err != nil {
		return err
	}
	return tx.readFinal()
}

// pipelined sends MAIL, RCPT and DATA in one group (RFC 2920), then the
// content.
func (tx *transaction) pipelined() error {
	out := tx.appendMail(tx.out[:0], tx.template)
	out = append(out, tx.session.rcpts...)
	tx.out = append(out, "DATA\r\n"...)
	tx.phase = phaseMAIL
	if err := tx.flush(); err != nil {
		return err
	}
	if err := tx.readEnvelope(); err != nil {
		return err
	}
	return tx.content()
}

// stepByStep waits for each reply before the next command.
func (tx *transaction) stepByStep() error {
	tx.out = tx.appendMail(tx.out[:0], tx.template)
	tx.phase = phaseMAIL
	if err := tx.flush(); err != nil {
		return err
	}
	if ok, err := tx.step(); err != nil || !ok {
		return err
	}
	tx.phase = phaseRCPT
	for line := range bytes.Lines(tx.session.rcpts) {
		tx.out = append(tx.out[:0], line...)
		if err := tx.flush(); err != nil {
			return err
		}
		if err := tx.readRcpt(); err != nil {
			return err
		}
	}
	if tx.accepted == 0 {
		return tx.reset()
	}
	if tx.chunking {
		tx.out = tx.appendBDAT(tx.out[:0])
		if err := tx.writeContent(tx.template.raw); err != nil {
			return err
		}
		return tx.readFinal()
	}
	tx.phase = phaseDATA
	tx.out = append(tx.out[:0], "DATA\r\n"...)
	if err := tx.flush(); err != nil {
		return err
	}
	return tx.content()
}

// readEnvelope reads the replies to MAIL and to all RCPTs. A refused MAIL is
// no reason to stop: the replies to the rest of the group follow.
func (tx *transaction) readEnvelope() error {
	if _, err := tx.step(); err != nil {
		return err
	}
	tx.phase = phaseRCPT
	for range tx.dialogue.rcpts {
		if err := tx.readRcpt(); err != nil {
			return err
		}
	}
	tx.phase = phaseDATA
	return nil
}

// readRcpt reads the reply to one RCPT.
func (tx *transaction) readRcpt() error {
	ok, err := tx.step()
	if ok {
		tx.accepted++
	}
	tx.answered++
	return err
}

// content reads the reply to DATA, and on 354 sends the content and reads the
// final reply.
func (tx *transaction) content() error {
	code, text, err := tx.reply()
	if err != nil {
		return err
	}
	if code != 354 {
		tx.note(code, text)
		if code/100 == 2 { // neither yes nor no
			return errReply
		}
		tx.no.usable = code != 421
		if tx.accepted > 0 && tx.no.usable {
			return tx.reset()
		}
		return nil
	}
	tx.out = tx.out[:0]
	if tx.accepted == 0 { // RFC 2920 section 3.1: end it at once
		tx.out = append(tx.out, ".\r\n"...)
		if err := tx.flush(); err != nil {
			return err
		}
		_, _, err := tx.reply()
		tx.no.usable = true
		return err
	}
	if err := tx.writeContent(tx.template.stuffed); err != nil {
		return err
	}
	return tx.readFinal()
}

// appendBDAT appends the BDAT command for the whole content (RFC 3030).
func (tx *transaction) appendBDAT(dst []byte) []byte {
	dst = append(dst, "BDAT "...)
	dst = strconv.AppendInt(dst, int64(tx.template.size), 10)
	return append(dst, " LAST\r\n"...)
}

// writeContent sends out, the header and the body's chunks, with one write for each
// chunk.
func (tx *transaction) writeContent(chunks []chunk) error {
	tx.out = tx.header.appendTo(tx.out, tx.id, tx.template.sum(tx.id))
	for i := range chunks {
		tx.out = chunks[i].appendTo(tx.out, tx.id)
		if i == len(chunks)-1 {
			tx.ended = true
			return tx.flush()
		}
		if _, err := tx.conn.Write(tx.out); err != nil {
			return err
		}
		tx.out = tx.out[:0]
	}
	return nil
}

// step reads a reply to which 2yz is the wanted one, and notes another.
func (tx *transaction) step() (ok bool, err error) {
	code, text, err := tx.reply()
	if err != nil {
		return false, err
	}
	if code/100 == 2 {
		return true, nil
	}
	tx.note(code, text)
	tx.no.usable = code != 421
	return false, nil
}

// note keeps the first refusal, since the later ones of a group follow from it. But the
// refusal of one recipient decides nothing while there are others.
func (tx *transaction) note(code int, text []byte) {
	if tx.no.code == 0 || tx.accepted > 0 {
		tx.no = outcome{fate: fateRefused, phase: tx.phase, code: code, text: bytes.Clone(text)}
	}
}

// readFinal reads the reply to the end of the content.
func (tx *transaction) readFinal() error {
	tx.phase = phaseFinal
	code, text, err := tx.reply()
	if err != nil {
		return err
	}
	if code/100 == 2 && tx.accepted == 0 {
		return fmt.Errorf("%w: %d for a message without recipients", errReply, code)
	}
	if code/100 == 2 {
		tx.no = outcome{fate: fateAccepted, phase: phaseFinal, code: code, text: text,
			refusedRcpts: tx.answered - tx.accepted, usable: true}
		return nil
	}
	tx.note(code, text)
	tx.no.usable = code != 421
	if tx.accepted == 0 && tx.no.usable {
		return tx.reset()
	}
	return nil
}

// reset ends a transaction that has no recipient.
func (tx *transaction) reset() error {
	tx.out = append(tx.out[:0], "RSET\r\n"...)
	if err := tx.flush(); err != nil {
		return err
	}
	code, _, err := tx.reply()
	tx.no.usable = code == 250
	return err
}

// failed returns the outcome of a message whose connection failed.
func (tx *transaction) failed(err error) outcome {
	oneOfSeveral := tx.no.phase == phaseRCPT && tx.accepted > 0
	if tx.no.code != 0 && !oneOfSeveral { // refused before that, and so settled
		tx.no.usable = false
		return tx.no
	}
	o := outcome{fate: fateBroken, phase: tx.phase, text: []byte(err.Error())}
	if tx.ended {
		o.fate = fateUnknown
	}
	return o
}
