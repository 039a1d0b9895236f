package quota

// Rename counts under other names what was saved under the names of an earlier version: name
// returns the other name of one, or false to leave it. Counts that get one name are summed.
// The next Flush writes all of it at once, so that it is summed once.
func (s *Store) Rename(name func(old string) (now string, ok bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, of := range s.hours {
		now, ok := name(old)
		if !ok || now == old {
			continue
		}
		for number, c := range of {
			if c == (counts{}) {
				continue
			}
			was := s.hours[now][number]
			s.keep(hour{now, number}, counts{was.messages + c.messages, was.recipients + c.recipients})
			s.keep(hour{old, number}, counts{})
		}
	}
}

// keep puts the counts of an hour, for the next Flush too.
func (s *Store) keep(h hour, c counts) {
	s.put(h, c)
	s.unsaved[h] = c
}
