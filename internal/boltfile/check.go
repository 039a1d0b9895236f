package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The layout of a file, version 2 of bbolt's (go.etcd.io/bbolt/internal/common). Numbers are
// in the order of octets of the machine.
const (
	magic, layout = 0xED0CDAED, 2

	headerSize  = 16 // page: number 8, kind 2, elements 2, pages that follow and belong to it 4
	elementSize = 16
	bucketSize  = 16 // page 8, sequence 8
	metaSize    = 64
	sumAt       = 56 // of the checksum in the meta data

	branchPage, leafPage, freelistPage = 0x01, 0x02, 0x10

	isBucket    = 0x01 // flag of an element of a leaf
	noFreelist  = ^uint64(0)
	manyOfFree  = 0xFFFF // elements of a freelist whose number is its first one
	minPageSize = 1 << 10
	maxPageSize = 16 << 20
)

var native = binary.NativeEndian

// meta is what a file says about itself.
type meta struct {
	pageSize             int64
	root, freelist, most uint64 // pages; most is the number of pages
	txid                 uint64
}

// checker walks through a file.
type checker struct {
	file io.ReaderAt
	meta
	taken []bool // pages that were met
}

// check reports whether bbolt can walk through the file without a fault: every page has
// its number and its kind, and is met once; every element lies within its page; keys are in
// order; every page is in use or free. The error is ErrDamaged or the file system's. An
// empty file is right.
func check(file *os.File) error {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	if !info.Mode().IsRegular() {
		return damaged("it is no regular file")
	}
	m, err := readMeta(file, info.Size())
	if err != nil {
		return err
	}
	return m.check(file)
}

// check is the package's check of a file with that meta data.
func (m meta) check(file io.ReaderAt) error {
	c := &checker{file: file, meta: m, taken: make([]bool, m.most)}
	c.taken[0], c.taken[1] = true, true // the meta data
	if err := c.freePages(); err != nil {
		return err
	}
	if err := c.tree(m.root, nil, nil); err != nil {
		return err
	}
	if m.freelist == noFreelist {
		return nil
	}
	for id, taken := range c.taken {
		if !taken {
			return damaged("page %d is neither in use nor free", id)
		}
	}
	return nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w (%s)", ErrDamaged, fmt.Sprintf(format, args...))
}

// readMeta returns the newer of the two copies of the meta data that is whole.
func readMeta(file io.ReaderAt, size int64) (newest meta, err error) {
	for at := int64(0); at <= maxPageSize; at = max(minPageSize, 2*at) { // the second one is on page 1
		b := make([]byte, headerSize+metaSize)
		if n, err := file.ReadAt(b, at); n < len(b) {
			if errors.Is(err, io.EOF) {
				break
			}
			return meta{}, err
		}
		m, ok := parseMeta(b[headerSize:])
		if ok && (at == 0 || at == m.pageSize) && m.txid >= newest.txid {
			newest = m
		}
	}
	switch {
	case newest.pageSize == 0:
		return meta{}, damaged("it has no meta data")
	case newest.most < 3 || newest.most > uint64(size/newest.pageSize):
		return meta{}, damaged("it should have %d pages and has %d", newest.most, size/newest.pageSize)
	}
	return newest, nil
}

// parseMeta reads one copy of the meta data.
func parseMeta(b []byte) (m meta, ok bool) {
	sum := fnv.New64a()
	_, _ = sum.Write(b[:sumAt])
	m = meta{pageSize: int64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		most: native.Uint64(b[40:]), txid: native.Uint64(b[48:])}
	ok = native.Uint32(b) == magic && native.Uint32(b[4:]) == layout && native.Uint64(b[sumAt:]) == sum.Sum64() &&
		m.pageSize >= minPageSize && m.pageSize <= maxPageSize
	return m, ok
}

// take marks pages as met.
func (c *checker) take(id, number uint64) error {
	if id >= c.most || number > c.most-id {
		return damaged("there is no page %d", id)
	}
	for p := id; p < id+number; p++ {
		if c.taken[p] {
			return damaged("page %d is used twice", p)
		}
		c.taken[p] = true
	}
	return nil
}

// page reads a page, with the pages that belong to it, and takes them.
func (c *checker) page(id uint64) (b []byte, err error) {
	header := make([]byte, headerSize)
	if id < c.most { // else take has the error
		if _, err := c.file.ReadAt(header, int64(id)*c.pageSize); err != nil {
			return nil, err
		}
	}
	number := 1 + uint64(native.Uint32(header[12:]))
	if err := c.take(id, number); err != nil {
		return nil, err
	}
	if got := native.Uint64(header); got != id {
		return nil, damaged("page %d says that it is page %d", id, got)
	}
	b = make([]byte, int64(number)*c.pageSize)
	_, err = c.file.ReadAt(b, int64(id)*c.pageSize)
	return b, err
}

// freePages takes the free pages and those that list them.
func (c *checker) freePages() error {
	if c.freelist == noFreelist {
		return nil
	}
	b, err := c.page(c.freelist)
	if err != nil {
		return err
	}
	if native.Uint16(b[8:]) != freelistPage {
		return damaged("page %d lists no free pages", c.freelist)
	}
	number, ids := uint64(native.Uint16(b[10:])), b[headerSize:]
	if number == manyOfFree {
		number, ids = native.Uint64(ids), ids[8:]
	}
	if number > uint64(len(ids)/8) {
		return damaged("page %d lists %d free pages", c.freelist, number)
	}
	for i := range number {
		if err := c.take(native.Uint64(ids[8*i:]), 1); err != nil {
			return err
		}
	}
	return nil
}

// tree walks through the pages of a bucket from id down. Its keys are from least on, and
// below end; nil: without a bound.
func (c *checker) tree(id uint64, least, end []byte) error {
	b, err := c.page(id)
	if err != nil {
		return err
	}
	switch native.Uint16(b[8:]) {
	case leafPage:
		return c.leaf(b, least, end)
	case branchPage:
		return c.branch(b, least, end)
	}
	return damaged("page %d is of kind %#x", id, native.Uint16(b[8:]))
}

// branch walks through a page that refers to others.
func (c *checker) branch(b, least, end []byte) error {
	number := int(native.Uint16(b[10:]))
	if number == 0 {
		return damaged("a branch is empty")
	}
	keys, children := make([][]byte, number+1), make([]uint64, number)
	keys[number] = end
	for i := range number {
		e, err := element(b, i)
		if err != nil {
			return err
		}
		if keys[i], err = part(e, native.Uint32(e), native.Uint32(e[4:])); err != nil {
			return err
		}
		children[i] = native.Uint64(e[8:])
		if least, err = inOrder(keys[i], least, i > 0, end); err != nil {
			return err
		}
	}
	for i, child := range children {
		if err := c.tree(child, keys[i], keys[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// leaf looks at the elements of a page, and walks through the buckets among them.
func (c *checker) leaf(b, least, end []byte) error {
	for i := range int(native.Uint16(b[10:])) {
		e, err := element(b, i)
		if err != nil {
			return err
		}
		at, size := native.Uint32(e[4:]), native.Uint32(e[8:])
		key, err := part(e, at, size)
		if err != nil {
			return err
		}
		value, err := part(e[min(len(e), int(at)+int(size)):], 0, native.Uint32(e[12:]))
		if err != nil {
			return err
		}
		if least, err = inOrder(key, least, i > 0, end); err != nil {
			return err
		}
		if native.Uint32(e)&isBucket != 0 {
			if err := c.bucket(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket walks through a bucket. A small one has its only page in its value.
func (c *checker) bucket(value []byte) error {
	if len(value) < bucketSize {
		return damaged("a bucket of %d octets", len(value))
	}
	if root := native.Uint64(value); root != 0 {
		return c.tree(root, nil, nil)
	}
	page := value[bucketSize:]
	if len(page) < headerSize || native.Uint16(page[8:]) != leafPage {
		return damaged("a bucket without a page")
	}
	return c.leaf(page, nil, nil)
}

// element returns what is in a page from its element i on: positions count from there.
func element(b []byte, i int) ([]byte, error) {
	at := headerSize + i*elementSize
	if at+elementSize > len(b) {
		return nil, damaged("a page of %d elements", i)
	}
	return b[at:], nil
}

// part returns a part of b.
func part(b []byte, at, size uint32) ([]byte, error) {
	if uint64(at)+uint64(size) > uint64(len(b)) {
		return nil, damaged("an element ends outside of its page")
	}
	return b[at : uint64(at)+uint64(size)], nil
}

// inOrder reports whether a key may follow the one before, or may be the first one from
// least on, and is below end. It returns key.
func inOrder(key, before []byte, follows bool, end []byte) ([]byte, error) {
	order := bytes.Compare(key, before)
	if order < 0 || follows && order == 0 || end != nil && bytes.Compare(key, end) >= 0 {
		return nil, damaged("keys out of order")
	}
	return key, nil
}
