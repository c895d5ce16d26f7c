package telemetry

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/propagation"
)

// OpenTelemetry itself goes on where it cannot read a variable, with a default that nobody chose. What is read here is what
// docs/operating.md names.

// setting returns what a variable says; empty if nothing.
func setting(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// disabled reports whether everything is switched off.
func disabled() (bool, error) {
	switch s := strings.ToLower(setting("OTEL_SDK_DISABLED")); s {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("OTEL_SDK_DISABLED is %q: give true or false", s)
	}
}

// exporterOf returns the exporter of a signal; empty if the signal is off.
func exporterOf(signal string) string {
	switch name := os.Getenv("OTEL_" + signal + "_EXPORTER"); {
	case name == "none":
		return ""
	case name != "":
		return name
	case os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != "":
		return "otlp"
	}
	return ""
}

// checkSignal returns nil if what a signal goes by can be followed, as far as its exporter does not say so itself.
func checkSignal(signal, exporter string) error {
	if exporter == "otlp" {
		for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT"} {
			if err := checkEndpoint(name); err != nil {
				return err
			}
		}
	}
	if signal == "TRACES" {
		return checkSampler()
	}
	return nil
}

// checkEndpoint returns nil for a URL, or for nothing. A name and a port alone read as a URL too, of the scheme `collector`.
func checkEndpoint(name string) error {
	s := setting(name)
	u, err := url.Parse(s)
	if s == "" || err == nil && (u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") || u.Scheme == "unix") {
		return nil
	}
	return fmt.Errorf("%s is %q, which is no URL: begin it with http:// or https://, as in http://127.0.0.1:4317", name, s)
}

var samplers = []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}

// checkSampler returns nil if the sampler is known, and its ratio one.
func checkSampler() error {
	const name = "OTEL_TRACES_SAMPLER"
	s, ratio := strings.ToLower(setting(name)), setting(name+"_ARG")
	if s != "" && !slices.Contains(samplers, s) {
		return fmt.Errorf("%s is %q, which there is none of: choose one of %s", name, s, strings.Join(samplers, ", "))
	}
	if ratio == "" || !strings.HasSuffix(s, "traceidratio") {
		return nil
	}
	if r, err := strconv.ParseFloat(ratio, 64); err != nil || !(r >= 0 && r <= 1) { // and not if it is no number
		return fmt.Errorf("%s_ARG is %q: give the share of traces to keep, from 0 to 1, as in 0.1", name, ratio)
	}
	return nil
}

// propagator returns what reads from a call which trace it is a part of.
func propagator() (propagation.TextMapPropagator, error) {
	names := setting("OTEL_PROPAGATORS")
	if names == "" {
		return propagation.TraceContext{}, nil
	}
	p, err := autoprop.TextMapPropagator(strings.Split(names, ",")...)
	if err != nil {
		return nil, fmt.Errorf("OTEL_PROPAGATORS is %q (%w): choose, with commas and no spaces, of tracecontext, baggage, b3, b3multi, jaeger, xray, ottrace; or none", names, err)
	}
	return p, nil
}
