// Package storetest is the conformance suite of the store: what package store promises, as tests that every engine runs.
// Only tests import it.
//
// Each promise is one test on a fresh store. Whatever a test leaves must read the same after a reopening and a crash, and
// Check must find nothing wrong with it. The last test, Machine, runs random units, restarts and failures against the
// engine and the reference of store/memory side by side, and compares everything that can be read after each step.
package storetest

import "testing"

// Run holds an engine to the promises of package store. open returns a fresh, empty store; it is called once or more in
// each test, and tests run in parallel.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for _, promise := range promises {
		t.Run(promise.name, func(t *testing.T) {
			t.Parallel()
			s := newSubject(t, open(t))
			promise.test(s)
			s.survives()
		})
	}
	t.Run("TokensOutliveTheStore", func(t *testing.T) {
		t.Parallel()
		tokensOutliveTheStore(newSubject(t, open(t)), open(t))
	})
	t.Run("Machine", func(t *testing.T) {
		t.Parallel()
		machine(t, open)
	})
}

var promises = []struct {
	name string
	test func(*subject)
}{
	{"UnitIsWhole", unitIsWhole},
	{"FailedUnitLeavesNothing", failedUnitLeavesNothing},
	{"AppendChecksNumbers", appendChecksNumbers},
	{"RefusedAppendLeavesNothing", refusedAppendLeavesNothing},
	{"EndedGoroutine", endedGoroutine},
	{"UnitsReadWhatWasWritten", unitsReadWhatWasWritten},
	{"OneFailureHurtsNobodyElse", oneFailureHurtsNobodyElse},
	{"CanceledInside", canceledInside},
	{"InjectedFailures", injectedFailures},
	{"RequestIDSettlesUnknownOutcomes", requestIDSettlesUnknownOutcomes},
	{"NumbersAreDense", numbersAreDense},
	{"RealTimeOrderHolds", realTimeOrderHolds},
	{"ReadersSeeWholeUnits", readersSeeWholeUnits},
	{"ClockOnlyGoesOn", clockOnlyGoesOn},
	{"RequestIDHasOneEffect", requestIDHasOneEffect},
	{"RequestIDBelongsToItsScope", requestIDBelongsToItsScope},
	{"RequestIDRefusesAnotherBody", requestIDRefusesAnotherBody},
	{"OnlyReceiptsAreRemembered", onlyReceiptsAreRemembered},
	{"RequestIDIsRememberedLongEnough", requestIDIsRememberedLongEnough},
	{"WorkspacesAreApart", workspacesAreApart},
	{"IDsAreApart", idsAreApart},
	{"PairsAreApart", pairsAreApart},
	{"ExternalIDsAreUnique", externalIDsAreUnique},
	{"ListsEqualFullScans", listsEqualFullScans},
	{"PagesShowTheUntouchedOnce", pagesShowTheUntouchedOnce},
	{"CustomersMakeOneList", customersMakeOneList},
	{"DirectoryPages", directoryPages},
	{"DirectoryIsByEveryName", directoryIsByEveryName},
	{"StrangersAreRefused", strangersAreRefused},
	{"OldestWaitingSeesEverything", oldestWaitingSeesEverything},
	{"LinesCountWhoWaits", linesCountWhoWaits},
	{"PlacesCountWhoIsAhead", placesCountWhoIsAhead},
	{"NewestUnresolvedSeesEverything", newestUnresolvedSeesEverything},
	{"TwoTabsMakeOneConversation", twoTabsMakeOneConversation},
	{"ClaimsAreFirstComeFirstServed", claimsAreFirstComeFirstServed},
	{"RangesAreExact", rangesAreExact},
	{"RecordsFollowTheCursor", recordsFollowTheCursor},
	{"RecordsReadAsNow", recordsReadAsNow},
	{"AppendsOfOneUnit", appendsOfOneUnit},
	{"ReplacedTextsAreGone", replacedTextsAreGone},
	{"ReadMarksChangeNoLog", readMarksChangeNoLog},
	{"LongLogsRead", longLogsRead},
	{"FeedIsTheLogs", feedIsTheLogs},
	{"FeedIsInCommitOrder", feedIsInCommitOrder},
	{"FeedOfIsTheFeedOfCustomers", feedOfIsTheFeedOfCustomers},
	{"PrunedFeedGoesOn", prunedFeedGoesOn},
	{"PruningGoesByTime", pruningGoesByTime},
	{"PruningFails", pruningFails},
	{"PrunedIsBackedUp", prunedIsBackedUp},
	{"HintsAreOfWhatChanged", hintsAreOfWhatChanged},
	{"HintsComeInTime", hintsComeInTime},
	{"HintsEnd", hintsEnd},
	{"FailedCommitsHint", failedCommitsHint},
	{"DueIsInOrder", dueIsInOrder},
	{"DueTimeNeedsNoEvent", dueTimeNeedsNoEvent},
	{"BackupIsWhole", backupIsWhole},
	{"BackupBesideWritesFitsTogether", backupBesideWritesFitsTogether},
	{"LedgersOnlyGrow", ledgersOnlyGrow},
	{"CountsAreByDay", countsAreByDay},
	{"CreditListsEqualFullScans", creditListsEqualFullScans},
	{"CreditPagesShowTheUntouchedOnce", creditPagesShowTheUntouchedOnce},
	{"CreditsKeepTheirCustomer", creditsKeepTheirCustomer},
	{"CreditsDueAreInOrder", creditsDueAreInOrder},
	{"SettledCreditsAreNotDue", settledCreditsAreNotDue},
	{"AffectedEqualFullScans", affectedEqualFullScans},
	{"EveryApologyIsWrittenOnce", everyApologyIsWrittenOnce},
	{"AffectedPagesShowTheUntouchedOnce", affectedPagesShowTheUntouchedOnce},
	{"IncidentsAreNewestFirst", incidentsAreNewestFirst},
	{"WebhooksArePaged", webhooksArePaged},
	{"ParkedAndDeliveriesGo", parkedAndDeliveriesGo},
	{"EndpointsGoInSlices", endpointsGoInSlices},
	{"RemovedIsGone", removedIsGone},
	{"RemovedLeavesTheLine", removedLeavesTheLine},
	{"UnresolvedIsNewestFirst", unresolvedIsNewestFirst},
	{"RemovedIDsAreFree", removedIDsAreFree},
	{"RemovedLeavesRecords", removedLeavesRecords},
	{"CustomersAreRemoved", customersAreRemoved},
	{"RemovalForgetsRequestIDs", removalForgetsRequestIDs},
	{"ForeverIsForever", foreverIsForever},
	{"ErasuresAndRemovalsAreKept", erasuresAndRemovalsAreKept},
	{"ResolvedIsOldestFirst", resolvedIsOldestFirst},
	{"BackupForgetsRequestIDs", backupForgetsRequestIDs},
	{"RetentionMeetsEachOnce", retentionMeetsEachOnce},
	{"PruningGoesOverRemoved", pruningGoesOverRemoved},
	{"RemovalFails", removalFails},
	{"RemovalsShareCommits", removalsShareCommits},
	{"RemovalBesideReaders", removalBesideReaders},
	{"RemovedIsInNoBackup", removedIsInNoBackup},
	{"WhatIsHandedOutIsACopy", whatIsHandedOutIsACopy},
	{"ClosedIsClosed", closedIsClosed},
	{"CloseWaitsForUnits", closeWaitsForUnits},
}
