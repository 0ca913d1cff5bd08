package crypto

import "math/bits"

// A bitset is a set of places in canonical order. It has no more words than it needs; with and or may change the set that
// they are called on.
type bitset []uint64

func (b bitset) has(i int) bool { return i>>6 < len(b) && b[i>>6]>>(i&63)&1 == 1 }

func (b bitset) with(i int) bitset {
	for len(b) <= i>>6 {
		b = append(b, 0)
	}
	b[i>>6] |= 1 << (i & 63)
	return b
}

func (b bitset) or(c bitset) bitset {
	for len(b) < len(c) {
		b = append(b, 0)
	}
	for i, word := range c {
		b[i] |= word
	}
	return b
}

// meets reports whether the sets have a place in common that is in none of the others.
func (b bitset) meets(c bitset, without ...bitset) bool {
	for i := range min(len(b), len(c)) {
		word := b[i] & c[i]
		for _, other := range without {
			if i < len(other) {
				word &^= other[i]
			}
		}
		if word != 0 {
			return true
		}
	}
	return false
}

// lastIn returns the largest place that the sets have in common, or -1.
func (b bitset) lastIn(c bitset) int {
	for i := min(len(b), len(c)) - 1; i >= 0; i-- {
		if word := b[i] & c[i]; word != 0 {
			return i<<6 + bits.Len64(word) - 1
		}
	}
	return -1
}

// firstIn returns the smallest place that the sets have in common, or -1.
func (b bitset) firstIn(c bitset) int {
	for i := range min(len(b), len(c)) {
		if word := b[i] & c[i]; word != 0 {
			return i<<6 + bits.TrailingZeros64(word)
		}
	}
	return -1
}

// all yields the places in rising order.
func (b bitset) all(yield func(int) bool) {
	for i, word := range b {
		for ; word != 0; word &= word - 1 {
			if !yield(i<<6 + bits.TrailingZeros64(word)) {
				return
			}
		}
	}
}
