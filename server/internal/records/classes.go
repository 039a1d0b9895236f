package records

import "xoauth2-proxy/codec"

// classOf returns the class of a refusal of ours: one short word, which stays as it is.
func classOf(r *codec.Reply) string {
	for i := range classes {
		if r.Code == classes[i].reply.Code && r.Text == classes[i].reply.Text {
			return classes[i].class
		}
	}
	switch {
	case r.Code == 451 && r.Enhanced == codec.EnhancedCode{4, 7, 0}: // codec.ReplySuspended
		return "paused"
	case r.Enhanced[1] == 7:
		return "policy"
	}
	return "syntax"
}

var classes = [...]struct {
	reply *codec.Reply
	class string
}{
	{&codec.ReplyTooBig, "size"},
	{&codec.ReplyBareLF, "content"},
	{&codec.ReplyBareCR, "content"},
	{&codec.ReplyCannotConvert, "content"},
	{&codec.ReplyNoUTF8Upstream, "smtputf8"},
	{&codec.ReplyNeedUTF8, "smtputf8"},
	{&codec.ReplySenderNotListed, "sender"},
	{&codec.ReplyFromNotListed, "sender"},
	{&codec.ReplyFromUnclear, "sender"},
	{&codec.ReplyNoStorage, "memory"},
	{&codec.ReplyTooManyRcpts, "recipients"},
	{&codec.ReplyNextTransaction, "first_refused"},
	{&codec.ReplyTooManyMessages, "session"},
	{&codec.ReplyTimeout, "session"},
	{&codec.ReplyAccountRemoved, "removed"},
	{&codec.ReplyShutdown, "shutdown"},
	{&codec.ReplyLocalError, "internal"},
}
