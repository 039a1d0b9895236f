// Package codec is the wire format of SMTP: commands, replies, content and
// SASL messages, for both sides of the proxy. It does no I/O, reads no
// configuration and imports no other package of this module.
//
// # Parsing
//
// [ParseCommand], [ParseLine] and [ParseReply] are stateless: they look at
// the bytes that have arrived so far, answer [ErrIncomplete] until a whole
// line (or reply) is there, and say how many bytes it took. The result does
// not depend on how the network cut the input. [ParseMail], [ParseRcpt],
// [ParseBdat] and [ParseAuth] take a command's arguments apart. Their results
// borrow from their input: they are valid as long as it is.
//
// # Content
//
// A message's content is kept in a [Content], a list of pooled segments whose
// capacity is charged to a [Budget]. [DataDecoder] fills it from the wire form
// of DATA (RFC 5321 section 4.5.2) and is the one incremental parser here. Its
// states are
//
//	lineStart   after CRLF, or at the very beginning
//	afterDot    a dot at the start of a line
//	afterDotCR  that dot and a CR: with LF it is the end of data
//	inLine      anywhere else in a line
//	afterCR     a CR in a line: with LF it ends the line, else it is bare
//	atEnd       the end of data was read
//
// Content that came in chunks (RFC 3030) is checked by [Content.CheckText], or appended
// by a [Normaliser].
//
// End of data is CRLF.CRLF and nothing else. A bare CR or LF makes the decoder
// refuse the content (or, by choice, normalise it), but never moves the end of
// data, so no byte of content can be read as a command.
//
// # Buffers
//
// This package is the only user of bytebufferpool. Segments and line buffers
// have a pool each. A build with the tag bufdebug poisons what is put back and
// panics when something is put back twice.
package codec
