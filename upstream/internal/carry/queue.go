package carry

// Queue is a FIFO of transactions, linked through them.
type Queue struct {
	head, tail *Transaction
	n          int
}

// Len is the number of transactions in q.
func (q *Queue) Len() int { return q.n }

// Head returns the first transaction, nil if there is none.
func (q *Queue) Head() *Transaction { return q.head }

// Push puts tx at the end.
func (q *Queue) Push(tx *Transaction) {
	tx.next = nil
	if q.tail == nil {
		q.head = tx
	} else {
		q.tail.next = tx
	}
	q.tail = tx
	q.n++
}

// At returns the transaction at place i, from 0; nil if there is none.
func (q *Queue) At(i int) *Transaction {
	tx := q.head
	for ; i > 0 && tx != nil; i-- {
		tx = tx.next
	}
	return tx
}

// PushFront puts tx before all others.
func (q *Queue) PushFront(tx *Transaction) {
	tx.next = q.head
	q.head = tx
	if q.tail == nil {
		q.tail = tx
	}
	q.n++
}

// Keep removes those that stay, called with each one and its place in q, does not keep.
func (q *Queue) Keep(stay func(i int, tx *Transaction) bool) {
	for i := range q.n {
		if tx := q.Pop(); stay(i, tx) {
			q.Push(tx)
		}
	}
}

// Pop removes the first transaction and returns it, nil if there is none.
func (q *Queue) Pop() *Transaction {
	tx := q.head
	if tx == nil {
		return nil
	}
	q.head = tx.next
	if q.head == nil {
		q.tail = nil
	}
	tx.next = nil
	q.n--
	return tx
}
