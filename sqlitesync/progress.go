package sqlitesync

import "time"

// Progress says how far long work has come: a device that enters reads all
// logs, one that was away reads what it has missed.
type Progress struct {
	Phase Phase
	// Files counts the segments of other devices that were merged since the work
	// began, Of all that there were to merge. Both are 0 in other phases.
	Files, Of int
	// Bytes are those of the segments, Rows the changes in them; or, in
	// PhasePublishing, the rows that were made ready, in PhaseVerifying, those compared.
	Bytes int64
	Rows  int
	// Left is an estimate of how long it takes from here. Zero: not known yet.
	Left time.Duration
}

// Phase names a kind of long work.
type Phase string

// The phases.
const (
	PhaseNone       Phase = ""           // there is none
	PhaseMerging    Phase = "merging"    // what other devices have written
	PhasePublishing Phase = "publishing" // the rows that stood in the database before
	PhaseVerifying  Phase = "verifying"  // what Verify compares
)

// progressInterval bounds how often progress is told.
const progressInterval = time.Second

// work measures the progress of a pass.
type work struct {
	Progress
	began, told time.Time // by the steady clock
}

// beginWork begins a phase. It is told of once it takes long.
func (s *Syncer) beginWork(phase Phase, of int) {
	now := s.environment.Beat()
	s.work = work{Progress: Progress{Phase: phase, Of: of}, began: now, told: now}
}

// worked counts what was done.
func (s *Syncer) worked(bytes int64, rows int) {
	s.work.Bytes, s.work.Rows = s.work.Bytes+bytes, s.work.Rows+rows
}

// tell tells of progress, if it has been a while. left counts the segments that
// there are still to merge.
func (s *Syncer) tell(left func() int) {
	w := &s.work
	now := s.environment.Beat()
	if now.Sub(w.told) < progressInterval {
		return
	}
	w.told = now
	if w.Files = max(0, w.Of-left()); w.Files > 0 {
		w.Left = now.Sub(w.began) / time.Duration(w.Files) * time.Duration(w.Of-w.Files)
	}
	progress := w.Progress
	s.state.update(func(st *Status) { st.Progress = progress })
	s.events.send(Event{Kind: EventProgress, Progress: progress})
}

// endWork ends the phase.
func (s *Syncer) endWork() {
	s.work = work{}
	s.state.update(func(st *Status) { st.Progress = Progress{} })
}
