package main

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"net/http"
)

const maxBody = 64 << 10

// headers let a browser use nothing but what this program serves, and keep
// nothing of it.
var headers = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

// A guard keeps everybody else off a page that only the person at this machine
// should see. That it listens on the loopback interface is not enough:
//
//   - any other page in the browser can send forms to it, so what changes
//     something must come from the page itself;
//   - any other page can give its own name this address (DNS rebinding), and
//     would then count as the page itself, so the name must be one of ours;
//   - any other user of this machine can connect to it, so the first visit needs
//     the key that stands in the address which the program prints.
type guard struct {
	hosts  []string
	cookie string // its name, which has the port: cookies do not know of ports
	key    string
}

func newGuard(port int) *guard {
	return &guard{
		hosts:  []string{fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("localhost:%d", port)},
		cookie: fmt.Sprintf("dashboard-%d", port),
		key:    rand.Text(),
	}
}

// address is where the person begins.
func (g *guard) address() string { return "http://" + g.hosts[0] + "/?key=" + g.key }

func (g *guard) protect(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		cookie, err := r.Cookie(g.cookie)
		switch {
		case r.Host != g.hosts[0] && r.Host != g.hosts[1]:
			http.Error(w, "This is not a name of this page.", http.StatusMisdirectedRequest)
		case err == nil && g.is(cookie.Value):
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet && g.is(r.URL.Query().Get("key")):
			http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			http.Redirect(w, r, "/", http.StatusSeeOther)
		default:
			http.Error(w, "Open the address that the program has printed: it has a key in it.", http.StatusForbidden)
		}
	})
}

func (g *guard) is(key string) bool {
	return subtle.ConstantTimeCompare([]byte(key), []byte(g.key)) == 1
}
