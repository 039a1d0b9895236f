package main

import (
	"reflect"
	"strings"
	"unicode"

	"xoauth2-proxy/internal/config"
)

// reloadable are the settings that a reload puts in force: each function copies
// one. The limits and presets of providers are in the accounts already.
var reloadable = []func(running, read *config.Settings){
	func(running, read *config.Settings) { running.Log.Level = read.Log.Level },
	func(running, read *config.Settings) { running.Admin.Token = read.Admin.Token },
	func(running, read *config.Settings) { running.Secrets = read.Secrets },
	func(running, read *config.Settings) { running.Providers = read.Providers },
	func(running, read *config.Settings) { running.Upstream.BindSourceIP = read.Upstream.BindSourceIP },
	func(running, read *config.Settings) { running.Upstream.IPv6 = read.Upstream.IPv6 },
}

// restartKeys names the settings in which what was read differs from what runs,
// as the file has them.
func restartKeys(running, read *config.Settings) (keys []string) {
	a, b := reflect.ValueOf(*running), reflect.ValueOf(*read)
	for i := range a.NumField() {
		section := a.Type().Field(i).Name
		x, y := a.Field(i), b.Field(i)
		switch {
		case reflect.DeepEqual(x.Interface(), y.Interface()):
		case x.Kind() == reflect.Struct:
			for j := range x.NumField() {
				if !reflect.DeepEqual(x.Field(j).Interface(), y.Field(j).Interface()) {
					keys = append(keys, keyName(section)+"."+keyName(x.Type().Field(j).Name))
				}
			}
		default:
			keys = append(keys, keyName(section))
		}
	}
	return keys
}

// odd are fields whose keys are not their names in snake case.
var odd = map[string]string{"OAuth": "oauth", "GOMAXPROCS": "gomaxprocs", "GOMEMLIMIT": "gomemlimit", "GOGC": "gogc"}

// keyName turns the name of a field into that of its key: CAFile into ca_file.
func keyName(field string) string {
	if key, ok := odd[field]; ok {
		return key
	}
	var b strings.Builder
	runes := []rune(field)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
