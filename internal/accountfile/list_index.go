package accountfile

import (
	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile/internal/jsonedit"
)

// listIndex finds accounts by name: a list to import may be as long as the file.
// Objects stay what they are when elements move.
type listIndex struct {
	emails, ids map[string]*hujson.Object // of each name the first; emails are folded
	twice       bool                      // some name is there more than once
}

// add takes an account into the index, after those that are there.
func (x *listIndex) add(o *hujson.Object) {
	put := func(in map[string]*hujson.Object, name string) {
		switch first := in[name]; {
		case name == "" || first == o:
		case first == nil:
			in[name] = o
		default:
			x.twice = true
		}
	}
	put(x.emails, account.FoldLogin(jsonedit.StringMember(o, "email")))
	put(x.ids, jsonedit.StringMember(o, "account_id"))
}
