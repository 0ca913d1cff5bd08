package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

//go:embed page
var pageFiles embed.FS

var pageTemplate = template.Must(template.ParseFS(pageFiles, "page/page.html"))

// server shows one device's dashboard on this machine.
type server struct {
	*guard
	*device
	listener net.Listener
	invite   atomic.Pointer[sqlitesync.Invite] // made on the page, and shown until it is used
}

// listen takes the port, 0 for any, on the loopback interface alone.
func listen(d *device, port int) (*server, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	return &server{guard: newGuard(listener.Addr().(*net.TCPAddr).Port), device: d, listener: listener}, nil
}

// serve answers until ctx is done.
func (s *server) serve(ctx context.Context) error {
	web := &http.Server{
		Handler:           s.protect(s.routes()),
		ReadHeaderTimeout: 10 * time.Second,
		// Ends the streams of events too, for which Shutdown would wait.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if web.Shutdown(wait) != nil {
			_ = web.Close()
		}
	})
	err := web.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-ended // until the last answer is out
		return nil
	}
	stop()
	return err
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.show)
	mux.HandleFunc("GET /events", s.stream)
	for _, name := range []string{"style.css", "page.js"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, pageFiles, "page/"+name)
		})
	}
	for path, change := range map[string]func(*http.Request) error{
		"POST /habits":         s.postHabit,
		"POST /habits/remove":  s.removeHabit,
		"POST /ticks":          s.postTick,
		"POST /numbers":        s.postNumbers,
		"POST /notes":          s.postNote,
		"POST /notes/remove":   s.removeNote,
		"POST /conflicts":      s.postConflict,
		"POST /invites":        s.postInvite,
		"POST /invites/forget": s.forgetInvite,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if err := change(r); err != nil {
				fail(w, err)
				return
			}
			http.Redirect(w, r, "/", http.StatusSeeOther)
		})
	}
	return mux
}

// errInput is what a form can't mean.
var errInput = errors.New("that can't be noted")

func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, errInput) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	log.Print(err)
	http.Error(w, "That went wrong; the program's log says why.", http.StatusInternalServerError)
}

func (s *server) show(w http.ResponseWriter, r *http.Request) {
	view, err := s.look(r.Context(), time.Now())
	if err != nil {
		fail(w, err)
		return
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, view); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w) // a browser that has gone needs no page
}

// stream tells the page whenever it should look again. What happened before it
// was called is not told: the page looks once when the stream opens.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	events := s.sync.Events(r.Context())
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(text string) bool {
		_, err := fmt.Fprint(w, text, "\n\n")
		return err == nil && http.NewResponseController(w).Flush() == nil
	}
	if !send(": from here on") {
		return
	}
	for event := range events {
		text := "event: state\ndata:" // nothing but how sync stands
		if event.Kind == sqlitesync.EventApplied || event.Missed > 0 {
			text = "event: rows\ndata:"
		}
		if !send(text) {
			return
		}
	}
}

// text returns a field of a form that may not be empty.
func text(r *http.Request, name string) (string, error) {
	value := strings.TrimSpace(r.PostFormValue(name))
	if value == "" || len(value) > 10_000 {
		return "", fmt.Errorf("%w: %s is empty or too long", errInput, name)
	}
	return value, nil
}

func (s *server) postHabit(r *http.Request) error {
	name, err := text(r, "name")
	if err != nil {
		return err
	}
	_, err = addHabit(r.Context(), s.db, name, time.Now())
	return err
}

func (s *server) removeHabit(r *http.Request) error {
	_, err := s.db.ExecContext(r.Context(), "DELETE FROM habit WHERE id = ?", r.PostFormValue("id"))
	return err
}

// postTick says that a habit was done on a day, or was not: "done 2026-11-21".
func (s *server) postTick(r *http.Request) error {
	what, day, _ := strings.Cut(r.PostFormValue("mark"), " ")
	if _, err := time.Parse(dayFormat, day); err != nil {
		return fmt.Errorf("%w: no such day", errInput)
	}
	return setTick(r.Context(), s.db, r.PostFormValue("habit"), day, what == "done")
}

// postNumbers writes those numbers that the person has changed. The others stay
// as they are by now: another device may have written them since.
func (s *server) postNumbers(r *http.Request) error {
	day := r.PostFormValue("day")
	if _, err := time.Parse(dayFormat, day); err != nil {
		return fmt.Errorf("%w: no such day", errInput)
	}
	for _, kind := range kinds {
		is := strings.TrimSpace(r.PostFormValue(kind.ID))
		if is == r.PostFormValue("was-"+kind.ID) {
			continue
		}
		if is == "" {
			if err := clearNumber(r.Context(), s.db, day, kind.ID); err != nil {
				return err
			}
			continue
		}
		value, err := strconv.ParseFloat(is, 64)
		if err != nil || math.IsNaN(value) || value < kind.Min || value > kind.Max {
			return fmt.Errorf("%w: %s is from %v to %v", errInput, kind.Name, kind.Min, kind.Max)
		}
		if err := setNumber(r.Context(), s.db, day, kind.ID, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) postNote(r *http.Request) error {
	words, err := text(r, "text")
	if err != nil {
		return err
	}
	return addNote(r.Context(), s.db, words, time.Now())
}

func (s *server) removeNote(r *http.Request) error {
	_, err := s.db.ExecContext(r.Context(), "DELETE FROM note WHERE id = ?", r.PostFormValue("id"))
	return err
}

// postConflict takes back what was overruled, or lets it be.
func (s *server) postConflict(r *http.Request) error {
	id, err := strconv.ParseInt(r.PostFormValue("id"), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no such conflict", errInput)
	}
	keep := sqlitesync.Resolution(sqlitesync.KeepWinner)
	if r.PostFormValue("keep") == "loser" {
		keep = sqlitesync.TakeLoser
	}
	return s.sync.Resolve(r.Context(), sqlitesync.ConflictID(id), keep)
}

func (s *server) postInvite(r *http.Request) error {
	invite, err := s.sync.Invite(r.Context(), nil)
	if err == nil {
		s.invite.Store(&invite)
	}
	return err
}

func (s *server) forgetInvite(*http.Request) error {
	s.invite.Store(nil)
	return nil
}
