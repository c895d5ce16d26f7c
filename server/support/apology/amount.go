package apology

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"golang.org/x/text/currency"
)

// amount is an amount of money or a percentage that a text says in numerals.
type amount struct {
	// text is how it says it.
	text string
	// right is whether it is the credit.
	right bool
}

var (
	// numeral is digits with separators, or in groups of three with spaces; two of them with a dash are a range. Other
	// numbers are part of it: `5 ½`, `⑤`.
	numeral = regexp.MustCompile(`(?:\p{Nd}{1,3}(?:\p{Zs}\p{Nd}{3})+(?:[.,٫]\p{Nd}+)?\b|\p{Nd}+(?:[.,'’٫٬]\p{Nd}+)*)(?:[-–]\p{Nd}[\p{Nd}.,]*)?(?:\p{Zs}*\p{No}[\p{Nd}\p{No}]*)?|\p{No}[\p{Nd}\p{No}]*`)
	// before and after are a sign or a word beside a number: `EUR 5`, `US$5`, `5-euro`, `5,– €`, `5 (EUR)`.
	before = regexp.MustCompile(`(\p{Latin}*\p{Sc}|\p{Latin}+|[%％٪])(` + between + `)$`)
	after  = regexp.MustCompile(`^(?:[.,][-–—])?(` + between + `)(\p{Latin}*\p{Sc}|[円元]|(?i:per cent|pour cent|por ciento|por cento|basis points?)|\p{Latin}+|[%％٪])`)
	// suffix is what makes another number of one that it stands right behind: `€5k`.
	suffix = regexp.MustCompile(`^\p{Latin}+\p{Sc}?`)
	// link is what no number is looked for in: `%20`.
	link = regexp.MustCompile(`[a-zA-Z]+://\S+`)
)

// between may stand between a number and its mark: spaces, dashes, brackets, a sign, a colon.
const between = `[\s\p{Zs}\p{Cf}\p{Pd}\p{Ps}\p{Pe}−+:]*`

// amounts returns the amounts and percentages in a text: the numbers beside a sign or a word for money or a share. It knows no
// numbers in words, and of the words for money in other languages only those of marks.
func amounts(text string, c *goodshipv1.CreditAmount) []amount {
	text = link.ReplaceAllString(text, gap)
	var all []amount
	taken := 0 // up to where a number has its sign already
	for _, at := range numeral.FindAllStringIndex(text, -1) {
		n := reading{text: text, begin: at[0], end: at[1], own: c.GetMoney().GetCurrencyCode()}
		m, begin, end := n.markBefore(taken)
		if m == nil {
			if m, begin, end = n.markAfter(); m == nil {
				continue
			}
		}
		taken = end
		right := !n.touched(begin, end) && m.of(c) && slices.Contains(values(text[at[0]:at[1]], c), m.value(c))
		all = append(all, amount{text[begin:end], right})
	}
	return all
}

// reading is a number at its place in a text.
type reading struct {
	text       string
	begin, end int
	// own is the credit's currency.
	own string
}

// window is how many bytes before a number are looked at.
const window = 64

// markBefore returns the mark that stands before the number, not before a place, and from where to where both are. A
// percent sign stands right before it.
func (n reading) markBefore(from int) (m *mark, begin, end int) {
	from = max(from, n.begin-window)
	at := before.FindStringSubmatchIndex(n.text[from:n.begin])
	if at == nil {
		return nil, 0, 0
	}
	m = n.markOf(n.text[from+at[2] : from+at[3]])
	if m != nil && m.currencies == nil && at[4] < at[5] {
		return nil, 0, 0
	}
	return m, from + at[2], n.end
}

// markAfter returns the mark that stands after the number, or after what multiplies it. One that stands at the next number belongs to that.
func (n reading) markAfter() (m *mark, begin, end int) {
	end = n.end
	if at := multiplier.FindStringSubmatchIndex(n.text[end:]); at != nil {
		end += at[3]
	}
	rest := n.text[end:]
	at := after.FindStringSubmatchIndex(rest)
	if at == nil {
		return nil, 0, 0
	}
	next, _ := utf8.DecodeRuneInString(rest[at[5]:])
	if unicode.IsDigit(next) {
		return nil, 0, 0
	}
	return n.markOf(rest[at[4]:at[5]]), n.begin, end + at[5]
}

// touched reports whether something makes another amount of the number and its mark, which are from begin to end.
func (n reading) touched(begin, end int) bool {
	if leading.MatchString(n.text[max(0, n.begin-window):n.begin]) || leadingMark.MatchString(n.text[max(0, begin-window):begin]) {
		return true
	}
	if multiplier.MatchString(n.text[begin:]) || multiplier.MatchString(n.text[n.end:]) {
		return true
	}
	word := suffix.FindString(n.text[end:])
	return (end > n.end || word == "" || n.markOf(word) == nil) && trailing.MatchString(n.text[end:])
}

const (
	// digits are what a number may begin or end with, blanks what may stand between it and what changes it.
	digits = `\p{Nd}\p{No}`
	blanks = `[\t\p{Zs}\p{Cf}]*`
	// times stands between two factors.
	times = blanks + `[xX×*]` + blanks
	// changes are what makes another amount of one even in front of its mark: dashes that are no hyphens, and a factor.
	changes = `(?:(?:^|\P{L})[-‐‑‒–−－]|[` + digits + gap + `]` + times + `)`
	// multiplies is a word or a letter that multiplies the number in front of it, also on the next line.
	multiplies = `((?:[-‐‑]|` + blanks + `(?:\r?\n` + blanks + `)?)(?i:millions?|thousands?|billions?|mio|mrd|tsd|bn|k|m)\.?)(?:\P{Latin}|$)`
	// leads and trails are what makes another amount of one that it stands beside: `5 -`, `1.`, `k`, `million`, a field.
	leads  = `(?:[` + digits + `](?:[.,'’٫٬]+|[\t\p{Zs}\p{Cf}\p{Pd}−]*)|[` + gap + place + `]|` + changes + `)`
	trails = `(?:\p{Cf}*[` + digits + `\p{Lu}\p{Ll}` + gap + place + `]|` + times + `[` + digits + gap + `]|` + multiplies + `)`
)

var (
	leadingMark = regexp.MustCompile(changes + `$`)
	leading     = regexp.MustCompile(leads + `$`)
	trailing    = regexp.MustCompile(`^` + trails)
	multiplier  = regexp.MustCompile(`^` + multiplies)
	// touching is something like that beside the credit.
	touching = regexp.MustCompile(leads + place + `|` + place + trails)
)

// values returns what a number may mean, as decimals without needless zeros. Three digits behind the only separator are a group,
// `1,000` is 1000; where the credit has three decimals, it may be 1 as well. What a range or another number than of
// decimal digits means is none.
func values(numeral string, c *goodshipv1.CreditAmount) []string {
	s := strings.Map(plain, numeral)
	separators := strings.NewReplacer(".", "", ",", "")
	if whole, fraction, ok := strings.Cut(s, "٫"); ok {
		return []string{decimal(separators.Replace(whole), fraction)}
	}
	last := strings.LastIndexAny(s, ".,")
	if last < 0 {
		return []string{decimal(s, "")}
	}
	whole, fraction := separators.Replace(s[:last]), s[last+1:]
	if strings.Count(s, s[last:last+1]) > 1 {
		return []string{decimal(whole+fraction, "")}
	}
	var all []string
	if _, decimals, _ := strings.Cut(number(c), "."); len(fraction) != 3 || len(decimals) == 3 {
		all = append(all, decimal(whole, fraction))
	}
	if len(fraction) == 3 && len(whole) <= 3 && whole[0] != '0' {
		all = append(all, decimal(whole+fraction, ""))
	}
	return all
}

// plain writes a number in ASCII without spaces and apostrophes.
func plain(r rune) rune {
	switch {
	case r == '٬', r == '\'', r == '’', unicode.IsSpace(r):
		return -1
	case unicode.Is(unicode.Nd, r):
		return '0' + digit(r)
	}
	return r
}

// digit returns the value of a decimal digit. Unicode has them in tens, from 0 to 9.
func digit(r rune) rune {
	if r < utf8.RuneSelf {
		return r - '0'
	}
	first := r
	for unicode.Is(unicode.Nd, first-1) {
		first--
	}
	return (r - first) % 10
}

// decimal returns a number without needless zeros.
func decimal(whole, fraction string) string {
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	return trimZeros(whole + "." + fraction)
}

// mark is a sign or a word that makes money or a share of a number.
type mark struct {
	// currencies are those that it may stand for; nil if it is a share. What stands for any has one that is empty.
	currencies []string
	// parts is how many of its units make one whole: 100 for cents.
	parts int64
}

// of reports whether a credit may be said with it.
func (m *mark) of(c *goodshipv1.CreditAmount) bool {
	if c.GetMoney() == nil {
		return m.currencies == nil
	}
	return slices.Contains(m.currencies, c.GetMoney().CurrencyCode) || slices.Contains(m.currencies, "")
}

// value returns the number that says the credit in units of the mark.
func (m *mark) value(c *goodshipv1.CreditAmount) string {
	whole, fraction, _ := strings.Cut(number(c), ".")
	for parts := m.parts; parts > 1; parts /= 10 {
		if fraction == "" {
			fraction = "0"
		}
		whole, fraction = whole+fraction[:1], fraction[1:]
	}
	return decimal(whole, fraction)
}

// markOf returns what a sign or a word marks, nil if nothing.
func (n reading) markOf(s string) *mark {
	if m, ok := marks[strings.ToLower(s)]; ok {
		return &m
	}
	if last, size := utf8.DecodeLastRuneInString(s); unicode.Is(unicode.Sc, last) {
		if m, ok := marks[s[len(s)-size:]]; ok {
			return &m
		}
		return &mark{[]string{""}, 1}
	}
	if _, err := currency.ParseISO(s); s == n.own || err == nil && s == strings.ToUpper(s) && !slices.Contains(words, s) {
		return &mark{[]string{s}, 1}
	}
	return nil
}

// marks are signs and words, in lower case. The codes of currencies are in capitals elsewhere, since many are words too.
var marks = map[string]mark{
	"%": {nil, 1}, "％": {nil, 1}, "٪": {nil, 1}, "percent": {nil, 1}, "pct": {nil, 1}, "per cent": {nil, 1}, "pour cent": {nil, 1}, "por ciento": {nil, 1}, "por cento": {nil, 1},
	"prozent": {nil, 1}, "procent": {nil, 1}, "percento": {nil, 1},
	"basis point": {nil, 100}, "basis points": {nil, 100}, "bps": {nil, 100},
	"€": {euro, 1}, "eur": {euro, 1}, "euro": {euro, 1}, "euros": {euro, 1},
	"$": {dollars, 1}, "usd": {[]string{"USD"}, 1}, "dollar": {dollars, 1}, "dollars": {dollars, 1}, "bucks": {dollars, 1},
	"us$": {[]string{"USD"}, 1}, "a$": {[]string{"AUD"}, 1}, "au$": {[]string{"AUD"}, 1}, "c$": {[]string{"CAD"}, 1}, "ca$": {[]string{"CAD"}, 1},
	"hk$": {[]string{"HKD"}, 1}, "nz$": {[]string{"NZD"}, 1}, "s$": {[]string{"SGD"}, 1}, "mx$": {[]string{"MXN"}, 1}, "r$": {[]string{"BRL"}, 1}, "nt$": {[]string{"TWD"}, 1},
	"cent": {cents, 100}, "cents": {cents, 100}, "ct": {cents, 100}, "¢": {dollars, 100},
	"£": {pounds, 1}, "gbp": {[]string{"GBP"}, 1}, "pound": {pounds, 1}, "pounds": {pounds, 1}, "pence": {pounds, 100},
	"¥": {[]string{"JPY", "CNY"}, 1}, "￥": {[]string{"JPY", "CNY"}, 1}, "yen": {[]string{"JPY"}, 1}, "円": {[]string{"JPY"}, 1}, "yuan": {[]string{"CNY"}, 1}, "元": {[]string{"CNY", "TWD"}, 1},
	"₹": {[]string{"INR"}, 1}, "rupees": {[]string{"INR", "PKR", "LKR", "NPR", "MUR"}, 1},
	"chf": {[]string{"CHF"}, 1}, "francs": {[]string{"CHF", "XAF", "XOF"}, 1}, "franken": {[]string{"CHF"}, 1},
	"kr": {[]string{"SEK", "NOK", "DKK", "ISK"}, 1}, "zł": {[]string{"PLN"}, 1}, "kč": {[]string{"CZK"}, 1}, "₺": {[]string{"TRY"}, 1},
}

// words are codes of currencies that are words too, also in capitals: they are meant where the credit is in them.
var words = []string{"ALL", "BAM", "COP", "CUP", "GEL", "MAD", "MOP", "PEN", "SOS", "TOP", "TRY"}

var (
	euro    = []string{"EUR"}
	dollars = []string{"USD", "AUD", "CAD", "HKD", "NZD", "SGD", "MXN", "TWD", "BRL", "ARS", "CLP", "COP"}
	cents   = append([]string{"EUR"}, dollars...)
	pounds  = []string{"GBP", "EGP", "GIP", "FKP", "SHP"}
)
