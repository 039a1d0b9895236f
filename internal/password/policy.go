package password

// Policy says which password the clients of a listener must know.
type Policy string

const (
	// PolicyAny accepts every password: naming an account is enough. It is for
	// listeners that only trusted clients can reach.
	PolicyAny Policy = "any"
	// PolicyShared asks for one secret, the same for all accounts.
	PolicyShared Policy = "shared"
	// PolicyAccount asks for the account's own secret.
	PolicyAccount Policy = "account"
)

// Valid reports whether p is one of the three.
func (p Policy) Valid() bool { return p == PolicyAny || p == PolicyShared || p == PolicyAccount }
