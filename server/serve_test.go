package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// certificate writes a certificate for 127.0.0.1 and its key, and returns their files and a pool that trusts it.
func certificate(t *testing.T) (cert, key string, trusted *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusted = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trusted.AddCert(parsed)
	return cert, key, trusted
}

// get returns the status and body of a GET.
func get(t *testing.T, client *http.Client, url, credential string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// port is what follows the last colon of an address in the log.
func port(t *testing.T, r *running, listener string) string {
	t.Helper()
	return find(t, listener+`=\S+:(\d+)`, r.stderr.String())
}

// With a certificate the server may be reached from anywhere, and speaks nothing but TLS.
func TestServingWithTLS(t *testing.T) {
	cert, key, trusted := certificate(t)
	r := start(t, t.TempDir(), "--tls-cert", cert, "--tls-key", key, "--rest-address", "0.0.0.0:0")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}}
	address := "127.0.0.1:" + port(t, r, "rest")
	if code, body := get(t, client, "https://"+address+"/v1/workspace", secret.FindString(r.stdout.String())); code != http.StatusOK {
		t.Errorf("over TLS: %d %s", code, body)
	}
	if code, _ := get(t, &http.Client{Transport: &http.Transport{}}, "http://"+address+"/v1/workspace", secret.FindString(r.stdout.String())); code != http.StatusBadRequest {
		t.Errorf("without TLS: %d, want 400", code)
	}
	if strings.Contains(r.stderr.String(), "without TLS") {
		t.Errorf("it warns of what is not so:\n%s", r.stderr)
	}
	if !strings.Contains(r.stdout.String(), "export GOODSHIP=https://127.0.0.1:") {
		t.Errorf("it shows commands that do not reach it:\n%s", r.stdout)
	}
}

// A key of another certificate is one line, before anything is made.
func TestAKeyThatDoesNotFit(t *testing.T) {
	cert, _, _ := certificate(t)
	_, key, _ := certificate(t)
	data := filepath.Join(t.TempDir(), "never")
	err := run(t.Context(), append(args(data), "--tls-cert", cert, "--tls-key", key), nil, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "are no certificate and its key") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("it made its folder")
	}
}

// Without one that is said to be so, and told.
func TestServingBeyondThisMachineWithoutTLS(t *testing.T) {
	r := start(t, t.TempDir(), "--rest-address", "0.0.0.0:0", "--insecure")
	if !strings.Contains(r.stderr.String(), "beyond this machine without TLS") {
		t.Errorf("nothing warns:\n%s", r.stderr)
	}
}

// The flags of limits and proxies reach what they limit.
func TestFlagsReachTheServer(t *testing.T) {
	r := start(t, t.TempDir(), "--rate-per-address", "0.2", "--trusted-proxies", "127.0.0.0/8", "--log-format", "json", "--log-level", "debug")
	var record struct{ Rest string }
	for line := range strings.Lines(r.stderr.String()) {
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: the log is no JSON: %s", err, line)
		}
	}
	client, url := &http.Client{Transport: &http.Transport{}}, "http://"+record.Rest+"/v1/workspace"
	for i, c := range []struct {
		address string
		want    int
	}{{"192.0.2.1", 401}, {"192.0.2.1", 429}, {"192.0.2.2", 401}} {
		if code, body := get(t, client, url, "gsk_wrong", "X-Forwarded-For", c.address); code != c.want {
			t.Errorf("call %d from %s: %d %s, want %d", i, c.address, code, body, c.want)
		}
	}
}

// What OpenTelemetry's variables ask for is wired to what there is to tell.
func TestTelemetryIsWired(t *testing.T) {
	t.Setenv("OTEL_METRICS_EXPORTER", "prometheus")
	r := start(t, t.TempDir())
	client := &http.Client{Transport: &http.Transport{}}
	if code, _ := get(t, client, "http://127.0.0.1:"+port(t, r, "rest")+"/v1/workspace", secret.FindString(r.stdout.String())); code != http.StatusOK {
		t.Errorf("the call ends with %d", code)
	}
	code, metrics := get(t, client, "http://127.0.0.1:"+port(t, r, "admin")+"/metrics", "")
	for _, want := range []string{"rpc_server_", "goodship_store_", "goodship_line_"} {
		if code != http.StatusOK || !strings.Contains(metrics, "\n"+want) {
			t.Errorf("/metrics answers %d, and lacks %s…", code, want)
		}
	}
}

// process is the program as a process of its own.
type process struct {
	*os.Process
	stdout, stderr *buffer
	// ended gets what Wait returned.
	ended chan error
}

// startProcess starts the program, and returns when it serves.
func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{stdout: newBuffer(), stderr: newBuffer(), ended: make(chan error, 1)}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), asServer+"=1"), env...)
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Process = cmd.Process
	go func() { p.ended <- cmd.Wait() }()
	for !p.stderr.serving() {
		select {
		case <-p.stderr.heard:
		case err := <-p.ended:
			t.Fatalf("%v\n%s", err, p.stderr)
		}
	}
	return p
}

// Spans are sent before the process ends.
func TestTracesAreFlushed(t *testing.T) {
	p := startProcess(t, []string{"OTEL_TRACES_EXPORTER=console"}, args(t.TempDir())...)
	key, url := p.stdout.await(secret), find(t, `GOODSHIP=(\S+)`, p.stdout.String())
	if code, _ := get(t, &http.Client{Transport: &http.Transport{}}, url+"/v1/workspace", key); code != http.StatusOK {
		t.Errorf("the call ends with %d", code)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(p.stdout.String(), "AdminService/GetWorkspace") {
		t.Errorf("no span of the call:\n%s", p.stdout)
	}
}

// A killed server leaves its socket and its lock behind, which are in nobody's way.
func TestAfterAKill(t *testing.T) {
	data := t.TempDir()
	p := startProcess(t, nil, args(data)...)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err == nil {
		t.Fatal("it was not killed")
	}
	if _, err := os.Stat(filepath.Join(data, socketName)); err != nil {
		t.Fatalf("there is no socket to be in the way: %v", err)
	}
	if got := do(t, data, "workspaces", "list"); !strings.Contains(got, "My product") {
		t.Errorf("without a server: %s", got)
	}
	start(t, data)
	if got := do(t, data, "workspaces", "list"); !strings.Contains(got, "My product") {
		t.Errorf("beside a server: %s", got)
	}
}

// nobody is a user who is not root.
const nobody = 65534

// unprivileged returns the program as a command of somebody who may not write everywhere, and a folder that they may enter.
func unprivileged(t *testing.T) (command func(args ...string) *exec.Cmd, folder string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "gs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	program := filepath.Join(folder, "server")
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.Env = folder, append(os.Environ(), asServer+"=1")
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		return cmd
	}, folder
}

// A folder that one may not write to, or not look into, is one line.
func TestPermissions(t *testing.T) {
	command, folder := unprivileged(t)
	for name, mode := range map[string]os.FileMode{"fixed": 0o500, "closed": 0o000} {
		err := os.Mkdir(filepath.Join(folder, name), mode)
		if os.Geteuid() == 0 {
			err = errors.Join(err, os.Chown(filepath.Join(folder, name), nobody, nobody))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{args("fixed"), "the data folder fixed is not writable: change its owner, or choose another with --data"},
		{args("fixed/below"), "the data folder cannot be made"},
		{args("closed"), "the data folder closed is not writable: change its owner, or choose another with --data"},
		{[]string{"--data", "closed", "keys", "list"}, "do this as its owner, as whom the server runs"},
		{[]string{"--data", "fixed", "restore", "server"}, "this is no backup"},
	} {
		cmd := command(c.args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if text := stderr.String(); err == nil || cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 ||
			!strings.HasPrefix(text, "goodship: ") || !strings.Contains(text, c.want) || strings.Count(text, "\n") != 1 {
			t.Errorf("%v: %v, %q, want one line with %q", c.args, err, text, c.want)
		}
	}
}

// A call that does not end is waited for as long as the flag says.
func TestTheDrainTimeoutIsTheFlags(t *testing.T) {
	data := t.TempDir()
	p := startProcess(t, nil, append(args(data), "--drain-timeout", "50ms")...)
	fill(t, p.stdout, p.stderr)
	backup, err := goodshipv1.NewOperatorServiceClient(dial(t, "unix:"+filepath.Join(data, socketName))).BackupStore(t.Context(), &goodshipv1.BackupStoreRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Recv(); err != nil { // and no more: the server waits until it may send
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err == nil || !strings.Contains(p.stderr.String(), "goodship: calls took longer than 50ms and were ended") {
		t.Errorf("it ends with %v:\n%s", err, p.stderr)
	}
}
