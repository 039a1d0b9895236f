package journal

import (
	"strconv"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
)

// Client is what the log says of a client.
type Client struct {
	Session uint64 // 0: it has none
	Remote  string
	// Account and Email are of the account that is logged in; else User is the name that
	// was tried last. "" is left out.
	Account, Email, User string
}

func (c *Client) fields() []zap.Field {
	var fields []zap.Field
	if c.Session != 0 {
		fields = append(fields, zap.Uint64("sid", c.Session))
	}
	fields = append(fields, zap.String("remote", c.Remote))
	for _, f := range []zap.Field{zap.String("account", c.Account), zap.String("email", c.Email), zap.String("user", c.User)} {
		if f.String != "" {
			fields = append(fields, f)
		}
	}
	return fields
}

// Refused logs a refusal. Of those with the same text, which is to be one of few, at most
// 50 are written in 10 seconds; the next line, or one after that time, has the number left
// out.
func (j *Journal) Refused(c Client, text, reason string, more ...zap.Field) {
	j.put(line{text: text, fields: append(append(c.fields(), zap.String("reason", reason)), more...), bound: true})
}

// Repeated logs, at level Debug, a refusal whose reason another line has told already.
func (j *Journal) Repeated(c Client, text, reason string) {
	j.put(line{text: text, fields: append(c.fields(), zap.String("reason", reason)), level: zap.DebugLevel})
}

// Reply logs a reply of ours if it refuses the client. Errors of syntax are the client's,
// and end with 421 if there are many; a refused login has a line of its own.
func (j *Journal) Reply(c Client, r codec.Reply) {
	switch r.Code {
	case 421, 451, 452, 504, 530, 552, 553, 554:
		if r != codec.ReplyShutdown {
			j.Refused(c, "client refused with "+strconv.Itoa(r.Code), r.Text, r.Hint.Fields()...)
		}
	}
}

// Outcome logs the reply to a message. octets are those of its content. more says why it
// failed.
func (j *Journal) Outcome(c Client, r codec.Reply, recipients int, octets int64, more ...zap.Field) {
	text := "message not accepted"
	if r.Positive() {
		text = "message accepted"
	}
	j.put(line{text: text, fields: append(append(c.fields(), zap.Int("code", r.Code), zap.Stringer("reply", r),
		zap.Int("recipients", recipients), zap.Int64("octets", octets)), append(more, r.Hint.Fields()...)...)})
}
