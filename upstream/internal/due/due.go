// Package due orders what a timer has to look at.
package due

import "time"

// Item is a part of what is in a [Heap].
type Item struct {
	At    time.Time // when the timer looks at it
	Index int       // in the heap
}

// Due is that part.
func (i *Item) Due() *Item { return i }

// Heap is for container/heap: the first is due first.
type Heap[T interface{ Due() *Item }] []T

func (h Heap[T]) Len() int           { return len(h) }
func (h Heap[T]) Less(i, j int) bool { return h[i].Due().At.Before(h[j].Due().At) }
func (h Heap[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].Due().Index, h[j].Due().Index = i, j
}

// Push implements heap.Interface.
func (h *Heap[T]) Push(x any) {
	v := x.(T)
	v.Due().Index = len(*h)
	*h = append(*h, v)
}

// Pop implements heap.Interface.
func (h *Heap[T]) Pop() any {
	old := *h
	n := len(old) - 1
	v := old[n]
	var none T
	old[n] = none
	*h = old[:n]
	return v
}
