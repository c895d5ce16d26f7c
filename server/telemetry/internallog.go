package telemetry

import (
	"context"
	"log/slog"
)

// internalLog is the server's log for what OpenTelemetry says of itself. Its warnings come as V(1) of logr, which slog has
// below INFO; and it quotes what it cannot read, which may be a header with a credential.
type internalLog struct{ slog.Handler }

func levelOf(l slog.Level) slog.Level {
	if l == -1 {
		return slog.LevelWarn
	}
	return l
}

// Enabled implements slog.Handler.
func (l internalLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.Handler.Enabled(ctx, levelOf(level))
}

// Handle takes a record.
func (l internalLog) Handle(ctx context.Context, r slog.Record) error {
	kept := slog.NewRecord(r.Time, levelOf(r.Level), "OpenTelemetry says: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "input" && a.Key != "value" {
			kept.AddAttrs(a)
		}
		return true
	})
	return l.Handler.Handle(ctx, kept)
}

// WithAttrs implements slog.Handler.
func (l internalLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return internalLog{l.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l internalLog) WithGroup(name string) slog.Handler {
	return internalLog{l.Handler.WithGroup(name)}
}
