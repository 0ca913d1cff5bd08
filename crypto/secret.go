package crypto

import (
	"crypto/subtle"
	"fmt"
	"io"
)

// sameSecret compares what is secret, or made of secrets, in a time that says nothing about where it differs. All other
// comparisons of this package are of what everybody may know: hashes that are names, public keys, headers.
func sameSecret(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// show prints text for any verb of fmt. Types that hold secrets call it from their Format method, since a String method
// alone leaves %d and %#v, which would print the fields.
func show(s fmt.State, text string) { _, _ = io.WriteString(s, text) }

// hidden puts a secret behind a function. fmt calls no method on a value that it finds in an unexported field of
// somebody's struct, but prints what is in it, and for some verbs follows pointers. It cannot look into a function.
func hidden[T any](secret T) func() T { return func() T { return secret } }
