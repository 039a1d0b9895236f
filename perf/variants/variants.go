// Package variants compares ways to run the proxy: settings of its environment, of its
// configuration, or other builds of it. All of them take the same loads in
// interleaved rounds. A variant is a name, and after a colon the difference:
//
//	default                       nothing
//	gogc50:GOGC=50                environment, several parted by spaces
//	pin:{"server":{"pin":"auto"}} configuration
//	old:program=/path/to/proxy    another build
//
// These may be combined, parted by spaces; configuration comes last. The
// first variant is what the ratios refer to; one given twice under two names
// tells the noise.
package variants

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	lab.Repeated
	Variant []variant `required:"" sep:"none" placeholder:"NAME[:WHAT]" help:"What to compare, once for each: a name, then a colon and NAME=VALUE of the environment, program=FILE, or a JSON object of configuration, as in gogc50:GOGC=50 or pin:{\"server\":{\"pin\":\"auto\"}}."`
	lab.LoadArgs
}

// A variant is one way to run it.
type variant struct {
	name  string
	setup lab.Setup
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *variant) UnmarshalText(text []byte) error {
	name, what, _ := strings.Cut(string(text), ":")
	v.name, v.setup = name, lab.Setup{}
	if name == "" {
		return errors.New("a variant has no name")
	}
	what, config, _ := strings.Cut(what, "{")
	for word := range strings.FieldsSeq(what) {
		key, value, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			return fmt.Errorf("%s: %q is neither NAME=VALUE nor a JSON object", name, word)
		case key == "program":
			v.setup.Program = value
		default:
			v.setup.Env = append(v.setup.Env, word)
		}
	}
	if config == "" {
		return nil
	}
	if err := json.Unmarshal([]byte("{"+config), &v.setup.Sections); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Run runs the command.
func (o *Command) Run() error {
	return o.Bench(func(b *lab.Bench) {
		c := b.NewComparison(o.Time, lab.Accounts, 0)
		for _, v := range o.Variant {
			c.AddProxy(v.name, v.setup)
		}
		for round := range o.Rounds {
			c.Round(round, "load", o.Args...)
		}
		o.Write(o.Rounds, c.Table("Variants", "load", c.Candidates[0]))
	})
}
