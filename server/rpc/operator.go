package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// operators returns how operators are known, at their own door: by reaching the socket, which the file system lets nobody
// else do, or by the operator's key. Over the socket the key may be left out, and if it is sent it must be right: who sends
// another credential takes themselves for somebody else. Without a key (empty) the socket is the only way.
func operators(svc Service, key string) func(context.Context) (support.Caller, error) {
	return func(ctx context.Context) (support.Caller, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		credential := md.Get(authorizationKey)
		if len(credential) > 0 || !overSocket(ctx) {
			token, err := bearer(credential)
			if err != nil {
				return support.Caller{}, err
			}
			if !sameKey(token, key) {
				return support.Caller{}, fault.New(codes.Unauthenticated, goodshipv1.ErrorReason_ERROR_REASON_CREDENTIAL_INVALID,
					"This is not the operator's key. Send that of the file operator.key in the data folder, or come over the socket there without one.")
			}
		}
		actFor, err := actFor(md.Get(actForKey))
		if err != nil {
			return support.Caller{}, err
		}
		return svc.Operator(ctx, actFor)
	}
}

// overSocket reports whether a call came over a Unix socket. One that came over HTTP has an address of TCP, whatever
// its listener.
func overSocket(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	return ok && p.Addr != nil && p.Addr.Network() == "unix"
}

// sameKey compares in a time that tells nothing of the key, not even its length.
func sameKey(got, key string) bool {
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(key))
	return key != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
