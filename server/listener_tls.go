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
	// TLSDetect takes a handshake at the start if the client begins with one,
	// and else offers STARTTLS. A client that waits for the greeting, as it
	// should in clear, gets it a moment later than on other listeners.
	TLSDetect TLSMode = "detect"
)

func (m TLSMode) offered() bool { return m == TLSOffered || m == TLSRequired || m == TLSDetect }
