package main

// mutation is a bug: in a file, the only place that is right is replaced by what
// is wrong. The tests are run in their order until one notices.
type mutation struct {
	bug, file    string
	right, wrong string
	tests        []room
}

// room is tests in a directory, those that match run.
type room struct{ in, run string }

var (
	changelog = room{"changelog", "."}
	merge     = room{"changelog/merge", "."}
	secrets   = room{"crypto", "."}
	folder    = room{"sqlitesync/internal/folder", "."}
	verify    = room{"sqlitesync", "^(TestVerify|TestScrub|TestDevicesThatKnow)"}
)

// engine is those tests of the engine that match.
func engine(run string) room { return room{"sqlitesync", run} }

var mutations = []mutation{
	// The folder.
	{"a segment is renamed before it is durable", "sqlitesync/internal/folder/publish.go",
		"if err = opened.Sync(); cannotSync(err) {", "if cannotSync(err) {", []room{folder}},
	{"the directory of a new file is not made durable", "sqlitesync/internal/folder/publish.go",
		"	if err := opened.Sync(); err != nil && !cannotSync(err) {\n		return err\n	}\n", "", []room{folder}},
	{"a file that stands under the name is taken for what is published", "sqlitesync/internal/folder/publish.go",
		"errors.Is(err, ErrTooLarge) || err == nil && !bytes.Equal(standing, data)", "errors.Is(err, ErrTooLarge) || err == nil && !bytes.Equal(standing, data) && standing == nil", []room{folder}},
	{"a copy that a sync client has renamed is not looked for", "sqlitesync/logfile.go",
		"	if !r.strays {\n", "	if r.strays || !r.strays {\n", []room{engine("Conflict|Stray|Hazard|Copies")}},
	{"a segment that vanished is not made again", "sqlitesync/refill.go",
		"made >= maxRefills:", "made == maxRefills || made == 0:", []room{engine("Vanish|Refill|MadeAgain|Lost")}},
	{"a device removes what is another's", "sqlitesync/internal/folder/guard.go",
		"	if !g.owns(name) && !isInvite(", "	if name == \"\" && !isInvite(", []room{folder}},
	{"records are not read under the names of conflict copies", "sqlitesync/records.go",
		"readRecord(f, name, strays[name])", "readRecord(f, name, nil)", []room{engine("^TestEveryPattern")}},
	{"heads do not say that a machine was restored", "sqlitesync/ahead.go",
		"	if s.lookedAhead || s.reads() {\n", "	if s.lookedAhead || s.reads() || !s.lookedAhead {\n", []room{engine("Restored")}},
	{"a renamed file of a copy is merged before it is looked at", "sqlitesync/confirm.go",
		"	if same || len(listing.Foreign) == 0 ||", "	if same || len(listing.Foreign) >= 0 ||", []room{engine("Twin")}},
	{"a log that others have overruled stands for ever", "sqlitesync/compact.go", "	slack = 50\n", "	slack = 2000\n", []room{engine("^TestAYear")}},
	{"a log that could not be read for a moment is left alone", "sqlitesync/compact.go",
		"	unread := !s.unread.IsZero() &&", "	unread := s.unread.IsZero() &&", []room{engine("^TestALog")}},

	// Capture.
	{"a merge is captured as an edit", "sqlitesync/policy.go",
		"canonical == \"sqlitesync_log\" || p.synced[canonical]", "p.synced[canonical]", []room{engine("^TestAMergeIsNotCaptured")}},
	{"the old key of a row that takes another is not noted", "changelog/triggers.go",
		"	add(\"rekey\", \"AFTER UPDATE\", \" WHEN \"+rekeyed(table), note(\"OLD\", -table.Number))\n", "	_ = rekeyed\n", []room{changelog}},
	{"a deleted row is not noted", "changelog/triggers.go",
		"	add(\"delete\", \"AFTER DELETE\", \"\", note(\"OLD\", -table.Number))\n", "", []room{changelog}},
	{"rows that REPLACE removes are not noted", "changelog/triggers.go",
		"		add(fmt.Sprintf(\"replace_insert_%d\", i), \"BEFORE INSERT\", \"\", body)\n", "", []room{changelog, engine("^TestOracle$")}},
	{"the + 1 over the known time is forgotten", "changelog/pending.go",
		"	return known + 1\n", "	return known\n", []room{changelog, merge}},
	{"an edit that changes nothing travels", "changelog/changed.go",
		"	return columns, true, nil\n}\n\n// FormerName", "	return columns, false, nil\n}\n\n// FormerName", []room{changelog}},
	{"keys are compared without their collation", "changelog/column.go",
		"|| t.Key[i].Collation == \"BINARY\" {", "|| t.Key[i].Collation != \"\" {", []room{changelog}},

	// Stamps and winners.
	{"equal stamps are not decided by content", "changelog/change.go",
		"	return bytes.Compare(ci[:], di[:])\n", "	return min(0, bytes.Compare(ci[:], di[:]))\n", []room{merge}},
	{"equal times are not decided by device", "changelog/stamp.go",
		"	if c := bytes.Compare(s.Device[:], t.Device[:]); c != 0 {\n		return c\n	}\n", "	_ = bytes.Compare\n", []room{merge, changelog}},
	{"a delete ends no column", "changelog/merge/combine.go",
		"			deleted, needed = true, true\n", "			needed = true\n", []room{merge}},
	{"a partial put brings a row back", "changelog/merge/combine.go",
		"if c.Shape.Kind != changelog.Partial && !existence {", "if !existence {", []room{merge}},
	{"the newest delete is forgotten beside a put", "changelog/merge/combine.go",
		"			deleted, needed = true, true\n", "			deleted = true\n", []room{merge}},

	// What tables show.
	{"rows are written with REPLACE", "changelog/merge/put.go",
		"INSERT OR ABORT INTO %s AS sqlitesync_row", "INSERT OR REPLACE INTO %s AS sqlitesync_row", []room{merge}},
	{"of two rows with one unique value the older shows", "changelog/merge/unique.go",
		"		return c > 0\n	}\n	return table.Identity(rival.Key) > table.Identity(change.Key)", "		return c < 0\n	}\n	return table.Identity(rival.Key) > table.Identity(change.Key)", []room{merge}},
	{"a row that the schema refuses is dropped", "changelog/merge/write.go",
		"	for i := range refused {\n", "	for i := range refused[:0] {\n", []room{merge}},
	{"a change of a table that is not there is dropped", "changelog/merge/apply.go",
		"		if err := m.keepHomeless(ctx, &changes[i], reason); err != nil {\n			return err\n		}\n", "", []room{merge}},
	{"what a merge frees is not looked at", "changelog/merge/apply.go",
		"	if err := m.settle(ctx); err != nil {\n		return m.result, err\n	}\n	if err := m.putAgain", "	if err := m.putAgain", []room{merge}},
	{"a conflict is not recorded", "changelog/merge/apply.go",
		"	return m.recordConflict(ctx, change, loser)\n", "	return nil\n", []room{merge}},

	// The way out and in.
	{"local edits are folded after a merge", "sqlitesync/pull.go",
		"	err := s.transact(ctx, func() error {\n		if err := s.fold(ctx); err != nil {\n			return err\n		}\n		if err := fn(); err != nil {", "	err := s.transact(ctx, func() error {\n		if err := fn(); err != nil {", []room{engine("^TestStress$|^TestEdit|Merge|Race|^TestFold")}},
	{"a batch goes out before the database can't forget it", "sqlitesync/export.go",
		"		if err := s.announceSegments(ctx, segments); err != nil {\n			return err\n		}\n", "", []room{engine("Restor|Succe|Backup|Cut")}},
	{"a batch goes out though the commit that announces it has failed", "sqlitesync/export.go",
		"	if err != nil {\n		return err\n	}\n	file, err := crypto.ParseSegment(newest.sealed)\n", "	file, err := crypto.ParseSegment(newest.sealed)\n", []room{engine("AtAnyCommit")}},
	{"temporary files of a process that was killed stay", "sqlitesync/export.go",
		"	if !s.tidied {\n", "	if s.tidied {\n", []room{engine("^(TestNothingIsLostWhen|TestAProcessTakesOver)")}},
	{"a log is read past a gap", "sqlitesync/reading.go",
		"		if name.First > position+1 {\n			break // as do all that follow\n		}\n", "", []room{engine("Gap|Missing|Order|Hazard")}},
	{"a segment need not continue the chain", "sqlitesync/logfile.go",
		"!holds(header, batch) || header.First == batch && header.Prev != tail", "!holds(header, batch)", []room{engine("Fork|Twin|Chain|Adversary|Hostile|BadWill|Threat|Rewrit")}},
	{"a batch does not wait for what its author had seen", "sqlitesync/waits.go",
		"return member && s.seen[changelog.DeviceID(device)] < batch", "return member && s.seen[changelog.DeviceID(device)] < batch && batch == 0", []room{engine("Causal|Wait|Before|Schedule")}},
	{"a compaction drops what newer changes do not contain", "changelog/merge/needed.go",
		"return change.Shape.Kind != changelog.Delete && shape.Kind == changelog.Full && within(change.Shape, shape), nil",
		"return change.Shape.Kind != changelog.Delete && shape.Kind == changelog.Full, nil", []room{merge, engine("Compact|LogsAtRandom")}},
	{"what a range replaces is removed at once", "sqlitesync/compact.go", "	graceTime = time.Hour\n", "	graceTime = 0 * time.Hour\n", []room{engine("Compact|Range|Late|Sitting")}},

	// Keys.
	{"signatures are not looked at", "crypto/envelope.go", "len(key) != ed25519.PublicKeySize || !ed25519", "len(key) != ed25519.PublicKeySize && !ed25519", []room{secrets}},
	{"what a revoked device writes is taken", "crypto/log.go",
		"	return l.Cut && !l.Writes && header.First > l.Last && header.Last <= vouched && header.Generation == 0\n", "	return true\n", []room{secrets, engine("Revoke")}},
	{"after a revocation the old epoch is used on", "sqlitesync/reseal.go",
		"		if file.Header().Epoch != epoch.ID() {", "		if file.Header().Epoch != epoch.ID() && own.rows < 0 {", []room{engine("Revoke|Epoch|Reseal")}},
	{"a code with a wrong letter is tried", "crypto/code.go",
		"		if codeCheck(k, group) != group[codeGroupSize-1] {", "		if codeCheck(k, group) != group[codeGroupSize-1] && k > codeGroups {", []room{secrets}},
	{"heads may be older than before", "sqlitesync/head.go",
		"header.Counter <= newest.counter && said <= newest.time {", "header.Counter <= newest.counter && said <= newest.time && said < 0 {", []room{engine("Head|Threat|Hazard|Adversary")}},

	// Digests and checks.
	{"a digest does not grow with what is merged", "changelog/digest.go",
		"	if out == in {\n", "	if out != in || out == in {\n", []room{merge}},
	{"digests are not compared", "sqlitesync/divergence.go", "digests[rows] != theirs {", "digests[rows] != theirs && theirs == \"\" {", []room{verify}},
	{"rows that were changed behind the triggers are not found", "changelog/scrub.go", "	return Altered, nil\n", "	return \"\", nil\n", []room{verify}},
	{"a hole in the own chain is not noticed", "sqlitesync/fold.go",
		"	if position != batch || newest != nil", "	if batch == 0 && newest != nil", []room{engine("^TestABroken")}},
}
