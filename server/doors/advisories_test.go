package doors_test

import (
	"fmt"
	"strings"
	"testing"
)

// advisory is something that went wrong elsewhere, and what holds that it does not here.
type advisory struct {
	number int
	// ids are as they were published, happened what they were about.
	ids      []string
	happened string
	// holds says what the test holds; where a feature is missing here, that it is.
	holds string
	test  func(*product)
}

// advisories are all of reliability.md, section 5.5, in its order.
var advisories = []advisory{
	{1, []string{"CVE-2026-115725 (Chatwoot)"}, "a bot names another account's contact when it opens a conversation",
		"every id in every request is looked up in the caller's workspace", foreignIDsInBodies},
	{2, []string{"GHSA-rfh4-6ghv-m2rr (ChatterMate)"}, "a visitor types a known e-mail address and gets that customer's conversation",
		"nothing that is typed selects a conversation", typedAddressSelectsNothing},
	{3, []string{"Rocket.Chat livechat before 3.11"}, "a guest loads the history of any room",
		"a visitor with another's conversation id finds nothing, by any method", visitorFindsOnlyOwn},
	{4, []string{"CVE-2026-48616 (Rocket.Chat)"}, "a file is served to whoever has a token of any room",
		"no file is served: attachments are references, seen with their message only", attachmentsAreReferences},
	{5, []string{"CVE-2026-48929 (Rocket.Chat)"}, "a call without a user passes the check of the user",
		"without a credential, or with half of one, every method is refused on every listener", nobodyIsRefused},
	{6, []string{"CVE-2024-39713 (Rocket.Chat)"}, "a URL in an inbound webhook is fetched",
		"nothing is fetched: no URI that anybody sends is ever dialled", nothingIsFetched},
	{7, []string{"CVE-2021-22911 (Rocket.Chat)"}, "an operator of the database's query language where a text was meant",
		"filters are typed: an object is no text", operatorsAreNoText},
	{8, []string{"CVE-2025-21628 (Chatwoot)"}, "SQL in the filters of lists",
		"a filter is compared, never interpreted; there is no SQL yet", filtersAreCompared},
	{9, []string{"CVE-2021-3741 (Chatwoot)", "CVE-2021-3742 (Chatwoot)"}, "an SVG as avatar runs scripts, or is fetched",
		"an avatar is an https URI that only the reader's browser opens", avatarsAreHTTPS},
	{10, []string{"CVE-2026-111168 (LibreDesk)"}, "a parameter behind the media type passes an exact comparison",
		"a media type is a type and a subtype in small letters and nothing else", mediaTypesArePlain},
	{11, []string{"Tinode before 0.22.12"}, "HTML, SVG and XML attachments are shown inline",
		"whatever REST answers is JSON and says so, with nosniff", everythingIsJSON},
	{12, []string{"CVE-2026-40496 (FreeScout)"}, "tokens of attachments can be guessed",
		"secrets have 256 random bits, and guessing is limited by address", guessingIsHopeless},
	{13, []string{"CVE-2026-40569 (FreeScout)"}, "fields that nobody should set redirect the mail",
		"what only the server sets stays as it is, and what the contract does not know is refused", outputOnlyIsIgnored},
	{14, []string{"CVE-2026-107393 (FreeScout)"}, "an address in a header is believed from anybody",
		"no header changes the address that calls count for, but from a trusted proxy", addressesAreNotBelieved},
	{15, []string{"GHSA-7wcq-2qmv-mvcm (FreeScout)"}, "stack traces with passwords are shown to users",
		"an error on our side says INTERNAL and an incident's number (TestCanaries plants what it could tell)", errorsTellNothing},
	{16, []string{"CVE-2022-40816 (Zammad)"}, "REST hides personal data that the websocket shows",
		"a customer sees the same fields over gRPC and REST, in replies and streams, and exactly those", customerViewIsOne},
	{17, []string{"CVE-2026-34722 (Zammad)"}, "an optional parameter is not authorised",
		"each field of each method open to customers is known here as theirs or refused", optionalFieldsAreAuthorised},
	{18, []string{"CVE-2026-34720 (Zammad)"}, "single sign-on headers are believed from anybody",
		"no header but the credential says who calls", headersAreNoIdentity},
	{19, []string{"CVE-2024-33668 (Zammad)"}, "guessable form ids let others add to a draft",
		"page tokens and request ids belong to who made them", tokensBelongToTheirMaker},
	{20, []string{"CVE-2020-10101 (Zammad)"}, "a frame that is no JSON stops the server",
		"whatever bytes come to a listener, the next call is answered", rawBytesStopNothing},
	{21, []string{"CVE-2021-42091 (Zammad)", "CVE-2026-56227 (Capgo)", "GHSA-r2x7-427f-rq69 (ech0)", "CVE-2026-22247 (GLPI)", "CVE-2026-75511 (Novu)"},
		"webhook URLs reach inside, by names, redirects and previews", "where events are sent is on the open internet, by its URI and by its address; what it replies is shown nowhere", webhooksStayOutside},
	{22, []string{"CVE-2026-3473 (Mattermost)"}, "a file hidden by one API is shown by another",
		"one conversation by every way there is to it", everyRouteHides},
	{23, []string{"CVE-2026-1629 (Mattermost)"}, "a cached preview outlives the access",
		"what was verified and answered before is authorised anew on each call, and in open watches when it changes", nothingIsRemembered},
	{24, []string{"CVE-2025-55073 (Mattermost)", "GHSA-r4fm-g65h-cr54 (Mattermost)"}, "a reference to a post of another channel reveals it",
		"numbers count in their own conversation, and nothing refers to another's", numbersStayInside},
	{25, []string{"GHSA-p267-jjfq-pphf (Mattermost)"}, "some actions do not look at the role of guests",
		"customers and visitors are refused by every method that is not on a list of theirs", customersHaveTheirMethods},
	{26, []string{"CVE-2026-46694 (EspoCRM)", "GitLab 388242"}, "internal notes show in a stream, and in counts",
		"whatever agents do among themselves, a customer reads the same bytes, and is told nothing at that moment", notesShowNowhere},
	{27, []string{"CVE-2026-27954 (LiveHelperChat)"}, "hold, block and transfer do not look at the department",
		"an agent who takes no part changes nothing, but by methods on a list", outsidersChangeNothing},
	{28, []string{"CVE-2026-45349 (open-webui)", "CVE-2026-44569 (open-webui)"}, "another's chat is continued and changed by its id",
		"nobody writes in, edits or redacts what is another's", othersMessagesStay},
	{29, []string{"CVE-2026-4262 (HiJiffy)", "CVE-2026-4263 (HiJiffy)"}, "a parameter names whose messages to download",
		"no parameter says who calls", parametersAreNoIdentity},
	{30, []string{"CVE-2021-3740 (Chatwoot)"}, "sessions survive a change of the password",
		"RevokeTokens ends all tokens with the next call, and every open watch at once", revocationEndsTokens},
	{31, []string{"CVE-2026-73405 (vulnerability-lookup)"}, "a disabled account subscribes to events",
		"a disabled agent is refused by every credential, and every open watch ends at once", disabledAgentsAreOut},
	{32, []string{"CVE-2026-33186 (gRPC-Go)", "GHSA-m425-mq94-257g (gRPC-Go)"}, "a path without its slash skips the check; streams that are reset at once cost handlers",
		"raw frames: no such path is served, and a storm of resets leaves others served", rawFrames},
	{33, []string{"Rocket.Chat pull request 39087"}, "two first messages at once open two rooms",
		"fifty first messages at once make one conversation", fiftyTabsMakeOne},
}

// TestAdvisories runs what went wrong elsewhere against this server.
func TestAdvisories(t *testing.T) {
	h := newHouse(t)
	for i, a := range advisories {
		if a.number != i+1 {
			t.Errorf("advisory %d is the %dth", a.number, i+1)
		}
		t.Run(fmt.Sprintf("%02d %s", a.number, strings.Join(a.ids, ", ")), func(t *testing.T) {
			t.Parallel()
			if a.happened == "" || a.holds == "" {
				t.Error("the row does not say what happened, or what it holds")
			}
			a.test(newProduct(t, h, "home"))
		})
	}
}
