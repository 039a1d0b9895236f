package smtpclient

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

func TestParseOffer(t *testing.T) {
	all := codec.ExtSIZE | codec.Ext8BITMIME | codec.ExtSMTPUTF8 | codec.ExtDSN | codec.ExtBINARYMIME |
		codec.ExtCHUNKING | codec.ExtPIPELINING | codec.ExtAUTH
	tests := []struct {
		name, text string
		ext        codec.Extensions
		size       int64
		offered    mechanisms
	}{
		{"nothing", "host", 0, 0, 0},
		{"all", "host\nSIZE 35882577\n8BITMIME\nSMTPUTF8\nDSN\nBINARYMIME\nCHUNKING\nPIPELINING\nAUTH LOGIN XOAUTH2", all, 35882577, offersXOAUTH2},
		{"case and space", "host\nsize  70000 \n auth xoauth2 ", codec.ExtSIZE | codec.ExtAUTH, 70000, offersXOAUTH2},
		{"two mechanisms", "host\nAUTH PLAIN OAUTHBEARER XOAUTH2", codec.ExtAUTH, 0, offersXOAUTH2 | offersOAUTHBEARER},
		{"AUTH= form", "host\nAUTH=LOGIN XOAUTH2", codec.ExtAUTH, 0, offersXOAUTH2},
		{"AUTH= form, one", "host\nAUTH=XOAUTH2", codec.ExtAUTH, 0, offersXOAUTH2},
		{"both forms", "host\nAUTH LOGIN\nAUTH=XOAUTH2", codec.ExtAUTH, 0, offersXOAUTH2},
		{"first line is no keyword", "PIPELINING", 0, 0, 0},
		{"unknown and empty", "host\n\nX-THING\nXOAUTH2", 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, want := parseOffer(tt.text, 0), (Offer{Extensions: tt.ext, Size: tt.size, mechanisms: tt.offered}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// TestParseSize: a SIZE below what every server must take, or that is no number, counts as
// not announced.
func TestParseSize(t *testing.T) {
	for _, tt := range []struct {
		lines     string
		size      int64
		announced bool
		odd       string
	}{
		{"SIZE", 0, true, ""}, {"SIZE 0", 0, true, ""}, {"SIZE 65536", 65536, true, ""}, {"SIZE 35882577 x", 35882577, true, ""},
		{"SIZE 9223372036854775807", math.MaxInt64, true, ""}, {"SIZE 99999999999999999999", math.MaxInt64, true, ""},
		{"SIZE 1", 0, false, "1"}, {"SIZE 65535", 0, false, "65535"}, {"SIZE -1", 0, false, "-1"}, {"SIZE +70000", 0, false, "+70000"},
		{"SIZE x", 0, false, "X"}, {"SIZE 70000K", 0, false, "70000K"}, {"SIZE 7e9", 0, false, "7E9"}, {"SIZE 0x", 0, false, "0X"},
		{"SIZE 1\nSIZE 70000", 70000, true, "1"}, {"SIZE 70000\nSIZE 1", 70000, true, "1"}, {"SIZE=70000", 0, false, ""},
	} {
		o := parseOffer("host\n"+tt.lines, 0)
		if o.Size != tt.size || o.Has(codec.ExtSIZE) != tt.announced || o.OddSize != tt.odd {
			t.Errorf("%q: size %d, announced %v, odd %q", tt.lines, o.Size, o.Has(codec.ExtSIZE), o.OddSize)
		}
	}
}

// pieces is a connection that gives input in pieces.
type pieces struct {
	io.Writer
	in  []byte
	cut int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.cut)], p.in)
	p.in = p.in[n:]
	return n, nil
}

// FuzzReplyReader: whatever comes in and however it is cut, the replies are
// those of codec.ParseReply, and the short form has the same code.
func FuzzReplyReader(f *testing.F) {
	f.Add([]byte("250 2.1.0 OK\r\n250 2.1.5 OK\r\n250-2.0.0 a\r\n250 2.0.0 b\r\n"), 1)
	f.Add([]byte("354 go\r\n421 4.4.2 bye\r\n"), 7)
	f.Add([]byte("250\r\n25\r\n"), 3)
	f.Add(bytes.Repeat([]byte("250-x\r\n"), 1000), 100)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		from := &pieces{in: in, cut: max(1, min(cut, len(in)))}
		var r replyReader
		for rest := in; ; {
			want, n, werr := codec.ParseReply(rest)
			got, err := r.next(from)
			switch {
			case werr == nil:
				if err != nil || got != want {
					t.Fatalf("reply %v, %v; want %v", got, err, want)
				}
				if code, size := plainSuccess(rest); size > 0 && (code != want.Code || size != n) {
					t.Fatalf("short form %d of %d octets; want %d of %d", code, size, want.Code, n)
				}
				rest = rest[n:]
				continue
			case errors.Is(werr, codec.ErrIncomplete):
				if err == nil || errors.Is(err, ErrProtocol) {
					t.Fatalf("reply %v, %v to half a reply", got, err)
				}
			case !errors.Is(err, ErrProtocol):
				t.Fatalf("reply %v, %v; want %v", got, err, werr)
			}
			return
		}
	})
}

// TestAvoidedKeywords: what is to be avoided counts as not announced.
func TestAvoidedKeywords(t *testing.T) {
	const text = "mx\nSIZE 100000\n8BITMIME\nSMTPUTF8\nDSN\nchunking\nBINARYMIME\nPIPELINING\nAUTH XOAUTH2"
	all := parseOffer(text, 0)
	for name, ext := range keywords {
		k := account.KeywordOf(name)
		if name == "AUTH" {
			if k != 0 {
				t.Error("AUTH can be avoided")
			}
			continue
		}
		want := all
		if want.Extensions &^= ext; name == "SIZE" {
			want.Size = 0
		}
		if got := parseOffer(text, k); k == 0 || got != want {
			t.Errorf("without %s: %+v, want %+v", name, got, want)
		}
	}
	if got := parseOffer(text, account.AllKeywords); got.Extensions != codec.ExtAUTH || got.Size != 0 {
		t.Errorf("without any: %+v", got)
	}
}
