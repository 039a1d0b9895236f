package codec

import "math"

// ParseBdat takes the arguments of BDAT apart, "chunk-size [LAST]" (RFC 3030
// section 2). size is in octets. After an error, ErrArgSyntax, the number of
// octets that follow is not known: the session cannot stay in step.
func ParseBdat(args []byte) (size int64, last bool, err error) {
	word, rest := cutWord(args)
	size, ok := parseSize(word)
	if !ok || size == math.MaxInt64 {
		return 0, false, ErrArgSyntax
	}
	if rest = trimRightSpace(rest); len(rest) == 0 {
		return size, false, nil
	}
	var buf [upperWord]byte
	if string(upperInto(&buf, rest)) != "LAST" {
		return 0, false, ErrArgSyntax
	}
	return size, true, nil
}
