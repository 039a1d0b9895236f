package accountfile

import (
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/keyfile"
)

// asObject returns the object that a value is.
func asObject(v *hujson.Value) (*hujson.Object, bool) {
	o, ok := v.Value.(*hujson.Object)
	return o, ok
}

// style is how the elements of a list are laid out.
type style struct {
	elements string // in front of an element: a line end and its indent; "": all on one line
	closing  string // the same in front of the closing bracket
	lines    bool   // the members of an element have lines of their own
	indent   string // of the lines of an element
	unit     string // one more level
}

// emailOf returns the email of an account as accountReader takes it: of several, the
// last one that is not null.
func emailOf(o *hujson.Object) string {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if keyfile.MemberName(o, i) != "email" || keyfile.IsNull(&o.Members[i].Value) {
			continue
		}
		if lit, ok := o.Members[i].Value.Value.(hujson.Literal); ok && lit.Kind() == '"' {
			return strings.TrimSpace(lit.String())
		}
		return ""
	}
	return ""
}
