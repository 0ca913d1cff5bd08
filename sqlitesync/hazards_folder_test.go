package sqlitesync_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
)

// delivery says of every hazard of a folder that others carry which tests show that it is none here, or that it is a limit
// which people are told of (a line of LIMITS.md with the number); some are both.
var delivery = []trap{
	{1, "a file is visible under its name while it is empty, a part, growing, sparse", []string{"TestASegmentThatGrowsIsReadWhenItIsWhole", "TestATruncatedSegmentCostsOnlyItself", "TestFileThatGrows", "TestFilesOfATerabyteAreNotRead", "TestFilesArriveInAnyOrderInPartsAndTwice", "TestSpoiltSegmentsAreMadeAgain", limit}},
	{2, "files come in no order, the roster after what it is for", []string{"TestFilesArriveInAnyOrderInPartsAndTwice", "TestSegmentsArriveBeforeTheRecordOfTheirAuthor", "TestAGapIsWaitedForVisibly", "TestAChangeWaitsForWhatItsAuthorHadSeen"}},
	{3, "duplicates and conflict copies, of files and of directories, that may be the only good ones", []string{"TestEveryPatternOfConflictCopiesIsRead", "TestEveryPatternOfConflictCopiesOfRecordsIsRead", "TestConflictCopiesOfSyncClientsAreRead", "TestDirectoriesThatTwoDevicesHaveMade", "TestFloodsOfPlantedFilesAreBorneWithinBounds"}},
	{4, "an old version comes back", []string{"TestSyncthingWithThreeDaemons", "TestAnOldSegmentUnderANewNumberIsNotReadAgain", "TestFalseHeadsAreNamedAndCostNothing", "TestADeleteOutlivesCompactionsRewindsAndSittings"}},
	{5, "one device deletes what others have, the folder is emptied or unmounted", []string{"TestVanishedSegmentsAreMadeAgain", "TestSomebodyDeletesItAgain", "TestWithoutItsFolderADeviceKeepsEverything", "TestAMarkerThatWasDeletedIsNotMadeAgain", "TestSyncthingWithThreeDaemons", limit}},
	{6, "the folder is replaced by another space's", []string{"TestWithoutItsFolderADeviceKeepsEverything", "TestSwappedFilesAreRefused", "TestTheFolderBecomesAnotherDuringAPass"}},
	{7, "a client is paused, its quota full, a directory ignored", []string{"TestSyncthingCarriesASpace", "TestHeads", limit}},
	{8, "a file is a placeholder, and reading it waits", []string{"TestSlowReads", "TestAReadThatGetsOnIsWaitedFor", "TestAPlaceholderThatDoesNotComeHoldsUpNothingElse", "TestWhatICloudDriveKeepsElsewhereIsNotMissing", "TestStandIns", "TestADriveThatDoesNotAnswer", limit}},
	{9, "the watcher loses events, has none, or reaches a limit", []string{"TestOverflow", "TestPolling", "TestDegraded", "TestNoNotifier", "TestWhatCannotBeWatchedIsSaid", "TestBackgroundWork"}},
	{10, "events storm", []string{"TestEventsAreOneHint", "TestEventsForNothing", "TestEvents"}},
	{11, "times of files are anything", []string{"TestTimesOfFilesDecideNothing"}},
	{12, "names fold case, are composed otherwise, reserved, too long", []string{"TestPublishedNames", "TestSegmentName", "TestEveryPatternOfConflictCopiesIsRead"}},
	{13, "a rename fails because somebody holds the file", []string{"TestBusy", "TestFailureAtEveryStep", limit}},
	{14, "a rename replaces a file that stands", []string{"TestTwin", "TestTwinWithoutHardLinks", "TestTwins"}},
	{15, "what was written is not durable", []string{"TestSteps", "TestSyncErrors", "TestAPublishedSegmentThatVanishesBeforeItWasSeenComesBack"}},
	{16, "links, FIFOs and devices are planted", []string{"TestWhatIsNoPlainFileIsNotRead", "TestHostileFiles", "TestLinkedDirectories", "TestFIFOAfterTheLook"}},
	{17, "the folder can't be written to", []string{"TestAFolderThatCannotBeWrittenToOnlyDelays", "TestUnwritable", "TestWithoutItsFolderADeviceKeepsEverything"}},
	{18, "files grow in number", []string{"TestALogIsKeptShort", "TestDeadWeightIsWrittenAnewThoughSegmentsAreFew", "TestALogThatOthersOverruleIsWrittenAnew", "TestLogsAtRandom", "TestLargeLogsHaveFewFiles", "TestCrowdedDirectory", limit}},
	{19, "one database in two processes, one device in two places", []string{"TestTheSecondSyncerOfADatabaseIsRefused", "TestTheLockIsRemovedWhileSyncRuns", "TestTwins", "TestTwinsWithKeysOfTheirOwn"}},
	{20, "junk of systems and services", []string{"TestForeignFilesAreNeverTouched", "TestForeignFiles", "TestJunkUnderNamesOfSegmentsCostsNothing"}},
	{21, "the database lies inside the folder", []string{"TestADatabaseInsideTheFolderIsRefused", "TestADatabaseThatAServiceCarriesIsWarnedOf", "TestContains", "TestCarrier", limit}},
	{22, "the medium goes while it is written to", []string{"TestAFailureAtAnyStepThatTakesTheMedium", "TestAFailureAtAnyStepLosesNothing", "TestAbsence", "TestReason"}},
	{23, "trash and versions bring own segments back after a compaction", []string{"TestSegmentsThatComeBackAfterACompactionAreHarmless"}},
	{24, "a directory changes while it is read", []string{"TestADirectoryChangesWhileItIsRead", "TestAReaderInTheMiddleOfARange"}},
}

// folderSchedules lists those of the design's review that have to do with the folder and the life of logs.
var folderSchedules = []trap{
	{1, "what was forgotten of deletes brings rows back", []string{"TestADeleteOutlivesCompactionsRewindsAndSittings", "TestADeletedRowDoesNotComeBack", "TestLogsAtRandom"}},
	{2, "a compaction contradicts names, chain and twins", []string{"TestFollowing", "TestSegmentName", "TestAReaderInTheMiddleOfARange", "TestTwins"}},
	{5, "a log that only its author may write can be lost for good", []string{"TestALostDirectoryIsRelayed", "TestNothingIsRelayedTooEarly"}},
	{12, "a watcher near the database drops its locks", []string{"TestNothingWatchesTheDatabase", "TestNothingDropsTheLocksOfTheDatabase", "TestNothingButTheLockStandsBesideTheDatabase"}},
	{16, "the outbox keeps too much, or too little", []string{"TestADeviceInADrawerCostsNothing", "TestVanishedSegmentsAreMadeAgain", "TestAPublishedSegmentThatVanishesBeforeItWasSeenComesBack", "TestSomebodyDeletesItAgain"}},
	{17, "ranges wait for each other, or are taken for whole", []string{"TestRangesThatHaveSeenEachOtherWaitForNobody", "TestAReaderInTheMiddleOfARange", "TestLogsAtRandom"}},
	{19, "a restored database is noticed too late", []string{"TestNothingIsPublishedThatTheKeyStoreDoesNotKnow", "TestADatabaseThatWasRestoredFromABackup", "TestAWALThatIsCutOffAfterPublishing", "TestTwinsThatPublishedApart", "TestAMovedDatabaseIsTheSameDevice", "TestWithoutItsFolderADeviceKeepsEverything", "TestAMachineIsRestoredWithAllThatCouldTell", "TestTheFolderIsRestoredWithTheDatabase"}},
}

func TestEveryHazardOfTheFolderHasATestOrIsALimit(t *testing.T) {
	text, err := os.ReadFile("LIMITS.md")
	if err != nil {
		t.Fatal(err)
	}
	names := testNames(t)
	names[limit] = true
	report(t, trapViolations(delivery, names, 24))
	report(t, limitViolations(delivery, string(text)))
	report(t, trapViolations(folderSchedules, names, 7))
	// The check finds what it is for.
	if found := limitViolations(delivery, "(F99)"); len(found) < 2 {
		t.Errorf("of limits that are not told, and one that is no hazard, only %q is found", found)
	}
}

var folderNumber = regexp.MustCompile(`\bF(\d+)\b`)

// limitViolations compares the hazards that are limits with those that LIMITS.md names.
func limitViolations(traps []trap, text string) (violations []string) {
	told := make(map[string]bool)
	for _, match := range folderNumber.FindAllStringSubmatch(text, -1) {
		told[match[1]] = true
	}
	for _, trap := range traps {
		number := fmt.Sprint(trap.number)
		if slices.Contains(trap.shown, limit) && !told[number] {
			violations = append(violations, fmt.Sprintf("F%s is a limit, and LIMITS.md has no line with (F%s)", number, number))
		}
		if slices.Contains(trap.shown, limit) {
			delete(told, number)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(told)) {
		violations = append(violations, "LIMITS.md has a line with F"+number+", which is not a limit here")
	}
	return violations
}
