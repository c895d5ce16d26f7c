package telemetry_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
)

const (
	alerts     = "../../docs/operating/alerts.yaml"
	alertsTest = "../../docs/operating/alerts_test.yaml"
	dashboard  = "../../docs/operating/dashboard.json"
)

// program finds one of Prometheus's, which `make test` provides.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI has %s, and yet: %v", name, err)
		}
		t.Skipf("%v: `make test` provides it", err)
	}
	return path
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "promtool"), args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", cmd, err, out)
	}
}

// TestAlerts holds the alert rules to their own tests: each fires when it should.
func TestAlerts(t *testing.T) {
	promtool(t, "check", "rules", alerts)
	promtool(t, "test", "rules", alertsTest)
	rules, tests := read(t, alerts), read(t, alertsTest)
	names := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(names) == 0 {
		t.Fatal("there are no alerts")
	}
	for _, name := range names {
		// Once to be silent and once to fire.
		if n := strings.Count(tests, "alertname: "+name[1]+"\n"); n < 2 {
			t.Errorf("%s is tested %d times, want 2", name[1], n)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expressions returns the expressions of the dashboard's panels, with values in the place of Grafana's variables.
func expressions(t *testing.T) []string {
	t.Helper()
	var board struct {
		Panels []struct {
			ID      int
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &board); err != nil {
		t.Fatal(err)
	}
	var all []string
	seen := map[int]bool{}
	for _, p := range board.Panels {
		if p.ID == 0 || seen[p.ID] {
			t.Errorf("the panel id %d is 0 or given twice", p.ID)
		}
		seen[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d shows nothing", p.ID)
		}
		for _, target := range p.Targets {
			all = append(all, strings.NewReplacer("$__rate_interval", "5m", "$workspace", ".*", "$instance", ".*").Replace(target.Expr))
		}
	}
	return all
}

// TestDashboard has every expression of the dashboard pass as a rule.
func TestDashboard(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range expressions(t) {
		fmt.Fprintf(&rules, "  - record: panel:%d\n    expr: %s\n", i, strconv.Quote(e))
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// names are those of metrics and labels of ours.
var names = regexp.MustCompile(`\b(goodship|rpc|http)_[a-z0-9_]+\b`)

// TestAlertsAndDashboardNameWhatThereIs holds the names in both, of metrics and labels, to what a server serves.
func TestAlertsAndDashboardNameWhatThereIs(t *testing.T) {
	environment(t, "OTEL_METRICS_EXPORTER=prometheus")
	c := newClock()
	s := serve(t, start(t, t.Output()), servertest.WithClock(c))
	play(t, s, c)
	there := names.FindAllString(scrape(t, s), -1)
	for _, text := range append(expressions(t), read(t, alerts)) {
		used := names.FindAllString(text, -1)
		if len(used) == 0 {
			t.Errorf("%s names no metric", text)
		}
		for _, name := range used {
			if !slices.Contains(there, name) {
				t.Errorf("there is no %s, which stands in %s", name, text)
			}
		}
	}
}

// TestOperatingSaysWhatThereIs holds docs/operating.md to the metrics and the alerts, and these to the document.
func TestOperatingSaysWhatThereIs(t *testing.T) {
	environment(t, "OTEL_METRICS_EXPORTER=prometheus")
	c := newClock()
	s := serve(t, start(t, t.Output()), servertest.WithClock(c))
	play(t, s, c)
	document := read(t, "../../docs/operating.md")
	said, there, labels := map[string]bool{}, map[string]bool{}, names.FindAllString(scrape(t, s), -1)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.]+\\.[a-z_.]+)` \\| (histogram|counter|gauge)(, s)? \\|([^|]*)\\|").FindAllStringSubmatch(document, -1) {
		name := strings.ReplaceAll(row[1], ".", "_")
		if row[3] != "" {
			name += "_seconds"
		}
		said[name] = true
		for _, attribute := range regexp.MustCompile("`((goodship|rpc|http)\\.[a-z_.]+)`").FindAllStringSubmatch(row[4], -1) {
			if label := strings.ReplaceAll(attribute[1], ".", "_"); !slices.Contains(labels, label) {
				t.Errorf("%s has no %s", name, label)
			}
		}
	}
	for _, kind := range regexp.MustCompile(`(?m)^# TYPE ((goodship|rpc|http)_\S+) `).FindAllStringSubmatch(scrape(t, s), -1) {
		there[kind[1]] = true
	}
	if !maps.Equal(said, there) {
		t.Errorf("the document has the metrics %v, the server %v", said, there)
	}
	for _, name := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(t, alerts), -1) {
		if !strings.Contains(document, "| `"+name[1]+"` |") {
			t.Errorf("the document lacks the alert %s", name[1])
		}
	}
}

// TestAFullStoreIsScraped fills a real file: /metrics answers, and says of the store that it takes no writes.
func TestAFullStoreIsScraped(t *testing.T) {
	environment(t, "OTEL_METRICS_EXPORTER=prometheus")
	observed := start(t, t.Output())
	kept, err := bolt.Open(filepath.Join(t.TempDir(), "goodship.db"), bolt.Options{MaxSize: 256 << 10, Log: slog.New(observed.Log)})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close() //nolint:errcheck // it is full
	svc, err := support.New(kept, support.Options{MeterProvider: observed.MeterProvider})
	if err != nil {
		t.Fatal(err)
	}
	operator := support.WithCaller(t.Context(), support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR})
	for range 1000 {
		if _, err = svc.CreateWorkspace(operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "Ship"}); err != nil {
			break
		}
	}
	if !errors.Is(svc.Ready(), store.ErrFull) {
		t.Fatalf("the store is not full: %v", err)
	}
	reply := httptest.NewRecorder()
	observed.Metrics.ServeHTTP(reply, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", http.NoBody))
	for _, want := range []string{"\ngoodship_store_ready 0\n", "\ngoodship_line_length{"} {
		if reply.Code != http.StatusOK || !strings.Contains(reply.Body.String(), want) {
			t.Errorf("got %d, without %q: %s", reply.Code, want, reply.Body)
		}
	}
}

// collector is a Prometheus that runs until the end of the test.
type collector struct{ url string }

// newCollector starts a Prometheus that scrapes a server and has the alert rules.
func newCollector(t *testing.T, s *servertest.Server) collector {
	t.Helper()
	binary := program(t, "prometheus")
	rules, err := filepath.Abs(alerts)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	config := filepath.Join(folder, "prometheus.yaml")
	text := fmt.Sprintf("global: {scrape_interval: 200ms, evaluation_interval: 200ms}\nrule_files: [%q]\n"+
		"scrape_configs: [{job_name: goodship, static_configs: [{targets: [%q]}]}]\n", rules, strings.TrimPrefix(s.Admin, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address=127.0.0.1:0", "--enable-feature=exemplar-storage")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tell(t, stderr, address)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("prometheus: %v", err)
		}
	})
	select {
	case a := <-address:
		return collector{"http://" + a}
	case <-ended:
		t.Fatal("prometheus ended before it listened")
		return collector{}
	}
}

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// tell passes Prometheus's log on, and the address that it says.
func tell(t *testing.T, log io.Reader, address chan<- string) {
	for lines := bufio.NewScanner(log); lines.Scan(); {
		_, _ = fmt.Fprintln(t.Output(), lines.Text())
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			address <- found[1]
		}
	}
}

// ask asks Prometheus until the answer is enough. Each question waits for a scrape or an evaluation, which nothing tells of.
func (c collector) ask(t *testing.T, path string, query url.Values, answer any, enough func() bool) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	var text []byte
	for begun := time.Now(); time.Since(begun) < patience; <-again.C {
		req, err := http.NewRequestWithContext(t.Context(), "GET", c.url+path+"?"+query.Encode(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusServiceUnavailable { // not ready yet
			continue
		}
		if err := json.Unmarshal(text, answer); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if enough() {
			return
		}
	}
	t.Errorf("%s %v: got %s", path, query, text)
}

// value asks for the value of an expression until it is the one that is wanted.
func (c collector) value(t *testing.T, expression string, want string) {
	t.Helper()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	c.ask(t, "/api/v1/query", url.Values{"query": {expression}}, &answer, func() bool {
		return len(answer.Data.Result) == 1 && answer.Data.Result[0].Value[1] == want
	})
}

// TestPrometheus has a real one scrape a real server.
func TestPrometheus(t *testing.T) {
	environment(t, "OTEL_METRICS_EXPORTER=prometheus")
	now := newClock()
	s := serve(t, start(t, t.Output()), servertest.WithClock(now))
	c := newCollector(t, s)
	c.value(t, `up{job="goodship"}`, "1")
	play(t, s, now)
	now.Jump(time.Hour) // and the one who waits waits on

	// Of the two waits one is between 60 and 120 s, and one between 300 and 600 s.
	const quantile = `histogram_quantile(%s, sum by (le) (goodship_wait_duration_seconds_bucket))`
	c.value(t, fmt.Sprintf(quantile, "0.25"), "90")
	c.value(t, fmt.Sprintf(quantile, "0.75"), "450")
	c.value(t, `sum(goodship_promises_total{goodship_promise_state="kept"})`, "1")
	c.value(t, `round(goodship_line_oldest_wait_seconds)`, "3630")
	c.value(t, `goodship_store_ready`, "1")

	var exemplars struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	at := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	c.ask(t, "/api/v1/query_exemplars", url.Values{"query": {"goodship_wait_duration_seconds_bucket"}, "start": {at(-time.Hour)}, "end": {at(time.Hour)}},
		&exemplars, func() bool { return len(exemplars.Data) == 2 })
	for _, series := range exemplars.Data {
		if got := series.Exemplars[0].Labels["trace_id"]; got != callersTrace {
			t.Errorf("the exemplar's trace is %q, want %s", got, callersTrace)
		}
	}

	type alert struct{ Labels map[string]string }
	var firing struct{ Data struct{ Alerts []alert } }
	c.ask(t, "/api/v1/alerts", nil, &firing, func() bool {
		return slices.ContainsFunc(firing.Data.Alerts, func(a alert) bool { return a.Labels["alertname"] == "GoodshipCustomersWait" }) // beside others, where the disk is slow
	})
	c.rulesAreWell(t)
}

// rulesAreWell checks that every rule was evaluated.
func (c collector) rulesAreWell(t *testing.T) {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	c.ask(t, "/api/v1/rules", nil, &answer, func() bool { return len(answer.Data.Groups) == 1 })
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			if rule.Health != "ok" {
				t.Errorf("%s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
		}
	}
}
