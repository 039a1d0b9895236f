package server

// TLSMode says how a listener uses TLS.
type TLSMode string

const (
	// TLSNone offers no TLS.
	TLSNone TLSMode = ""
	// TLSOffered offers STARTTLS; clients may log in without it.
	TLSOffered TLSMode = "starttls"
	// TLSRequired offers STARTTLS and refuses AUTH before it.
	TLSRequired TLSMode = "required"
	// TLSImplicit starts with the handshake (RFC 8314).
	TLSImplicit TLSMode = "implicit"
)

func (m TLSMode) offered() bool  { return m == TLSOffered || m == TLSRequired }
func (m TLSMode) implicit() bool { return m == TLSImplicit }
