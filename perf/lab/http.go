package lab

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// client knows no HTTP proxy: all is on this machine.
var client = http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{Proxy: nil}}

// Get returns what is at the URL.
func Get(url string) ([]byte, error) {
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, strings.TrimSpace(string(text)))
	}
	return text, err
}

// Metric reads one of the proxy's metrics, by its name with its labels.
func (p *Proxy) Metric(name string) (float64, error) {
	text, err := Get(p.Admin + "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("the proxy has no metric %s", name)
}

// Count asks the sink how many messages it has taken.
func (p *Provider) Count() (int64, error) {
	text, err := Get(p.API + "/count")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
