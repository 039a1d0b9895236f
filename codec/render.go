package codec

import "strconv"

// AppendTo appends the MAIL command line to dst, with its CRLF. A parameter
// whose extension is not in ext is left out.
func (m MailArgs) AppendTo(dst []byte, ext Extensions) []byte {
	dst = append(dst, "MAIL FROM:<"...)
	dst = append(dst, m.Path...)
	dst = append(dst, '>')
	if m.Size >= 0 && ext.Has(ExtSIZE) {
		dst = append(dst, " SIZE="...)
		dst = strconv.AppendInt(dst, m.Size, 10)
	}
	switch {
	case m.Body == Body7Bit && ext.Has(Ext8BITMIME):
		dst = append(dst, " BODY=7BIT"...)
	case m.Body == Body8BitMIME && ext.Has(Ext8BITMIME):
		dst = append(dst, " BODY=8BITMIME"...)
	case m.Body == BodyBinaryMIME && ext.Has(ExtBINARYMIME):
		dst = append(dst, " BODY=BINARYMIME"...)
	}
	if m.SMTPUTF8 && ext.Has(ExtSMTPUTF8) {
		dst = append(dst, " SMTPUTF8"...)
	}
	if ext.Has(ExtDSN) {
		switch m.Ret {
		case RetFull:
			dst = append(dst, " RET=FULL"...)
		case RetHeaders:
			dst = append(dst, " RET=HDRS"...)
		}
		if len(m.EnvID) > 0 {
			dst = append(dst, " ENVID="...)
			dst = append(dst, m.EnvID...)
		}
	}
	return append(dst, crlf...)
}

// AppendTo appends the RCPT command line to dst, with its CRLF. A parameter
// whose extension is not in ext is left out.
func (r RcptArgs) AppendTo(dst []byte, ext Extensions) []byte {
	dst = append(dst, "RCPT TO:<"...)
	dst = append(dst, r.Path...)
	dst = append(dst, '>')
	if ext.Has(ExtDSN) {
		if r.Notify != 0 {
			dst = append(dst, " NOTIFY="...)
			dst = r.Notify.appendTo(dst)
		}
		if len(r.ORcpt) > 0 {
			dst = append(dst, " ORCPT="...)
			dst = append(dst, r.ORcpt...)
		}
	}
	return append(dst, crlf...)
}

var notifyNames = [...]struct {
	bit  DSNNotify
	name string
}{
	{NotifyNever, "NEVER,"},
	{NotifySuccess, "SUCCESS,"},
	{NotifyFailure, "FAILURE,"},
	{NotifyDelay, "DELAY,"},
}

func (n DSNNotify) appendTo(dst []byte) []byte {
	for _, e := range notifyNames {
		if n&e.bit != 0 {
			dst = append(dst, e.name...)
		}
	}
	return dst[:len(dst)-1] // n is not zero: there is a comma to cut
}
