package accountfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile/internal/sheet"
	"xoauth2-proxy/internal/keyfile"
)

// ImportFormat is a form of lists of accounts.
type ImportFormat string

const (
	// ImportAuto finds out which of the others it is.
	ImportAuto ImportFormat = "auto"
	// ImportBatch is the predecessor's text: a line for each account,
	// "email,account_id,refresh_token,client_id,timestamp,hostname", the first
	// four needed, nothing quoted; empty lines and those that begin with "#"
	// are skipped.
	ImportBatch ImportFormat = "batch"
	// ImportCSV has a header that names the keys of accounts.json (RFC 4180).
	ImportCSV ImportFormat = "csv"
	// ImportJSON is an array of accounts, or an object with the array "accounts".
	ImportJSON ImportFormat = "json"
)

// ImportOptions completes what a list leaves out.
type ImportOptions struct {
	Format ImportFormat
	// Provider is for accounts without one whose domain tells none either.
	Provider string
	// ClientSecret is for accounts without one whose provider is Gmail; the
	// batch text has no place for it. It may be a reference.
	ClientSecret account.Secret
	// FirstIP is the ip_address of the first account without one; each further
	// one gets the next. The zero value gives none.
	FirstIP netip.Addr
	// Completes, if not nil, reports whether the file has the account already, with
	// keys that the list may lack. Such an account is checked with the file.
	Completes func(email string) bool
}

func (o *ImportOptions) completes(e *Entry) bool {
	return o.Completes != nil && o.Completes(e.Email())
}

// Imported is one account of a list, or its mistake.
type Imported struct {
	// Line is where it stands, from 1.
	Line int
	// Entry is nil if it could not even be read.
	Entry *Entry
	// Err is nil if the account may go into a file. It shows no secret.
	Err error
}

// ReadImport reads a list of accounts and checks each by itself, against the
// providers of b, and against those before it. The error says that the list as
// a whole cannot be read.
func ReadImport(b *Basis, data []byte, o ImportOptions) ([]Imported, error) {
	if len(data) > keyfile.MaxSize {
		return nil, fmt.Errorf("the list is larger than %d MiB", keyfile.MaxSize>>20)
	}
	if line, wrong := keyfile.Encoding(data); wrong != "" {
		return nil, fmt.Errorf("line %d: %s", line, wrong)
	}
	data = bytes.TrimPrefix(data, []byte(keyfile.ByteOrderMark))
	if o.Format == ImportAuto || o.Format == "" {
		o.Format = guessFormat(data)
	}
	var list []Imported
	var err error
	switch o.Format {
	case ImportBatch:
		list = readBatch(data)
	case ImportCSV:
		list, err = readCSV(data)
	case ImportJSON:
		list, err = readImportJSON(data)
	default:
		err = fmt.Errorf("%q is no format of lists", o.Format)
	}
	if err != nil {
		return nil, err
	}
	c := importChecker{basis: b, options: o, nextIP: o.FirstIP, lines: make(map[string]int)}
	for i := range list {
		c.check(&list[i])
	}
	return list, nil
}

// guessFormat tells JSON by its first character and CSV by a header that names
// the key every account has.
func guessFormat(data []byte) ImportFormat {
	for line := range bytes.Lines(data) {
		declared := sheet.Declared(line) != 0
		line = bytes.TrimSpace(line)
		switch {
		case declared:
			return ImportCSV
		case len(line) == 0 || line[0] == '#':
		case line[0] == '[' || line[0] == '{' || bytes.HasPrefix(line, []byte("//")) || bytes.HasPrefix(line, []byte("/*")):
			return ImportJSON
		default:
			if sheet.Has(line, "email") {
				return ImportCSV
			}
			return ImportBatch
		}
	}
	return ImportBatch
}

// batchFields are the keys of the fields of a line of the batch text; "": the field is
// ignored.
var batchFields = []string{"email", "account_id", "refresh_token", "client_id", "", ""}

// batchNeeded is how many of them a line must have.
const batchNeeded = 4

// readBatch reads the predecessor's batch text.
func readBatch(data []byte) (list []Imported) {
	n := 0
	for raw := range bytes.Lines(data) {
		n++
		line := strings.TrimSpace(string(raw))
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Split(line, ",")
		if len(fields) < batchNeeded || len(fields) > len(batchFields) {
			list = append(list, Imported{Line: n, Err: fmt.Errorf(
				"has %d fields; a line is email,account_id,refresh_token,client_id,timestamp,hostname, the last two optional", len(fields))})
			continue
		}
		e := new(Entry)
		for i, f := range fields {
			if key := batchFields[i]; key != "" {
				e.Set(key, strings.TrimSpace(f))
			}
		}
		if id := e.Get("account_id"); id != "" {
			e.Set("vmta_name", "vmta-"+id)
		}
		list = append(list, Imported{Line: n, Entry: e})
	}
	return list
}

// readImportJSON reads accounts in the form of the file, notes left out.
func readImportJSON(data []byte) ([]Imported, error) {
	var ps keyfile.Problems
	var list []Imported
	p := takeApart("the list", inMemory(data), &ps, func() taker {
		list = nil
		return func(p *piece) (known bool, err error) {
			im := Imported{Line: p.line()}
			v, err := parsePiece(p.text[p.gap:], p.depth)
			if object, ok := asObject(&v); ok {
				im.Entry = entryOf(object)
			} else {
				im.Err = errors.New(`must be an account, "{...}"`)
			}
			list = append(list, im)
			return false, err
		}
	})
	if p.array == nil {
		return nil, ps.Err()
	}
	return list, nil
}

// importChecker completes and checks accounts one after the other.
type importChecker struct {
	basis   *Basis
	options ImportOptions
	nextIP  netip.Addr
	lines   map[string]int // of the emails and of the account_ids so far
}

func (c *importChecker) check(im *Imported) {
	if im.Err != nil {
		return
	}
	e := im.Entry
	if err := c.complete(e); err != nil {
		im.Err = err
		return
	}
	if _, im.Err = ReadEntry(c.basis, e); im.Err != nil && !c.options.completes(e) {
		return
	}
	im.Err = nil
	for _, name := range []string{"email:" + account.FoldLogin(e.Email()), "account_id:" + e.Get("account_id")} {
		key, value, _ := strings.Cut(name, ":")
		if value == "" {
			continue
		}
		if first, ok := c.lines[name]; ok {
			im.Err = fmt.Errorf("%s: %q is on line %d already", key, e.Get(key), first)
			return
		}
		c.lines[name] = im.Line
	}
}

// complete fills in what the account itself does not say.
func (c *importChecker) complete(e *Entry) error {
	if e.Get("provider") == "" {
		provider := cmp.Or(ProviderOf(e.Email()), c.options.Provider)
		if provider == "" {
			return fmt.Errorf("provider: the domain of %q does not tell it; say which it is", e.Email())
		}
		e.Set("provider", provider)
	}
	if p := c.basis.Providers[e.Get("provider")]; p != nil && p.NeedsClientSecret && e.Get("client_secret") == "" {
		e.Set("client_secret", c.options.ClientSecret.Reveal())
	}
	if c.nextIP.IsValid() && e.Get("ip_address") == "" {
		e.Set("ip_address", c.nextIP.String())
		c.nextIP = c.nextIP.Next()
	}
	return nil
}

// ProviderOf returns the provider that the domain of an address belongs to; "" if the
// domain does not tell.
func ProviderOf(email string) string {
	key := account.FoldLogin(email)
	domain := key[strings.LastIndexByte(key, '@')+1:]
	switch {
	case domain == "gmail.com" || domain == "googlemail.com":
		return account.Gmail().Name
	case slices.Contains(account.Outlook().PersonalDomains, domain):
		return account.Outlook().Name
	}
	return ""
}
