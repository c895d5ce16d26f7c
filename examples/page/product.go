package main

import (
	"embed"
	"encoding/json"
	"html/template"
	"log"
	"net/http"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

//go:embed index.html page.css page.js goodship.js
var files embed.FS

var page = template.Must(template.ParseFS(files, "index.html"))

// Who is signed in, for want of a log-in.
const (
	customer = "lieutenant"
	agent    = "captain"
)

// product answers the browser.
type product struct {
	goodship *client.Client
	// host is its own, as in localhost:8000, and rest where the page finds Goodship.
	host, rest string
	log        *log.Logger
}

// newProduct returns what serves the page and its tokens.
func newProduct(goodship *client.Client, host, rest string, log *log.Logger) http.Handler {
	p := &product{goodship, host, rest, log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.page)
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("POST /token", p.token)
	return p.secure(http.NewCrossOriginProtection().Handler(mux))
}

// secure lets the page run its own scripts and call itself and Goodship, nothing else, and refuses other names for this
// machine, under which a stranger's page would be of the same origin.
func (p *product) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != p.host {
			http.Error(w, "This is http://"+p.host+".", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' "+p.rest+
			"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// page tells the page where Goodship is.
func (p *product) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, p.rest) // it fails only when nobody reads any more
}

// signedIn returns what a token is asked for with. THIS IS A DEMO: take the person from your own session, never from what a
// page says, or everybody reads what others wrote.
func signedIn(r *http.Request) *goodshipv1.CreateTokenRequest {
	if r.FormValue("as") == "agent" {
		return &goodshipv1.CreateTokenRequest{AgentId: agent}
	}
	return &goodshipv1.CreateTokenRequest{CustomerId: customer}
}

// token gives the page a token of who is signed in: in a reply's body, never in a URL.
func (p *product) token(w http.ResponseWriter, r *http.Request) {
	person := signedIn(r)
	made, err := p.goodship.CreateToken(r.Context(), person)
	if err != nil {
		p.log.Printf("no token: %v", err)
		http.Error(w, "There is no token now. Try again.", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"token": made.GetToken(), "agentId": person.GetAgentId()})
}
