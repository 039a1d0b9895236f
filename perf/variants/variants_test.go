package variants

import (
	"reflect"
	"testing"

	"xoauth2-proxy/perf/lab"
)

func TestVariant(t *testing.T) {
	for text, want := range map[string]lab.Setup{
		"default":                           {},
		"gogc50:GOGC=50":                    {Env: []string{"GOGC=50"}},
		"two:GOGC=50 GOMAXPROCS=1":          {Env: []string{"GOGC=50", "GOMAXPROCS=1"}},
		`pin:{"server":{"pin":"auto"}}`:     {Sections: map[string]any{"server": map[string]any{"pin": "auto"}}},
		`all:program=/x GOGC=5 {"a":"b:c"}`: {Program: "/x", Env: []string{"GOGC=5"}, Sections: map[string]any{"a": "b:c"}},
	} {
		var v variant
		if err := v.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(v.setup, want) {
			t.Errorf("%s: %+v, want %+v", text, v.setup, want)
		}
	}
	for _, text := range []string{"", ":GOGC=50", "a:b", `a:{"b"`, "a:{}x"} {
		if err := new(variant).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
