package flow

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// longestLife is the longest life that an access token is taken to have. A token
	// that lasts longer is only replaced sooner.
	longestLife = 24 * time.Hour
	// longestRefresh is the longest life that a refresh token is taken to have.
	longestRefresh = 10 * 365 * 24 * time.Hour
	// longestInterval is the longest polling interval that is believed.
	longestInterval = 5 * time.Minute
)

// textFields are the fields of an answer that hold text (RFC 6749 section 5, RFC 8628
// section 3.2). Google names one of them verification_url.
var textFields = []string{
	"access_token", "token_type", "refresh_token", "scope", "error", "error_description", "error_subtype",
	"device_code", "user_code", "verification_uri", "verification_url", "verification_uri_complete",
}

// secondFields are the fields that hold a number of seconds, with the most that each
// counts as.
var secondFields = map[string]time.Duration{"expires_in": longestLife, "interval": longestInterval,
	refreshLives[0]: longestRefresh, refreshLives[1]: longestRefresh}

// refreshLives are the fields with the life of the refresh token: no RFC has them. Google and
// Microsoft send the first for tokens that do not last, Keycloak the second. A 0 is no bound.
var refreshLives = [...]string{"refresh_token_expires_in", "refresh_expires_in"}

// plainFields returns the JSON object body with only the fields that are read, each in
// the form that its RFC gives it: a field of the wrong kind must not take the tokens
// beside it away. odd names the fields that could not be read, and are left out; a null
// and an empty string count as absent. A body that is no object stays as it is.
func plainFields(body []byte) (plain []byte, odd []string) {
	var given map[string]json.RawMessage
	if json.Unmarshal(body, &given) != nil || given == nil {
		return body, nil
	}
	for _, name := range slices.Sorted(maps.Keys(given)) { // encoding/json reads names in any case
		if low := strings.ToLower(name); given[low] == nil {
			given[low] = given[name]
		}
	}
	fields := make(map[string]any)
	for _, name := range textFields {
		text, ok := textOf(name, given[name])
		if text != "" {
			fields[name] = text
		}
		if !ok {
			odd = append(odd, name)
		}
	}
	for name, most := range secondFields {
		raw := given[name]
		if isAbsent(raw) {
			continue
		}
		if n, ok := secondsOf(raw, most); ok {
			fields[name] = n
		} else if !slices.Contains(refreshLives[:], name) {
			odd = append(odd, name)
		}
	}
	slices.Sort(odd)
	plain, err := json.Marshal(fields)
	if err != nil { // strings and numbers can be marshalled
		return body, nil
	}
	return plain, odd
}

// isAbsent reports whether a field is not there, or null.
func isAbsent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// textOf reads a field of text. A number is the text that it is written as, and scopes
// may come as a list. "error" must be a string: nothing else says that a request was
// refused.
func textOf(name string, raw json.RawMessage) (text string, ok bool) {
	if isAbsent(raw) {
		return "", true
	}
	if json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	var n json.Number
	if name != "error" && json.Unmarshal(raw, &n) == nil {
		return n.String(), true
	}
	var list []string
	if name == "scope" && json.Unmarshal(raw, &list) == nil {
		return strings.Join(list, " "), true
	}
	return "", false
}

// numeric are the characters that numbers are written in.
const numeric = "0123456789.eE+-"

// secondsOf reads a number of seconds: any number that JSON or a string of digits can
// write, without its fraction. What is less than a second is not one.
func secondsOf(raw json.RawMessage, most time.Duration) (n int64, ok bool) {
	text := string(bytes.TrimSpace(raw))
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = strings.TrimSpace(quoted)
	}
	if strings.Trim(text, numeric) != "" { // strconv reads "inf" and hexadecimal too
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 1) || f < 1 {
		return 0, false
	}
	return int64(min(f, most.Seconds())), true
}
