package reading

// Field is a field of a record that is read by name.
type Field int

// The fields, as in [accounting.Fields].
const (
	Type Field = iota
	TimeLogged
	TimeQueued
	Orig
	Rcpt
	ORcpt
	Status
	Diag
	Size
	EnvID
	Account
	Email
	Tenant
	Provider
	VerdictBy
	Phase
	Class
	Hint
	MessageID
	MaybeAccepted
	Late
	WaitMs
	SendMs
	AnswerMs
	TotalMs
	Session
	Process
	Sequence
	AboutProcess
	FirstSequence
	LastSequence
	Count
	numFields
)

// kind is what the value of a field is, if there is one.
type kind uint8

const (
	aText    kind = iota
	aNumber       // a whole one
	aDecimal      // with a fraction
	aTime         // of RFC 3339
)

var fields = [numFields]struct {
	name string
	kind kind
}{
	Type: {"type", aText}, TimeLogged: {"timeLogged", aTime}, TimeQueued: {"timeQueued", aTime}, Orig: {"orig", aText},
	Rcpt: {"rcpt", aText}, ORcpt: {"orcpt", aText}, Status: {"dsnStatus", aText}, Diag: {"dsnDiag", aText},
	Size: {"dlvSize", aNumber}, EnvID: {"envId", aText}, Account: {"account", aText}, Email: {"email", aText},
	Tenant: {"tenant", aText}, Provider: {"provider", aText}, VerdictBy: {"verdictBy", aText}, Phase: {"phase", aText},
	Class: {"class", aText}, Hint: {"hint", aText}, MessageID: {"messageId", aText}, MaybeAccepted: {"maybeAccepted", aText}, Late: {"late", aText},
	WaitMs: {"waitMs", aDecimal}, SendMs: {"sendMs", aDecimal}, AnswerMs: {"answerMs", aDecimal}, TotalMs: {"totalMs", aDecimal},
	Session: {"session", aNumber}, Process: {"process", aText}, Sequence: {"sequence", aNumber}, AboutProcess: {"aboutProcess", aText},
	FirstSequence: {"firstSequence", aNumber}, LastSequence: {"lastSequence", aNumber}, Count: {"count", aNumber},
}

var fieldNamed = func() map[string]Field {
	named := make(map[string]Field, numFields)
	for f := range numFields {
		named[f.String()] = f
	}
	return named
}()

// String is the name in the files.
func (f Field) String() string { return fields[f].name }
