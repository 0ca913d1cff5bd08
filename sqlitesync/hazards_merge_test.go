package sqlitesync_test

import (
	"fmt"
	"testing"
)

// A trap is something that can go wrong between devices, and the tests that show that it does not.
type trap struct {
	number int
	fact   string
	shown  []string // names of tests
}

// distributed lists the hazards D1 to D16 that the research for the design has found.
var distributed = []trap{
	{1, "clocks are skewed, and jump back", []string{"TestStamps", "TestClocksThatAreOff", "TestAClockThatGoesBackBetweenTwoEdits", "TestWhoseClockIsOff"}},
	{2, "a time far ahead poisons rows, or stops a device", []string{"TestClocksThatAreOff", "TestATimeAtTheLimitStopsNothing"}},
	{3, "equal stamps, cloned devices", []string{"TestEqualStampsAreDecidedByContent", "TestStampCompare", "TestTwins"}},
	{4, "a segment is missing", []string{"TestAGapIsWaitedForVisibly", "TestAChangeWaitsForWhatItsAuthorHadSeen", "TestAMissingBatchIsWaitedForAMinuteOnly", "TestAPublishedSegmentThatVanishesBeforeItWasSeenComesBack"}},
	{5, "deletes that were forgotten bring rows back", []string{"TestADeletedRowDoesNotComeBack", "TestCombineForgets"}},
	{6, "a device returns after a long time", []string{"TestADeletedRowDoesNotComeBack"}},
	{7, "a device that never returns holds others up", []string{"TestADeviceThatNeverReturnsHoldsNobodyUp"}},
	{8, "the older of two edits of different columns is lost", []string{"TestConflictsAreKeptByBothAuthors", "TestResolveTakesTheLoserBackEverywhere", "TestResolveWritesGivenValues"}},
	{9, "delete against edit, and half a row", []string{"TestConflictsAreKeptByBothAuthors", "TestAnEditBringsTheWholeRowBack", "TestReinsertAfterDelete"}},
	{10, "two rows claim one unique value", []string{"TestThreeDevicesInsertTheSameMail", "TestCyclesOfUniqueValuesApplyAsAWhole", "TestSameMailOnThreeDevices"}},
	{11, "a child without its parent", []string{"TestAChildBeforeItsParent", "TestAParentIsDeletedBesideANewChild", "TestAChainOverThreeTables", "TestWorlds"}},
	{12, "old apps do not know a column, and the order decides about it", []string{"TestColumnsThatOldAppsDoNotKnow", "TestOldAndNewAppsSideBySide"}},
	{13, "columns and tables are renamed, dropped, come later", []string{"TestMigrations", "TestDroppedColumn", "TestATableMadeLaterIsHeldUntilItIsThere", "TestConflictsOfARenamedTable"}},
	{14, "what is computed or formatted differs between devices", []string{"TestVectors", "TestStoredValuesAreTheSameEverywhere", "TestColumnsThatTheAuthorLacksAreNotComputed", "TestHistories"}},
	{15, "half a transaction shows", []string{"TestATransactionIsWholeOrAbsent", "TestALongLogIsFoldedInStepsAndAppliedAsOne", "TestAMergeThatIsBrokenOffIsRepeatedWhole"}},
	{16, "devices answer one another for ever", []string{"TestThreeDevicesConverge", "TestTriggersOfTheAppEchoNothing", "TestThreeDevicesInsertTheSameMail", "TestPuttingAgain"}},
}

// schedules lists those of the design's review that merging has to pass.
var schedules = []trap{
	{6, "overruled changes decide columns that newer ones lack", []string{"TestCombineForgets", "TestColumnsThatOldAppsDoNotKnow", "TestOldAndNewAppsSideBySide"}},
	{7, "a trigger that looks at other rows refuses what arrives second", []string{"TestWhatATriggerRefusesArrivesInEveryOrder", "TestTriggersInMerges"}},
	{9, "a parent was deleted, and a derived value becomes a fact", []string{"TestAParentIsDeletedBesideANewChild", "TestDerivedValuesDoNotTravel", "TestPartsOfADerivedReference", "TestPuttingAgain"}},
	{10, "one bad clock infects all rows", []string{"TestClocksThatAreOff", "TestAClockThatGoesBackBetweenTwoEdits"}},
	{11, "a migration on a device that was away undoes the week, or a rename loses values", []string{"TestAMigrationLosesAgainstEdits", "TestTheSecondMigrationLosesAgainstEdits", "TestMigrations"}},
	{14, "a conflict is not noticed, or the row that was held is lost", []string{"TestConflictsAreKeptByBothAuthors", "TestAnEditOverAHeldRowKeepsTheHeldOne", "TestEachVersionOfARowIsComparedWithWhatOverrulesIt"}},
	{15, "local edits do not settle, a comparison sends what is held", []string{"TestThreeDevicesInsertTheSameMail", "TestNothingIsSentForHeldRowsAfterAMigration", "TestFoldInPages", "TestALocalDeleteOfAParentIsSettled"}},
	{18, "equal stamps of rows that were there before", []string{"TestBaselinesThatDifferOnlyInExtraColumns", "TestBaselinesWithOneUniqueValue", "TestJoinOfAnEqualCopyPublishesNothing", "TestJoinRefusesRowsOfItsOwn"}},
	{20, "a row that is held claims a value all the same", []string{"TestHeldRowClaimsNothing", "TestARowWithoutItsParentClaimsNothing"}},
	{21, "rows of local tables refer to one that goes", []string{"TestRowsOfLocalTablesFollow", "TestTriggersOfLocalTablesThatFollow"}},
	{22, "two rows with one key are taken for two edits", []string{"TestRowsThatWereGivenOneKeyAreACollision", "TestARowThatCollidedComesBackUnderANewKey", "TestCollisionsAreReportedAsSuch"}},
	{29, "saving what was there overrules an edit", []string{"TestSavingARowAsItWasOverrulesNobody", "TestWhatIsNoConflict"}},
}

func TestEveryTrapOfMergingHasATest(t *testing.T) {
	names := testNames(t)
	report(t, trapViolations(distributed, names, 16))
	report(t, trapViolations(schedules, names, 12))
	// The check finds what it is for.
	for _, list := range [][]trap{distributed, schedules} {
		if found := trapViolations(list, map[string]bool{}, len(list)); len(found) < len(list) {
			t.Errorf("without tests only %d violations are found", len(found))
		}
	}
	if found := trapViolations([]trap{{2, "x", nil}, {1, "", []string{"TestWorlds"}}}, names, 3); len(found) != 4 {
		t.Errorf("of a bad list only %q is found", found)
	}
}

func trapViolations(traps []trap, tests map[string]bool, want int) (violations []string) {
	add := func(format string, args ...any) { violations = append(violations, fmt.Sprintf(format, args...)) }
	last := 0
	for _, trap := range traps {
		if trap.number <= last {
			add("%d stands behind %d", trap.number, last)
		}
		if last = trap.number; trap.fact == "" || len(trap.shown) == 0 {
			add("%d says nothing, or names nothing", trap.number)
		}
		for _, name := range trap.shown {
			if !tests[name] {
				add("%d names %s, and there is no such test", trap.number, name)
			}
		}
	}
	if len(traps) != want {
		add("%d entries, want %d", len(traps), want)
	}
	return violations
}
