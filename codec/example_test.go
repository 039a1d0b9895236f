package codec_test

import (
	"errors"
	"fmt"

	"xoauth2-proxy/codec"
)

// A parser says how many octets it took, and asks for more until a line is whole.
func ExampleParseCommand() {
	in := []byte("MAIL FROM:<ann@example.com> SIZE=1000\r\nRCPT TO:")
	for {
		cmd, n, err := codec.ParseCommand(in, codec.EndCRLF)
		if errors.Is(err, codec.ErrIncomplete) {
			fmt.Printf("wait for more after %q\n", in)
			return
		}
		mail, err := codec.ParseMail(cmd.Args, codec.ExtSIZE)
		fmt.Printf("%v %s, %d octets, %v\n", cmd.Verb, mail.Path, mail.Size, err)
		in = in[n:]
	}
	// Output:
	// MAIL ann@example.com, 1000 octets, <nil>
	// wait for more after "RCPT TO:"
}

// The reply code and the enhanced status code stand on each line of a reply.
func ExampleReply_AppendTo() {
	r := codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 1, 1}, Text: "No such user\nAsk the postmaster"}
	fmt.Printf("%q\n", r.AppendTo(nil))
	// Output:
	// "550-5.1.1 No such user\r\n550 5.1.1 Ask the postmaster\r\n"
}

// The reply of a provider is a value of the same type.
func ExampleParseReply() {
	r, n, err := codec.ParseReply([]byte("452-4.2.2 Over quota\r\n452 4.2.2 Try later\r\n250 next"))
	fmt.Println(r, r.Transient(), n, err)
	// Output:
	// 452 4.2.2 Over quota / Try later true 43 <nil>
}

// Content comes in pieces of any size. What follows its end is the next command.
func ExampleDataDecoder() {
	content := codec.NewContent(codec.NewBudget(1 << 20))
	defer content.Release()
	var d codec.DataDecoder
	for _, piece := range []string{"Subject: hi\r\n\r\n..dot\r", "\n.\r\nQUIT\r\n"} {
		n, done := d.Decode([]byte(piece), content)
		fmt.Println(n, done, d.Err())
	}
	fmt.Printf("%d octets: %q\n", content.Size(), content.Segment(0))
	// Output:
	// 21 false <nil>
	// 4 true <nil>
	// 21 octets: "Subject: hi\r\n\r\n.dot\r\n"
}
