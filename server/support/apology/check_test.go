package apology_test

import (
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/apology"
	"pgregory.net/rapid"
)

// checked tells how the violations of a text begin, at most so many words of each.
func checked(t *testing.T, f apology.Facts, text string) string {
	t.Helper()
	var all []string
	for _, v := range parse(t, text).Check(f) {
		if len(v.Description) < 40 || !strings.HasSuffix(v.Description, ".") || v.Field == "" {
			t.Errorf("a violation that does not say what to do: %+v", v)
		}
		all = append(all, strings.Join(strings.Fields(v.Description)[:5], " "))
	}
	return strings.Join(all, "; ")
}

const rest = " {contact} {nothing_to_do}"

func TestWhatEveryApologySays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{credit} {contact} {nothing_to_do}":      "",
		"{credit}, {settle_by}, {device}." + rest: "",
		"{credit} {contact}":                      "It does not say whether",
		"{contact} {nothing_to_do}":               "It does not say the",
		"{credit} {nothing_to_do}":                "It names no way to",
		"":                                        "It names no way to; It does not say the; It does not say whether",
		// Literal words do as well.
		"5.00 EUR, and you do not need\nto do anything: +49 30 1234567": "",
		"€5. Mail HELP@example.com. {nothing_to_do}":                    "",
		"{credit} {nothing_to_do} xhelp@example.com":                    "It names no way to",
		"{credit} {nothing_to_do} +49 30 12345678":                      "It names no way to",
		"{credit} {contact} You do not need to do anything more":        "",
		"{credit} {contact} You do not need to do anythings":            "It does not say whether",
		// Braces make no field of it.
		"{{credit}} {contact} {nothing_to_do}": "It does not say the",
		// Letters of a script without spaces do not touch it, nor do a dash or a digit further off.
		"お詫びに{credit}を返金します。" + rest:        "",
		"Sorry – {credit}, in 2026." + rest: "",
		"5: {credit}\n5. {credit}" + rest:   "",
		"7\n{credit}-voucher" + rest:        "",
		"{device} {credit}" + rest:          "",
		"({credit})" + rest:                 "",
		"{credit}, millions of you" + rest:  "",
		// Fields.
		"{credit} {nothing}" + rest: "No customer has the attribute",
		"{credit} {plan}" + rest:    "{plan} has no value for",
		"{credit} {name}" + rest:    "{name} has no value for",
	} {
		got := checked(t, facts(), text)
		if !begin(got, want) {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// What stands beside the credit makes another one of it.
func TestWhatTouchesTheCredit(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"1{credit}", "1.{credit}", "1,{credit}", "٥{credit}", "5 {credit}", "5\u00a0{credit}", "5-{credit}", "5 – {credit}", "on {settle_by} {credit}",
		"-{credit}", "you get −{credit}", "{device}{credit}", "{contact}{credit}",
		"{credit}0", "{credit}٠", "{credit}\u200b0", "{credit}k", "{credit}Mio.", "{credit}{device}", "{credit}{credit}", "{credit}, {credit}0",
		"½{credit}", "{credit}½", "3x {credit}", "{device} × {credit}", "{credit} * 3", "{credit} million", "{credit}\nk",
	} {
		if got := checked(t, facts(), text+" "+rest); !begin(got, "A digit, a minus, a") {
			t.Errorf("%s: got %s", text, got)
		}
	}
}

// begin reports whether each of the violations begins as wanted.
func begin(got, want string) bool {
	g, w := strings.Split(got, "; "), strings.Split(want, "; ")
	if len(g) != len(w) {
		return false
	}
	for i := range g {
		if !strings.HasPrefix(g[i], w[i]) || w[i] == "" && g[i] != "" {
			return false
		}
	}
	return true
}

func TestSomeHaveNoValue(t *testing.T) {
	t.Parallel()
	got := parse(t, "{credit} {plan}"+rest).Check(facts())
	equal(t, "violations", len(got), 1)
	equal(t, "who misses it is known of", got[0].Missing, "plan")
	equal(t, "what it says", got[0].Description, "{plan} has no value for 1 of 3 customers. Add them again with it, or leave the field out.")
	equal(t, "of a name", strings.Contains(parse(t, "{credit} {name}"+rest).Check(facts())[0].Description, "with UpsertCustomer"), true)
}

func TestAnUnknownFieldTellsTheKnown(t *testing.T) {
	t.Parallel()
	got := parse(t, "{credit} {devise}"+rest).Check(facts())
	equal(t, "violations", len(got), 1)
	equal(t, "what it says", got[0].Description,
		"No customer has the attribute {devise}. Add it to those affected, or write one of: credit, contact, nothing_to_do, settle_by, name, device, plan.")
}

func TestAWorkspaceThatNobodyCanReach(t *testing.T) {
	t.Parallel()
	f := facts()
	f.Contacts = nil
	got := parse(t, "{credit} {nothing_to_do} help@example.com").Check(f)
	equal(t, "violations", len(got), 1)
	equal(t, "whose", got[0].Field, "contact_points")
}

func TestNothingToDoInAnotherLanguage(t *testing.T) {
	t.Parallel()
	f := facts()
	f.NothingToDo = "Du musst nichts tun!"
	equal(t, "its sentence", checked(t, f, "{credit} {contact} Du  musst nichts tun, wirklich."), "")
	equal(t, "another", begin(checked(t, f, "{credit} {contact} "+apology.DefaultNothingToDo), "It does not say whether"), true)
	got, _ := parse(t, "{nothing_to_do}").With(f).Render(nil)
	equal(t, "rendered", got, "Du musst nichts tun!")
}

func TestNothingToDoThatSaysNothing(t *testing.T) {
	t.Parallel()
	for _, sentence := range []string{" ", ".", "\u200b", "5!"} {
		f := facts()
		f.NothingToDo = sentence
		got := parse(t, "{credit} {contact} {nothing_to_do}").Check(f)
		if len(got) != 1 || got[0].Field != "nothing_to_do" || !strings.HasPrefix(got[0].Description, "It has no words") {
			t.Errorf("%q: got %v", sentence, got)
		}
	}
}

// An amount is found wherever everyone reads it, and told of where it stands.
func TestAmountsInWhatStandsForAField(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ text, nothingToDo, contact, want string }{
		{"{credit}" + rest, "You get 5 EUR.", "+1 555 0100", ""},
		{"A euro {contact}. {nothing_to_do} Pounds {contact}, {credit}.", "", "+1 555 0100", ""},
		{"{credit}" + rest, "You also get 50.00 EUR in cash.", "+1 555 0100", "nothing_to_do: “50.00 EUR” in it"},
		{"{credit} {contact} You also get 50 EUR in cash.", "You also get 50 EUR in cash.", "+1 555 0100", "text: “50 EUR” is not"},
		{"{credit} {contact} 50 {nothing_to_do}", "EUR are yours.", "+1 555 0100", "text: “50 EUR” is not"},
		{"{credit}" + rest, "", "50 EUR off, call 0100", "contact_points: “50 EUR” in it"},
		{"{credit} {nothing_to_do} mail help@example.com", "", "help@example.com", ""},
	} {
		f := facts()
		f.NothingToDo, f.Contacts = row.nothingToDo, []string{row.contact}
		var got string
		for _, v := range parse(t, row.text).Check(f) {
			got += v.Field + ": " + v.Description
		}
		if !strings.HasPrefix(got, row.want) || row.want == "" && got != "" {
			t.Errorf("%s, %s: got %s, want %s", row.text, row.nothingToDo, got, row.want)
		}
	}
}

func TestATextThatIsTooLongForAnybody(t *testing.T) {
	t.Parallel()
	equal(t, "too long", begin(checked(t, facts(), "{credit}"+rest+strings.Repeat(" ", apology.MaxBytes)), "It has 32"), true)
}

func TestCreditInWords(t *testing.T) {
	t.Parallel()
	equal(t, "euros", apology.Words(in("EUR", 5, 0)), "5.00 EUR")
	equal(t, "cents", apology.Words(in("EUR", 0, 50_000_000)), "0.05 EUR")
	equal(t, "less than a cent", apology.Words(in("EUR", 1, 5_000_000)), "1.005 EUR")
	equal(t, "yen", apology.Words(in("JPY", 500, 0)), "500 JPY")
	equal(t, "part of a yen", apology.Words(in("JPY", 500, 500_000_000)), "500.5 JPY")
	equal(t, "dinars", apology.Words(in("KWD", 1200, 0)), "1200.000 KWD")
	equal(t, "what nobody knows", apology.Words(in("QQQ", 1, 0)), "1.00 QQQ")
	equal(t, "an eighth", apology.Words(share(1250)), "12.5 % of your next bill")
	equal(t, "all", apology.Words(share(10_000)), "100 % of your next bill")
	equal(t, "the least", apology.Words(share(1)), "0.01 % of your next bill")
}

// said tells what a text says of a credit: nothing, right, or wrong.
func said(t *testing.T, c *goodshipv1.CreditAmount, text string) string {
	t.Helper()
	f := facts()
	f.Credit = c
	switch got := checked(t, f, escape(text)+rest); {
	case got == "":
		return "right"
	case begin(got, "It does not say the"):
		return "nothing"
	}
	return "wrong"
}

func TestAmountsInAText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"right": "5.00 EUR|5 EUR|EUR 5|EUR5|5EUR|€5|€ 5|5€|5 €|5,00 €|5.00 €|€5.00|5 euros|5 Euro|5 eur|5,- €|5,– €|€5,-|5-euro voucher|5.0 EUR|05 EUR|" +
			"٥ €|٥٫٠٠ €|５€|𝟝€|+5 €|(5 €)|you get 5 EUR. 2 days later|you get 5 EUR 2 days later|in 2026 €5|500 cents|5 EUR!|until 7/3, 5 EUR|返金5€です|返金5 EURを|5 EUR at https://example.com/a%20b|" +
			"EUR: 5|5 (EUR)|5\nEUR|EUR +5|Credit – 5 EUR|a credit-5 EUR|" +
			"5 EUR, thousands of you|5 EUR. Many thanks|5 EUR may help|5 EUR\n\nM. Smith|on 3\n* 5 EUR\n* 2 days|max 5 EUR|5 million of you get 5 EUR",
		"wrong": "6 EUR|50 EUR|5.01 EUR|5,50 €|€50|€5.5|$5|5 USD|USD 5|5 dollars|US$5|£5|5 £|¥5|5 pounds|5 CHF|5 kr|4–5 €|5–10 €|€5-10|€5k|€5m|5 %|100% sure|12.5 percent|" +
			"5 per cent|%50|500 basis points|5000 €|5 000 €|5.000 EUR and 5,000.00 EUR|1'000 EUR|€1,234.56|0,005 EUR|0.005 EUR|5 cents|٦ €|５０€|6,- €|6-euro|5 EUR and 6 EUR|EUR 5 and 6 USD|EUR 6 EUR 5|50€|6 ₾|Sorry: 99,9 Prozent|" +
			"EUR: 50|50 (EUR)|50\nEUR|EUR\u00a0\n50|EUR (50)|50 – EUR|返金EUR50|RUB 50|٥٠٪|50 ٪|50 por cento|" +
			"-5 EUR|−5 EUR|EUR -5|€-5|-€5|get –5 €|1 5 EUR|3 – 5 EUR|5€k|5,000 EUR|5.000 EUR|€5,000|5٫000 EUR and 5٬000 EUR|0.500 EUR|" +
			"€5 million|€5 thousand|5 million EUR|5-million-euro voucher|5 Mio. €|5m €|5k€|k€ 5|5 EUR k|5 EUR\nmillion|5 billion円|€5 ½|5½ €|5²€|⑤€|½ 5 EUR|5 EUR½|3x 5 EUR|3 × 5 EUR|3*€5|½ × 5 EUR|5 EUR x 3",
		"nothing": "|5|5 of us|in 2026|5 minutes|24/7|call 030 5550|5 servers in Europe|5 try|all 5|try 5 times|the top 5|cup 5|ALL 3 films|TOP 10|CUP 2026|€|EUR|a euro|no % here|no % 5 here|100 percentage|5 centuries|https://example.com/%20|" +
			"Version 5.00|12:30|Fr 5.12.|five euros",
	} {
		for one := range strings.SplitSeq(want, "|") {
			equal(t, one, said(t, euros(5, 0), one), text)
		}
	}
}

func TestAmountsOfOtherCredits(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		credit *goodshipv1.CreditAmount
		text   string
		want   string
	}{
		{in("USD", 5, 0), "$5.00", "right"},
		{in("USD", 5, 0), "US$5", "right"},
		{in("USD", 5, 0), "A$5", "wrong"},
		{in("AUD", 5, 0), "A$5", "right"},
		{in("USD", 0, 500_000_000), "50 cents", "right"},
		{in("USD", 0, 50_000_000), "50 cents", "wrong"},
		{in("USD", 0, 50_000_000), "5¢", "right"},
		{in("EUR", 1000, 0), "1,000 EUR", "right"},
		{in("EUR", 1000, 0), "1.000 EUR", "right"},
		{in("EUR", 1000, 0), "1.000,00 €", "right"},
		{in("EUR", 1000, 0), "€1,000.00", "right"},
		{in("EUR", 1000, 0), "1 000 €", "right"},
		{in("EUR", 1000, 0), "1 000,00 €", "right"},
		{in("CHF", 1000, 0), "CHF 1’000.–", "right"},
		{in("EUR", 1000, 0), "10.00 EUR", "wrong"},
		{in("EUR", 1000, 0), "1 EUR", "wrong"},
		{in("EUR", 1_234_567, 890_000_000), "1,234,567.89 EUR", "right"},
		{in("EUR", 1_234_567, 890_000_000), "1.234.567,89 EUR", "right"},
		{in("EUR", 1_234_567, 0), "1.234.567 EUR", "right"},
		{in("EUR", 12_345_678, 0), "12345.678 EUR", "wrong"},
		{in("JPY", 500, 0), "500円を返金", "right"},
		{in("JPY", 500, 0), "¥500", "right"},
		{in("JPY", 500, 0), "500元", "wrong"},
		{in("SEK", 50, 0), "50 kr", "right"},
		{in("GEL", 5, 0), "5 ₾", "right"},
		{in("GEL", 5, 0), "GEL 5", "right"},
		{in("TRY", 5, 0), "5 TRY", "right"},
		{in("TRY", 5, 0), "TRY 50", "wrong"},
		{in("USD", 25, 0), "$25,000", "wrong"},
		{in("EUR", 1, 0), "1.000 €", "wrong"},
		{in("JPY", 1, 0), "1,000円", "wrong"},
		{in("JPY", 1000, 0), "1,000円", "right"},
		{in("EUR", 1000, 0), "1٫000 EUR", "wrong"},
		{in("EUR", 1000, 0), "1,000.000 EUR", "wrong"},
		{in("KWD", 1, 0), "1.000 KWD", "right"},
		{in("KWD", 1000, 0), "1.000 KWD", "right"},
		{in("KWD", 1, 500_000_000), "1,500 KWD", "right"},
		{in("KWD", 1, 0), "1.00 KWD", "right"},
		{in("KWD", 1, 0), "1,000,000 KWD", "wrong"},
		{in("EUR", 1, 5_000_000), "1.005 EUR", "right"},
		{share(1250), "12.5 % of your next bill", "right"},
		{share(1250), "12,5%", "right"},
		{share(1250), "12.50 percent", "right"},
		{share(1250), "1,250 basis points", "right"},
		{share(5000), "%50 indirim", "right"},
		{share(5000), "%50k", "wrong"},
		{share(500), "5 %", "right"},
		{share(500), "5.000 %", "wrong"},
		{share(1250), "12 %", "wrong"},
		{share(1250), "125 %", "wrong"},
		{share(500), "5 EUR", "wrong"},
	} {
		equal(t, apology.Words(row.credit)+" said as "+row.text, said(t, row.credit, row.text), row.want)
	}
}

// A number that touches a field is not what it seems.
func TestAmountsBesideFields(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{device}5 EUR", "EUR 5{device}"} {
		if got := checked(t, facts(), text+rest); !strings.Contains(got, "is not the") {
			t.Errorf("%s: got %s", text, got)
		}
	}
	equal(t, "of a field's number", strings.Contains(checked(t, facts(), "{device} x 5 EUR"+rest), "is not the"), true)
	equal(t, "apart", checked(t, facts(), "{device} 5 EUR {device}"+rest), "")
	equal(t, "at the sign", checked(t, facts(), "{device}€5, {credit}"+rest), "")
}

// However an amount is written, the credit's is right and another's is wrong.
func TestEveryWayToWriteAnAmount(t *testing.T) {
	t.Parallel()
	ways := []func(string) string{
		func(n string) string { return n + " EUR" }, func(n string) string { return "EUR " + n }, func(n string) string { return n + "€" },
		func(n string) string { return "€" + n }, func(n string) string { return n + " euros" },
		func(n string) string { return strings.Replace(n, ".", ",", 1) + " €" },
	}
	rapid.Check(t, func(rt *rapid.T) {
		amount := rapid.Int64Range(1, 100_000_000).Draw(rt, "cents")
		other := rapid.OneOf(rapid.Int64Range(1, 100_000_000), rapid.Just(amount*10), rapid.Just(amount*100), rapid.Just(amount+1)).Draw(rt, "other cents")
		way := rapid.SampledFrom(ways).Draw(rt, "way")
		written := euros(other/100, int32(other%100)*10_000_000)
		before, after := rapid.SampledFrom([]string{"", "You get ", "on 3 servers, ", "(", "3 servers: "}).Draw(rt, "before"), rapid.SampledFrom([]string{"", ".", " now", ", 2 days later", ")"}).Draw(rt, "after")
		text := before + way(strings.TrimSuffix(apology.Words(written), " EUR")) + after
		want := "wrong"
		if other == amount {
			want = "right"
		}
		if got := said(t, euros(amount/100, int32(amount%100)*10_000_000), text); got != want {
			rt.Fatalf("%q of %d cents: got %s, want %s", text, amount, got, want)
		}
	})
}

// What we write ourselves is always right.
func TestOurOwnWordsAreRight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		c := share(rapid.Int32Range(1, 10_000).Draw(rt, "points"))
		if rapid.Bool().Draw(rt, "money") {
			code := rapid.SampledFrom([]string{"EUR", "JPY", "KWD", "TRY", "SLE"}).Draw(rt, "currency")
			c = in(code, rapid.Int64Range(0, 1_000_000).Draw(rt, "units"), rapid.Int32Range(1, 999).Draw(rt, "thousandths")*1_000_000)
		}
		if got := said(t, c, apology.Words(c)); got != "right" {
			rt.Fatalf("%s is %s", apology.Words(c), got)
		}
	})
}

// A long text of numbers is checked in no time that grows with its square.
func TestManyNumbers(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("6 ", apology.MaxBytes/4) + strings.Repeat("6€ ", apology.MaxBytes/16)
	got := checked(t, facts(), "{credit}"+rest+text)
	equal(t, "violations that are told", strings.Count(got, ";")+1, 20)
}
