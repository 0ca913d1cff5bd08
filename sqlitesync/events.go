package sqlitesync

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// EventKind says what an [Event] is about.
type EventKind int

// The kinds of events.
const (
	// EventPublished: changes of this device stand in the folder.
	EventPublished EventKind = iota + 1
	// EventApplied: tables show something else than before, because changes of
	// another device were merged or held rows can show; Tables says which.
	EventApplied
	// EventConflict: changes met whose authors had not seen each other; see
	// [Syncer.Conflicts].
	EventConflict
	// EventProblem: something does not work; Err says what. It also stands in
	// [Status].Problems until a later pass succeeds.
	EventProblem
	// EventSolved: no problem is left.
	EventSolved
	// EventMember: a device was admitted to the space, or is no member of it any
	// more; see [Syncer.Devices].
	EventMember
	// EventSucceeded: this database was found to be a copy, or restored from a
	// backup, and goes on as a new device, Device. Nothing is lost by that.
	EventSucceeded
	// EventProgress: long work has come further, see Progress. It comes once a
	// second at most.
	EventProgress
	// EventRefused: there is a membership record without effect, say of a device
	// that came with a code that was used; see [Status].Refused. Device is the one
	// that the record names. It is sent again after Open.
	EventRefused
	// EventUndone: the app wrote on a device that only reads, and the tables show
	// again what the space has. What was written stands in the view
	// sqlitesync_undone.
	EventUndone
	// EventDiverged: Device knows something else of Tables than this device, although
	// both have read the same; see [Status].Diverged.
	EventDiverged
	// EventAltered: Rows rows of Tables are not as they were last written or merged;
	// see [Status].Altered.
	EventAltered
)

var eventNames = []string{"", "published", "applied", "conflict", "problem", "solved", "member", "succeeded", "progress", "refused", "undone", "diverged", "altered"}

func (k EventKind) String() string {
	if k <= 0 || int(k) >= len(eventNames) {
		return fmt.Sprintf("EventKind(%d)", int(k))
	}
	return eventNames[k]
}

// Event tells an app what happened. It contains no values of rows.
type Event struct {
	Kind   EventKind
	Time   time.Time
	Tables []string // EventApplied, EventUndone: the tables that changed, EventDiverged, EventAltered: those that are not right, sorted
	Rows   int      // EventPublished, EventApplied, EventUndone: how many changes, EventAltered: how many rows
	Count  int      // EventConflict: how many
	// Collisions says, of an EventConflict, how many of Count are two rows that
	// were given one key; see [Conflict].Hint.
	Collisions int
	Device     DeviceID // EventApplied, EventConflict, EventMember, EventSucceeded, EventRefused, EventDiverged: whose
	Found      string   // EventSucceeded: what says so, for people
	Err        error    // EventProblem
	Progress   Progress // EventProgress
	// Missed is how many events this reader lost before this one because it
	// was slow. A reader that sees a number above 0 reads everything again.
	Missed int
}

func (e Event) String() string {
	var b strings.Builder
	b.WriteString(e.Kind.String())
	if e.Rows > 0 {
		fmt.Fprintf(&b, " %d changes", e.Rows)
	}
	if e.Count > 0 {
		fmt.Fprintf(&b, " %d", e.Count)
	}
	if e.Device != (DeviceID{}) {
		b.WriteString(" device " + e.Device.Short())
	}
	if len(e.Tables) > 0 {
		b.WriteString(" " + strings.Join(e.Tables, ", "))
	}
	if e.Found != "" {
		b.WriteString(": " + e.Found)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Events yields what happens after it was called, and before it if that was
// [EventSucceeded] and nobody listened, until ctx is done or the Syncer is closed; iterate over it once. Sync never waits for a reader: one that is slow
// loses events and is told how many in Event.Missed. Several readers may run at once.
func (s *Syncer) Events(ctx context.Context) iter.Seq[Event] {
	reader := s.events.subscribe()
	context.AfterFunc(ctx, func() { s.events.unsubscribe(reader) })
	return func(yield func(Event) bool) {
		defer s.events.unsubscribe(reader)
		for {
			event, ok := reader.take()
			if ok {
				if !yield(event) {
					return
				}
				continue
			}
			select {
			case <-reader.wake:
			case <-s.life.Done():
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// maxQueued is how many events a slow reader may be behind.
const maxQueued = 256

// hub hands each event to every reader.
type hub struct {
	mu      sync.Mutex
	readers []*eventReader
	kept    []Event // for the next reader
}

type eventReader struct {
	mu     sync.Mutex
	queue  []Event
	missed int
	wake   chan struct{}
}

func (h *hub) subscribe() *eventReader {
	reader := &eventReader{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers = append(h.readers, reader)
	reader.queue, h.kept = h.kept, nil
	return reader
}

func (h *hub) unsubscribe(reader *eventReader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers = slices.DeleteFunc(h.readers, func(r *eventReader) bool { return r == reader })
}

func (h *hub) send(event Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hand(event)
}

// sendOrKeep is send for what must not go unheard: Open can find it, and nobody can
// listen before Open returns. If there is no reader, the next one gets it.
func (h *hub) sendOrKeep(event Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.readers) > 0 {
		h.hand(event)
		return
	}
	event.Time = time.Now()
	h.kept = append(h.kept, event)
}

// hand is send for who has locked the hub.
func (h *hub) hand(event Event) {
	event.Time = time.Now()
	for _, reader := range h.readers {
		reader.put(event)
	}
}

func (r *eventReader) put(event Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == maxQueued {
		r.queue = r.queue[1:]
		r.missed++
	}
	r.queue = append(r.queue, event)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *eventReader) take() (Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return Event{}, false
	}
	event := r.queue[0]
	r.queue = r.queue[1:]
	event.Missed, r.missed = r.missed, 0
	return event, true
}
