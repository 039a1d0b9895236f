package loop

import (
	"bytes"
	"testing"
)

// FuzzRecords cuts a stream of records anywhere: what is given to crypto/tls at a
// time never reaches into the next record, and is all of it, in order.
func FuzzRecords(f *testing.F) {
	hello := []byte("\x16\x03\x01\x00\x05hello")
	f.Add(hello, []byte{1})
	f.Add(append(bytes.Clone(hello), "\x17\x03\x03\x00\x02ab\x17\x03\x03\x00\x00\x15\x03\x03\x00\x01x"...), []byte{5, 1, 200})
	f.Add([]byte("\x16\x03\x01\xff\xffx"), []byte{})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		ends := map[int]bool{} // of records
		for at := 0; len(stream)-at >= recordHeader; {
			at += recordHeader + int(stream[at+3])<<8 + int(stream[at+4])
			ends[at] = true
		}
		var r records
		given := 0
		for i, rest := 0, stream; len(rest) > 0; i++ {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, 1+int(cuts[i%len(cuts)]))
			}
			for part := rest[:n]; len(part) > 0; {
				k := r.next(part)
				if k < 1 || k > len(part) {
					t.Fatalf("%d of %d octets", k, len(part))
				}
				for at := given + 1; at < given+k; at++ {
					if ends[at] {
						t.Fatalf("octets %d to %d reach over the end of a record at %d", given, given+k, at)
					}
				}
				given += k
				part = part[k:]
			}
			rest = rest[n:]
		}
		if given != len(stream) {
			t.Fatalf("%d of %d octets were given", given, len(stream))
		}
		if whole := wholeRecord(stream); whole && len(stream) < recordHeader && stream[0] == recordHandshake {
			t.Fatal("less than a header is a whole record")
		}
	})
}
