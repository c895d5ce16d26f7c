package client

import (
	"encoding/json"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// object is a JSON object.
type object map[string]any

// serviceConfig returns what gRPC itself does for the calls of a Client, as gRPC's service config in JSON. The pauses bridge
// a server's restart: gRPC connects again about 1 and 2.6 seconds after the first failure. The server's
// grpc-retry-pushback-ms goes before them. A client whose retries do not help makes no more of them once fifty have failed,
// until calls succeed again, ten for each.
func serviceConfig() string {
	config, err := json.Marshal(object{
		"methodConfig": []object{{
			"name": retriedMethods(),
			"retryPolicy": object{
				"maxAttempts":          4,
				"initialBackoff":       "0.25s",
				"backoffMultiplier":    4,
				"maxBackoff":           "4s",
				"retryableStatusCodes": []string{"UNAVAILABLE", "RESOURCE_EXHAUSTED"},
			},
		}},
		"retryThrottling": object{"maxTokens": 100, "tokenRatio": 0.1},
	})
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(config)
}

// retriedMethods returns the methods of the API that may be called again, as a service config names them.
func retriedMethods() []object {
	var names []object
	for service := range services {
		for i := range service.Methods().Len() {
			if m := service.Methods().Get(i); repeatable(m) {
				names = append(names, object{"service": string(service.FullName()), "method": string(m.Name())})
			}
		}
	}
	return names
}

// services goes through the services of the API.
func services(yield func(protoreflect.ServiceDescriptor) bool) {
	protoregistry.GlobalFiles.RangeFilesByPackage(goodshipv1.File_goodship_v1_access_proto.Package(), func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if !yield(f.Services().Get(i)) {
				return false
			}
		}
		return true
	})
}

// repeatable reports whether a call has one effect however often it is made: by its nature, or by its request_id.
func repeatable(m protoreflect.MethodDescriptor) bool {
	if m.IsStreamingClient() || m.IsStreamingServer() {
		return false
	}
	options, _ := m.Options().(*descriptorpb.MethodOptions)
	idempotent := options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	return idempotent || m.Input().Fields().ByName("request_id") != nil
}
