package codec

// MailArgs are the arguments of MAIL. Path and EnvID borrow from the input of
// ParseMail.
type MailArgs struct {
	// Path is the mailbox of the reverse-path, without angle brackets and
	// source route. It is empty for the null reverse-path.
	Path []byte
	// Size is the declared size in octets, -1 if none was.
	Size     int64
	Body     Body
	SMTPUTF8 bool
	Ret      DSNRet
	// EnvID is the envelope identifier, xtext as on the wire; nil if none.
	EnvID []byte
}

// RcptArgs are the arguments of RCPT. Path and ORcpt borrow from the input of
// ParseRcpt.
type RcptArgs struct {
	// Path is the mailbox of the forward-path, without angle brackets and
	// source route.
	Path   []byte
	Notify DSNNotify
	// ORcpt is the original recipient, address type and xtext as on the wire;
	// nil if none.
	ORcpt []byte
}

// ParseMail takes the arguments of MAIL apart, "FROM:<reverse-path>" and
// parameters (RFC 5321 section 4.1.1.2). Only parameters whose extension is in
// ext are known. White space after the colon and a mailbox without angle
// brackets are accepted, as by other servers. AUTH is checked and dropped (RFC
// 4954 section 5): the proxy vouches for no sender. A SIZE above the range of
// int64 gives math.MaxInt64. It does not allocate.
//
// Errors: ErrArgSyntax, ErrReversePath, ErrUnknownParam, ErrParamValue,
// ErrNeedUTF8.
func ParseMail(args []byte, ext Extensions) (MailArgs, error) {
	m := MailArgs{Size: -1}
	raw, params, err := cutPath(args, "FROM:", ErrReversePath)
	if err != nil {
		return MailArgs{}, err
	}
	nonASCII := false
	if len(raw) > 0 {
		var ok bool
		if m.Path, nonASCII, ok = parseMailbox(raw); !ok {
			return MailArgs{}, ErrReversePath
		}
	}
	var seen mailParam
	for len(params) > 0 {
		var p param
		if p, params, err = cutParam(params); err != nil {
			return MailArgs{}, err
		}
		bit, err := m.setParam(p, ext)
		if err != nil {
			return MailArgs{}, err
		}
		if seen&bit != 0 {
			return MailArgs{}, ErrParamValue
		}
		seen |= bit
	}
	if nonASCII && !m.SMTPUTF8 {
		return MailArgs{}, ErrNeedUTF8
	}
	return m, nil
}

// mailParam is a parameter of MAIL, as a bit to note which ones were seen.
type mailParam uint8

const (
	mailSIZE mailParam = 1 << iota
	mailBODY
	mailSMTPUTF8
	mailRET
	mailENVID
	mailAUTH
)

// mailKeyword returns the parameter of that keyword, 0 if unknown, and the
// extension that defines it.
func mailKeyword(keyword []byte) (mailParam, Extensions) {
	var buf [upperWord]byte
	switch string(upperInto(&buf, keyword)) {
	case "SIZE":
		return mailSIZE, ExtSIZE
	case "BODY":
		return mailBODY, Ext8BITMIME
	case "SMTPUTF8":
		return mailSMTPUTF8, ExtSMTPUTF8
	case "RET":
		return mailRET, ExtDSN
	case "ENVID":
		return mailENVID, ExtDSN
	case "AUTH":
		return mailAUTH, ExtAUTH
	}
	return 0, 0
}

// setParam stores one parameter of MAIL and tells which it is.
func (m *MailArgs) setParam(p param, ext Extensions) (mailParam, error) {
	kind, need := mailKeyword(p.keyword)
	if kind == 0 || !ext.Has(need) {
		return 0, ErrUnknownParam
	}
	ok := false
	switch kind {
	case mailSIZE:
		m.Size, ok = parseSize(p.value)
	case mailBODY:
		m.Body = parseBody(p.value)
		ok = m.Body != BodyUnset && (m.Body != BodyBinaryMIME || ext.Has(ExtBINARYMIME))
	case mailSMTPUTF8:
		m.SMTPUTF8, ok = true, !p.hasValue
	case mailRET:
		m.Ret = parseRet(p.value)
		ok = m.Ret != RetUnset
	case mailENVID:
		m.EnvID = p.value
		ok = len(p.value) <= maxEnvID && validXtext(p.value)
	case mailAUTH:
		ok = validXtext(p.value)
	}
	if !ok {
		return 0, ErrParamValue
	}
	return kind, nil
}

// ParseRcpt takes the arguments of RCPT apart, "TO:<forward-path>" and
// parameters (RFC 5321 section 4.1.1.3). Only parameters whose extension is in
// ext are known; ExtSMTPUTF8 belongs in ext only if the transaction's MAIL had
// that parameter. It is as liberal as ParseMail, and takes "<Postmaster>"
// without a domain. It does not allocate.
//
// Errors: ErrArgSyntax, ErrForwardPath, ErrUnknownParam, ErrParamValue,
// ErrNeedUTF8.
func ParseRcpt(args []byte, ext Extensions) (RcptArgs, error) {
	var r RcptArgs
	raw, params, err := cutPath(args, "TO:", ErrForwardPath)
	if err != nil {
		return RcptArgs{}, err
	}
	nonASCII, ok := false, isPostmaster(raw)
	if r.Path = raw; !ok {
		r.Path, nonASCII, ok = parseMailbox(raw)
	}
	if !ok {
		return RcptArgs{}, ErrForwardPath
	}
	for len(params) > 0 {
		var p param
		if p, params, err = cutParam(params); err != nil {
			return RcptArgs{}, err
		}
		if err := r.setParam(p, ext); err != nil {
			return RcptArgs{}, err
		}
	}
	if nonASCII && !ext.Has(ExtSMTPUTF8) {
		return RcptArgs{}, ErrNeedUTF8
	}
	return r, nil
}

// setParam stores one parameter of RCPT.
func (r *RcptArgs) setParam(p param, ext Extensions) error {
	var buf [upperWord]byte
	ok := false
	switch string(upperInto(&buf, p.keyword)) {
	case "NOTIFY":
		if !ext.Has(ExtDSN) {
			return ErrUnknownParam
		}
		if r.Notify == 0 {
			r.Notify = parseNotify(p.value)
			ok = r.Notify != 0
		}
	case "ORCPT":
		if !ext.Has(ExtDSN) {
			return ErrUnknownParam
		}
		if r.ORcpt == nil { // a valid one is not nil
			r.ORcpt = p.value
			ok = validORcpt(p.value, ext.Has(ExtSMTPUTF8))
		}
	default:
		return ErrUnknownParam
	}
	if !ok {
		return ErrParamValue
	}
	return nil
}
