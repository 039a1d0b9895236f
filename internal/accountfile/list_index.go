package accountfile

import (
	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
)

// listIndex finds accounts by name: a list to import may be as long as the file.
// Objects stay what they are when elements move.
type listIndex struct {
	emails, ids map[string]*hujson.Object // of each name the first; emails are folded
	twice       bool                      // some name is there more than once
}

// add takes an account into the index, behind those that are there.
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
	put(x.emails, account.FoldLogin(stringMember(o, "email")))
	put(x.ids, stringMember(o, "account_id"))
}

// forget takes an account out of the index. Where a name is there twice, another
// one may have it now: the index is made anew.
func (l *List) forget(o *hujson.Object) {
	x := l.index
	if x == nil || x.twice {
		l.index = nil
		return
	}
	if name := account.FoldLogin(stringMember(o, "email")); x.emails[name] == o {
		delete(x.emails, name)
	}
	if name := stringMember(o, "account_id"); x.ids[name] == o {
		delete(x.ids, name)
	}
}

// remember takes an account into the index, if there is one.
func (l *List) remember(o *hujson.Object) {
	if l.index != nil {
		l.index.add(o)
	}
}

// indexed returns the index, which it makes if need be.
func (l *List) indexed() *listIndex {
	if l.index == nil {
		n := len(l.array.Elements)
		l.index = &listIndex{emails: make(map[string]*hujson.Object, n), ids: make(map[string]*hujson.Object, n)}
		for i := range l.array.Elements {
			if object, ok := l.array.Elements[i].Value.(*hujson.Object); ok {
				l.index.add(object)
			}
			l.rest()
		}
	}
	return l.index
}

// byEmail returns the account with that email, in any case; nil if there is none.
func (l *List) byEmail(email string) *hujson.Object {
	return l.indexed().emails[account.FoldLogin(email)]
}

// find returns the account with that email, or else with that account_id, which
// may look like the email of another one; nil if there is none.
func (l *List) find(name string) *hujson.Object {
	if object := l.byEmail(name); object != nil {
		return object
	}
	return l.indexed().ids[name]
}
