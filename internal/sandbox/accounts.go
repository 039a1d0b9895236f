package sandbox

import (
	"errors"
	"slices"
	"strings"
)

// AddAccount adds a mailbox.
func (s *Server) AddAccount(a Account) error {
	a = a.withDefaults()
	names := map[string]bool{}
	for _, ep := range s.endpoints {
		names[ep.Name] = true
	}
	m := &mailbox{Account: a}
	key := strings.ToLower(a.Email)
	s.mu.Lock()
	errs := checkAccount(len(s.order), a, names, map[string]bool{key: s.mailboxes[key] != nil})
	if len(errs) == 0 {
		s.mailboxes[key] = m
		s.order = append(s.order, m)
	}
	s.mu.Unlock()
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	s.grants.add(m)
	return nil
}

// RemoveAccount removes a mailbox: its tokens are void and its connections closed.
func (s *Server) RemoveAccount(email string) {
	s.mu.Lock()
	m := s.mailboxes[strings.ToLower(email)]
	if m != nil {
		delete(s.mailboxes, strings.ToLower(email))
		s.order = slices.DeleteFunc(s.order, func(o *mailbox) bool { return o == m })
	}
	s.mu.Unlock()
	if m != nil {
		s.grants.remove(m)
		m.dismiss()
	}
}

// mailbox returns the mailbox of that address, or nil.
func (s *Server) mailbox(email string) *mailbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mailboxes[strings.ToLower(email)]
}

// Accounts returns the mailboxes in the order in which they were added.
func (s *Server) Accounts() []Account {
	boxes := s.boxes()
	out := make([]Account, len(boxes))
	for i, m := range boxes {
		out[i] = m.Account
	}
	return out
}

func (s *Server) boxes() []*mailbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}
