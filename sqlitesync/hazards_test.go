package sqlitesync_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// limit stands in hazards for a line in LIMITS.md that bears the number.
const limit = "limit"

// hazards says of every trap of SQLite that we know which tests show that it is
// none here, or that it is a limit which people are told of; some are both.
var hazards = []struct {
	number int
	fact   string
	shown  []string // names of tests, and limit
}{
	{1, "a REPLACE removes rows without firing delete triggers", []string{"TestCapture", "TestRowsThatReplaceRemovesGoEverywhere", "TestCaptureRefusesNoWrite", "TestAReplaceOfARowidIsNotNoticed", limit}},
	{2, "the app's conflict clause overrides that of a trigger's step", []string{"TestCapture", "TestGoldenCapture"}},
	{3, "a REPLACE or DROP TABLE of a parent takes its children along", []string{"TestActionsOfReferencesTravel", "TestADroppedParentTakesItsChildrenAlongIfForeignKeysAreOn", limit}},
	{4, "BEFORE INSERT sees -1 for an id that SQLite will choose", []string{"TestCapture", "TestGoldenCapture"}},
	{5, "the order of triggers is unspecified", []string{"TestCapture", "TestTriggersOfTheAppEchoNothing"}},
	{6, "one statement has one time, whatever it writes", []string{"TestStatementsOfManyRows", "TestALongLogIsFoldedInStepsAndAppliedAsOne"}},
	{7, "unixepoch('subsec') is NULL before 3.42", []string{"TestGoldenCapture", "TestJulianDays", "TestEveryKindOfWriteOfAnOlderSQLiteIsCaptured"}},
	{8, "triggers can use neither temporary tables nor functions of one program", []string{"TestGoldenCapture", "TestTemporaryObjects", "TestWritesOfOtherProgramsAreNoticed"}},
	{9, "IS NOT finds 'a' and 'A', 1 and 1.0 equal", []string{"TestEditsThatCompareEqualTravel"}},
	{10, "JSON and quote() change values", []string{"TestStoredValuesAreTheSameEverywhere", "TestWideTablesAndOddNames"}},
	{11, "the driver makes time.Time of text in date columns", []string{"TestStoredValuesAreTheSameEverywhere", "TestKeysOfEveryClassNameTheSameRowEverywhere"}},
	{12, "the driver makes NULL of an empty blob", []string{"TestStoredValuesAreTheSameEverywhere", "TestValues"}},
	{13, "-0.0, NaN, large integers in REAL; UTF-16 changes invalid text", []string{"TestStoredValuesAreTheSameEverywhere", "TestHandlesThatCannotBeUsedAreRefused", limit}},
	{14, "a PRIMARY KEY may hold NULL, more than once", []string{"TestCapture", "TestBaseline", "TestWhatStaysOnADeviceIsNamed", limit}},
	{15, "keys that are equal and not alike, alike and not equal", []string{"TestCapture", "TestStores", "TestKeysOfEveryClassNameTheSameRowEverywhere"}},
	{16, "an UPDATE can change a key", []string{"TestCapture", "TestEditsOnBothDevicesReachBoth"}},
	{17, "without a declared key, VACUUM gives other rowids", []string{"TestUnsyncedTables", "TestTablesThatCannotBeSyncedAreListed", limit}},
	{18, "two devices hand out one integer key", []string{"TestRowsThatWereGivenOneKeyAreACollision", limit}},
	{19, "after the id 2^63-1 AUTOINCREMENT has none left", []string{"TestTheLargestIntegerKey", limit}},
	{20, "a merge with foreign keys on cascades over rows of this device alone", []string{"TestAMergeCascadesNothing"}},
	{21, "deferral does not last, and foreign_keys is ignored in a transaction", []string{"TestReferencesInACycleAndToOneself"}},
	{22, "UNIQUE is checked row by row", []string{"TestSwapOfUniqueValues", "TestFullTextSearchFindsMergedRows"}},
	{23, "a merge by REPLACE changes rowids", []string{"TestAMergeKeepsRowids", "TestFullTextSearchFindsMergedRows"}},
	{24, "the app's triggers fire in a merge, or a full-text index goes stale", []string{"TestAppTriggers", "TestTriggersOfTheAppEchoNothing", "TestFullTextSearchFindsMergedRows", "TestTriggersThatAMergeRuns", limit}},
	{25, "a migration drops triggers, or fails because of them", []string{"TestCaptureAllowsMigrations", "TestCaptureAgain", "TestWritesAfterATableWasRebuiltAreFound", "TestAColumnOfAUniqueIndexIsDropped", "TestARenameThatRewritesNoTriggers", limit}},
	{26, "writes while triggers are missing or turned off", []string{"TestWritesToATableWhileItWasExcludedAreFound", "TestWritesAfterATableWasRebuiltAreFound", limit}},
	{27, "views and virtual tables carry no triggers", []string{"TestUnsyncedTables", "TestTablesThatCannotBeSyncedAreListed", limit}},
	{28, "generated columns are hidden, and can't be written", []string{"TestCapture", "TestEveryStorageClassArrivesBitForBit", "TestStoredValuesAreTheSameEverywhere"}},
	{29, "the file is attached to another connection", []string{"TestCaptureWhenAttached", "TestWritesThroughAnAttachedDatabaseTravel"}},
	{30, "temporary tables, databases in memory", []string{"TestHandlesThatCannotBeUsedAreRefused", "TestTemporaryObjects", limit}},
	{31, "savepoints undo a part, OR FAIL keeps a part", []string{"TestCapture", "TestSavepointsAndRollbacksAtEveryDepth"}},
	{32, "a full disk in a trigger fails the app's statement", []string{"TestAFullDisk", limit}},
	{33, "a read transaction that writes fails at once; a long merge blocks writers", []string{"TestOpenDBHasTheSettingsThatItPromises", "TestNoWriteOfTheAppFailsDuringALargeMerge", limit}},
	{34, "a power cut takes the last commits of WAL with synchronous=NORMAL", []string{"TestDurability", "TestNothingIsLostWhenTheProcessIsKilled", "TestAWALThatIsCutOffAfterPublishing", "TestADeleteThatAPowerCutTakes", limit}},
	{35, "copies, backups, clones", []string{"TestADatabaseThatWasRestoredFromABackup", "TestADatabaseWithoutItsKeysIsNoMember", "TestBackupWhileSyncRuns", limit}},
	{36, "BOOLEAN, DECIMAL and JSON are affinities", []string{"TestStoredValuesAreTheSameEverywhere", "TestAffinity", limit}},
	{37, "a schema refuses a row, or a trigger drops it silently", []string{"TestARowThatOnlyThisSchemaRefusesIsHeld", "TestConflictClausesOfConstraints", "TestTriggerThatRollsBack"}},
	{38, "changes() and last_insert_rowid() must stay as they are", []string{"TestCaptureIsInvisible", limit}},
	{39, "names of every kind, a column called rowid", []string{"TestCapture", "TestOddTables", "TestWideTablesAndOddNames"}},
	{40, "values and rows larger than a segment", []string{"TestLargeValuesAndRows", "TestSplitLarge", "TestARowBeyondTheLimitsIsNamedAndHoldsUpNothing", limit}},
	{41, "other programs write while the app is closed", []string{"TestEveryKindOfWriteOfAnOlderSQLiteIsCaptured", "TestCaptureInTheShell"}},
	{42, "a computed default that a merge fills in differs on each device", []string{"TestColumnsThatTheAuthorLacksAreNotComputed", "TestDefaults"}},
	{43, "what capture costs, most of all unprepared statements", []string{limit}},
}

func TestEveryHazardHasATestOrIsALimit(t *testing.T) {
	text, err := os.ReadFile("LIMITS.md")
	if err != nil {
		t.Fatal(err)
	}
	report(t, hazardViolations(t, testNames(t), string(text)))
	// The check finds what it is for.
	if found := hazardViolations(t, map[string]bool{}, ""); len(found) < len(hazards) {
		t.Errorf("without tests and limits only %d violations are found", len(found))
	}
	if found := hazardViolations(t, testNames(t), string(text)+" (S99)"); len(found) == 0 {
		t.Error("a limit that no hazard names is not found")
	}
}

var numberPattern = regexp.MustCompile(`\bS(\d+)\b`)

func hazardViolations(t *testing.T, tests map[string]bool, limits string) (violations []string) {
	t.Helper()
	add := func(format string, args ...any) { violations = append(violations, fmt.Sprintf(format, args...)) }
	told := make(map[string]bool)
	for _, match := range numberPattern.FindAllStringSubmatch(limits, -1) {
		told[match[1]] = true
	}
	for i, hazard := range hazards {
		if hazard.number != i+1 || hazard.fact == "" || len(hazard.shown) == 0 {
			add("hazard %d stands at place %d, or says nothing", hazard.number, i+1)
		}
		for _, name := range hazard.shown {
			number := fmt.Sprint(hazard.number)
			switch {
			case name != limit && !tests[name]:
				add("S%d names %s, and there is no such test", hazard.number, name)
			case name == limit && !told[number]:
				add("S%d is a limit, and LIMITS.md has no line with (S%d)", hazard.number, hazard.number)
			}
			if name == limit {
				delete(told, number)
			}
		}
	}
	if len(hazards) != 43 {
		add("%d hazards, want 43", len(hazards))
	}
	for _, number := range slices.Sorted(maps.Keys(told)) {
		add("LIMITS.md has a line with S%s, which is not a limit here", number)
	}
	return violations
}

var testPattern = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// testNames returns the names of all tests of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	return namesOf(t, testPattern)
}

// namesOf returns what the pattern's group matches in the repository's tests.
func namesOf(t *testing.T, pattern *regexp.Regexp) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	err := filepath.WalkDir(repositoryRoot, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range pattern.FindAllSubmatch(bytes.ReplaceAll(source, []byte("\r\n"), []byte("\n")), -1) {
			names[string(match[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
