package client

import "context"

// The metadata that says who calls.
const (
	authorizationKey = "authorization"
	actForKey        = "goodship-act-for"
)

type actForContext struct{}

// ActFor returns a context whose calls are made for somebody, `customer/<id>` or `agent/<id>`, with a backend's API key that
// has the scope ACT; it goes before WithActFor. The server refuses a call for an empty name (ACT_FOR_INVALID): it does not
// fall back to the backend itself.
func ActFor(ctx context.Context, person string) context.Context {
	return context.WithValue(ctx, actForContext{}, &person)
}

// actsFor returns for whom a call is made; nil for the credential's own principal.
func (c *Client) actsFor(ctx context.Context) *string {
	if person, ok := ctx.Value(actForContext{}).(*string); ok {
		return person
	}
	return c.actFor
}

type carriedContext struct{}

// carry returns a context whose calls carry a credential.
func carry(ctx context.Context, token string, actFor *string) context.Context {
	md := map[string]string{authorizationKey: "Bearer " + token}
	if actFor != nil {
		md[actForKey] = *actFor
	}
	return context.WithValue(ctx, carriedContext{}, md)
}

// carrier puts what carry gave on the wire. It is no interceptor because gRPC then knows that it is a secret, and refuses to
// send it over a connection that is not safe, however the connection came about.
type carrier struct{ plaintext bool }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (carrier) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	md, _ := ctx.Value(carriedContext{}).(map[string]string)
	return md, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (c carrier) RequireTransportSecurity() bool { return !c.plaintext }
