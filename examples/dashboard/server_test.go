package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

// alone returns the page of a device that is in a space of its own.
func alone(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	d, err := openDevice(t.Context(), place{filepath.Join(dir, "life.db"), t.TempDir(), filepath.Join(dir, "keys"), "laptop", ""})
	must(t, err)
	t.Cleanup(func() { must(t, d.close()) })
	s, err := listen(d, 0)
	must(t, err)
	must(t, s.listener.Close()) // requests come to the handler itself
	return s
}

// ask sends a request of a person who has entered, as changed by what is given.
func (s *server) ask(method, path string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	request.Host = s.hosts[0]
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.AddCookie(&http.Cookie{Name: s.cookie, Value: s.key})
	if change != nil {
		change(request)
	}
	answer := httptest.NewRecorder()
	s.protect(s.routes()).ServeHTTP(answer, request)
	return answer
}

// Nobody but the person with the key, on the page itself, sees or changes anything.
func TestGuard(t *testing.T) {
	s := alone(t)
	note := url.Values{"text": {"planted"}}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	own := "http://" + s.hosts[0]
	for name, test := range map[string]struct {
		method, path string
		change       func(*http.Request)
		want         int
	}{
		"the page":                  {"GET", "/", nil, http.StatusOK},
		"by its other name":         {"GET", "/", func(r *http.Request) { r.Host = s.hosts[1] }, http.StatusOK},
		"its own form":              {"POST", "/notes", header("Origin", own), http.StatusSeeOther},
		"without a key":             {"GET", "/", header("Cookie", ""), http.StatusForbidden},
		"with another key":          {"GET", "/", header("Cookie", s.cookie+"=x"), http.StatusForbidden},
		"with another key in it":    {"GET", "/?key=x", header("Cookie", ""), http.StatusForbidden},
		"events without a key":      {"GET", "/events", header("Cookie", ""), http.StatusForbidden},
		"a form without a key":      {"POST", "/notes", header("Cookie", ""), http.StatusForbidden},
		"a form with a key in it":   {"POST", "/notes?key=" + s.key, header("Cookie", ""), http.StatusForbidden},
		"a name given to us":        {"GET", "/", func(r *http.Request) { r.Host = "evil.example:8321" }, http.StatusMisdirectedRequest},
		"a name and the key":        {"GET", "/?key=" + s.key, func(r *http.Request) { r.Host = "evil.example" }, http.StatusMisdirectedRequest},
		"another port of ours":      {"GET", "/", func(r *http.Request) { r.Host = "127.0.0.1:1" }, http.StatusMisdirectedRequest},
		"no name":                   {"GET", "/", func(r *http.Request) { r.Host = "" }, http.StatusMisdirectedRequest},
		"another page's form":       {"POST", "/notes", header("Origin", "https://evil.example"), http.StatusForbidden},
		"another page's form, too":  {"POST", "/notes", header("Sec-Fetch-Site", "cross-site"), http.StatusForbidden},
		"that of another port":      {"POST", "/notes", header("Origin", "http://127.0.0.1:1"), http.StatusForbidden},
		"that of a page in a frame": {"POST", "/notes", header("Origin", "null"), http.StatusForbidden},
		"a file":                    {"GET", "/page/page.html", nil, http.StatusNotFound},
		"a change by a link":        {"GET", "/notes", nil, http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			answer := s.ask(test.method, test.path, note, test.change)
			if answer.Code != test.want {
				t.Errorf("answered %d, want %d", answer.Code, test.want)
			}
			for name, value := range headers {
				if got := answer.Header().Get(name); got != value {
					t.Errorf("header %s is %q", name, got)
				}
			}
		})
	}
	all, err := notes(t.Context(), s.db)
	must(t, err)
	if len(all) != 1 {
		t.Errorf("%d notes were written, want that of the page's own form", len(all))
	}
}

// The key is taken once, and does not stay in the address.
func TestEntering(t *testing.T) {
	s := alone(t)
	address, err := url.Parse(s.address())
	must(t, err)
	if !strings.HasPrefix(s.address(), "http://127.0.0.1:") {
		t.Errorf("the address is %s", s.address())
	}
	answer := s.ask("GET", address.RequestURI(), nil, func(r *http.Request) { r.Header.Del("Cookie") })
	if answer.Code != http.StatusSeeOther || answer.Header().Get("Location") != "/" {
		t.Errorf("answered %d, to %q", answer.Code, answer.Header().Get("Location"))
	}
	cookie, err := http.ParseSetCookie(answer.Header().Get("Set-Cookie"))
	must(t, err)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Value != s.key || cookie.Domain != "" {
		t.Errorf("the cookie is %v", cookie)
	}
	if other := alone(t); other.key == s.key || other.cookie == s.cookie {
		t.Error("two pages have one key or one cookie")
	}
}

// What can't be meant is refused, and the rest does what it says.
func TestForms(t *testing.T) {
	s := alone(t)
	today := time.Now().Format(dayFormat)
	for name, test := range map[string]struct {
		path string
		form url.Values
	}{
		"a habit without a name": {"/habits", url.Values{"name": {"  "}}},
		"a note without words":   {"/notes", url.Values{}},
		"too long a note":        {"/notes", url.Values{"text": {strings.Repeat("x", 10_001)}}},
		"more than a form":       {"/notes", url.Values{"text": {strings.Repeat("x", maxBody)}}},
		"a day that is none":     {"/ticks", url.Values{"habit": {"h"}, "mark": {"done 2026-13-01"}}},
		"numbers of no day":      {"/numbers", url.Values{"day": {"tomorrow"}, "mood": {"3"}}},
		"no number":              {"/numbers", url.Values{"day": {today}, "mood": {"good"}}},
		"NaN":                    {"/numbers", url.Values{"day": {today}, "mood": {"NaN"}}},
		"too large a number":     {"/numbers", url.Values{"day": {today}, "sleep": {"25"}}},
		"no conflict":            {"/conflicts", url.Values{"id": {"x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if answer := s.ask("POST", test.path, test.form, nil); answer.Code != http.StatusBadRequest {
				t.Errorf("answered %d: %s", answer.Code, answer.Body)
			}
		})
	}

	post := func(path string, form url.Values) {
		t.Helper()
		if answer := s.ask("POST", path, form, nil); answer.Code != http.StatusSeeOther {
			t.Fatalf("%s answered %d: %s", path, answer.Code, answer.Body)
		}
	}
	count := func(query string, want int) {
		t.Helper()
		var got int
		must(t, s.db.QueryRow(query).Scan(&got))
		if got != want {
			t.Errorf("%s is %d, want %d", query, got, want)
		}
	}
	post("/habits", url.Values{"name": {" Read "}})
	var id string
	must(t, s.db.QueryRow("SELECT id FROM habit WHERE name = 'Read'").Scan(&id))
	for range 2 { // a form that is sent twice
		post("/ticks", url.Values{"habit": {id}, "mark": {"done " + today}})
	}
	count("SELECT count(*) FROM tick", 1)
	post("/ticks", url.Values{"habit": {id}, "mark": {"undone " + today}})
	count("SELECT count(*) FROM tick", 0)
	post("/ticks", url.Values{"habit": {id}, "mark": {"done " + today}})

	post("/numbers", url.Values{"day": {today}, "sleep": {"7.5"}, "mood": {"4"}})
	// Meanwhile another device writes how the mood is; the form says what it was.
	must(t, setNumber(t.Context(), s.db, today, "mood", 2))
	post("/numbers", url.Values{"day": {today}, "sleep": {"8"}, "was-sleep": {"7.5"}, "mood": {"4"}, "was-mood": {"4"}})
	count("SELECT value FROM number WHERE kind = 'mood'", 2)
	count("SELECT value FROM number WHERE kind = 'sleep'", 8)
	post("/numbers", url.Values{"day": {today}, "sleep": {""}, "was-sleep": {"8"}, "mood": {"2"}, "was-mood": {"2"}})
	count("SELECT count(*) FROM number", 1)

	post("/notes", url.Values{"text": {"one"}})
	all, err := notes(t.Context(), s.db)
	must(t, err)
	post("/notes/remove", url.Values{"id": {all[0].ID}})
	count("SELECT count(*) FROM note", 0)
	post("/habits/remove", url.Values{"id": {id}})
	count("SELECT count(*) FROM habit", 0)
	count("SELECT count(*) FROM tick", 0)
}

// An invite stands on the page until somebody has used it or it is put away.
func TestInvite(t *testing.T) {
	s := alone(t)
	page := func() string { return s.ask("GET", "/", nil, nil).Body.String() }
	if answer := s.ask("POST", "/invites", nil, nil); answer.Code != http.StatusSeeOther {
		t.Fatalf("answered %d", answer.Code)
	}
	code := s.invite.Load().Code
	if !strings.Contains(page(), code) {
		t.Error("the page does not show the code")
	}
	s.ask("POST", "/invites/forget", nil, nil)
	if strings.Contains(page(), code) {
		t.Error("the page still shows the code that was put away")
	}
	s.ask("POST", "/invites", nil, nil)
	code = s.invite.Load().Code
	dir := t.TempDir()
	where := place{filepath.Join(dir, "phone.db"), s.folder, filepath.Join(dir, "keys"), "phone", ""}
	if _, err := openDevice(t.Context(), where); err == nil {
		t.Error("a device came in without a code")
	}
	where.code = code
	phone, err := openDevice(t.Context(), where)
	must(t, err)
	must(t, phone.close())
	must(t, s.sync.Sync(t.Context()))
	if text := page(); strings.Contains(text, code) || !strings.Contains(text, "phone") {
		t.Error("the page still shows the code that was used, or not the device that used it")
	}
}

// What two devices write at once is shown, and can be taken back.
func TestConflict(t *testing.T) {
	ctx := t.Context()
	dir, folder := t.TempDir(), t.TempDir()
	open := func(name, code string) *server {
		d, err := openDevice(ctx, place{filepath.Join(dir, name+".db"), folder, filepath.Join(dir, name), name, code})
		must(t, err)
		t.Cleanup(func() { must(t, d.close()) })
		s, err := listen(d, 0)
		must(t, err)
		must(t, s.listener.Close())
		return s
	}
	laptop := open("laptop", "")
	invite, err := laptop.sync.Invite(ctx, nil)
	must(t, err)
	phone := open("phone", invite.Code)
	both := []*server{laptop, phone, laptop}
	settle := func() {
		t.Helper()
		for _, s := range both {
			must(t, s.sync.Sync(ctx))
		}
	}
	settle()
	today := time.Now().Format(dayFormat)
	for _, s := range both {
		s.sync.Pause()
	}
	must(t, setNumber(ctx, laptop.db, today, "mood", 2))
	must(t, setNumber(ctx, phone.db, today, "mood", 5))
	for _, s := range both {
		s.sync.Resume()
	}
	settle()
	var kept sqlitesync.Conflict
	for conflict, err := range laptop.sync.Conflicts(ctx) {
		must(t, err)
		kept = conflict
	}
	page := laptop.ask("GET", "/", nil, nil).Body.String()
	for _, words := range []string{"Of mood on " + today, "laptop wrote “2”, which", "phone wrote “5”, which"} {
		if !strings.Contains(page, words) {
			t.Errorf("the page does not say %s:\n%s", words, page)
		}
	}
	answer := laptop.ask("POST", "/conflicts", url.Values{"id": {fmt.Sprint(kept.ID)}, "keep": {"loser"}}, nil)
	if answer.Code != http.StatusSeeOther {
		t.Fatalf("answered %d: %s", answer.Code, answer.Body)
	}
	settle()
	var mood float64
	must(t, phone.db.QueryRow("SELECT value FROM number WHERE kind = 'mood'").Scan(&mood))
	if mood != kept.Loser.Values["value"] {
		t.Errorf("what was taken back, %v, is %v on the phone", kept.Loser.Values["value"], mood)
	}
	if strings.Contains(laptop.ask("GET", "/", nil, nil).Body.String(), "which is kept") {
		t.Error("the page still shows the conflict")
	}
}

// One's own dashboard: the program prints an address, which works until it is
// stopped, and a second device needs a code.
func TestOwn(t *testing.T) {
	folder := t.TempDir()
	args := func(more ...string) []string {
		dir := t.TempDir()
		return append([]string{"-quiet", "-port", "0", "-folder", folder, "-db", filepath.Join(dir, "new", "life.db"), "-keys", filepath.Join(dir, "keys")}, more...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, write, args("-name", "laptop")) }()
	var address string
	for lines := bufio.NewScanner(read); address == "" && lines.Scan(); {
		if text := strings.TrimSpace(lines.Text()); strings.HasPrefix(text, "http://127.0.0.1:") {
			address = text
		}
	}
	go io.Copy(io.Discard, read)
	jar, err := cookiejar.New(nil)
	must(t, err)
	answer, err := (&http.Client{Jar: jar}).Get(address)
	must(t, err)
	page, err := io.ReadAll(answer.Body)
	must(t, errors.Join(err, answer.Body.Close()))
	if answer.StatusCode != http.StatusOK || !strings.Contains(string(page), "laptop") {
		t.Errorf("%s answers %s: %s", address, answer.Status, page)
	}
	if err := run(ctx, io.Discard, args()); err == nil || !strings.Contains(err.Error(), "-join CODE") {
		t.Errorf("a second device without a code: %v", err)
	}
	cancel()
	must(t, <-ended)
	if _, err := http.Get(address); err == nil {
		t.Error("the page is still there")
	}
}

func TestPlayOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	must(t, run(t.Context(), &out, []string{"-once"}))
	if !strings.Contains(out.String(), "The phone's page shows it") {
		t.Errorf("it says %q", out.String())
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind (%v)", left, err)
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"extra"}, {"-once=maybe"}, {"-port", "x"}} {
		if err := run(t.Context(), io.Discard, args); err == nil {
			t.Errorf("%v is no error", args)
		}
	}
}
