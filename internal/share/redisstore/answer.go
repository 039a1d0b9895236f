package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

var errAnswer = errors.New("the store's answer is not of this version's scripts")

// texts returns an array's texts, numbers and nothings, which are "". There are least of
// them or more.
func texts(r rueidis.RedisResult, least int) ([]string, error) {
	values, err := r.ToArray()
	if err != nil || len(values) < least {
		return nil, errAnswer
	}
	list := make([]string, len(values))
	for i := range values {
		switch v := &values[i]; {
		case v.IsNil():
		case v.IsInt64():
			n, _ := v.AsInt64() // it is one
			list[i] = strconv.FormatInt(n, 10)
		default:
			if list[i], err = v.ToString(); err != nil {
				return nil, errAnswer
			}
		}
	}
	return list, nil
}

// number reads a whole number; "" is 0.
func number(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is no number", errAnswer, text)
	}
	return n, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
