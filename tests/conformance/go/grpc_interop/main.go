// Command grpc_interop is gRPC's own interoperability test, client and server, as its Go
// implementation has it: https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
//
//	grpc_interop server [-cert FILE -key FILE [-client-ca FILE]]
//	grpc_interop client -address ADDR:PORT -authority HOST -case NAME [-ca FILE]
//	grpc_interop cases
//
// The server prints "listening PORT". A case that fails ends the client with a status that isn't 0.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"handfast.dev/tests/conformance/go/roots"
)

type testCase struct {
	name string
	run  func(context.Context, *grpc.ClientConn)
}

// ofService adapts the cases that take the service's stub.
func ofService(run func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, conn *grpc.ClientConn) { run(ctx, testgrpc.NewTestServiceClient(conn)) }
}

var cases = []testCase{
	{"empty_unary", ofService(interop.DoEmptyUnaryCall)},
	{"large_unary", ofService(interop.DoLargeUnaryCall)},
	{"client_streaming", ofService(interop.DoClientStreaming)},
	{"server_streaming", ofService(interop.DoServerStreaming)},
	{"ping_pong", ofService(interop.DoPingPong)},
	{"empty_stream", ofService(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", ofService(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", ofService(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", ofService(interop.DoCancelAfterFirstResponse)},
	{"custom_metadata", ofService(interop.DoCustomMetadata)},
	{"status_code_and_message", ofService(interop.DoStatusCodeAndMessage)},
	{"special_status_message", ofService(interop.DoSpecialStatusMessage)},
	{"unimplemented_method", interop.DoUnimplementedMethod},
	{"unimplemented_service", func(ctx context.Context, conn *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
	}},
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("server, client or cases?")
	}
	switch command, arguments := os.Args[1], os.Args[2:]; command {
	case "server":
		serve(arguments)
	case "client":
		call(arguments)
	case "cases":
		for _, one := range cases {
			fmt.Println(one.name)
		}
	default:
		log.Fatalf("unknown: %s", command)
	}
}

func serve(arguments []string) {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	cert := flags.String("cert", "", "PEM, the leaf first; none: without TLS")
	key := flags.String("key", "", "PEM")
	clientCA := flags.String("client-ca", "", "PEM; clients must show a certificate of it")
	flags.Parse(arguments)

	transport := insecure.NewCredentials()
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatal(err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}}
		if *clientCA != "" {
			config.ClientCAs, config.ClientAuth = roots.Load(*clientCA), tls.RequireAndVerifyClientCert
		}
		transport = credentials.NewTLS(config)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(transport))
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	fmt.Printf("listening %d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(server.Serve(listener))
}

func call(arguments []string) {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	address := flags.String("address", "", "where to connect")
	authority := flags.String("authority", "", ":authority, and the server's name with TLS")
	ca := flags.String("ca", "", "PEM; none: without TLS")
	name := flags.String("case", "", "which")
	flags.Parse(arguments)

	transport := insecure.NewCredentials()
	if *ca != "" {
		transport = credentials.NewTLS(&tls.Config{RootCAs: roots.Load(*ca), ServerName: *authority})
	}
	conn, err := grpc.NewClient("passthrough:///"+*address, grpc.WithAuthority(*authority),
		grpc.WithTransportCredentials(transport))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, one := range cases {
		if one.name == *name {
			one.run(ctx, conn)
			fmt.Println("ok", one.name)
			return
		}
	}
	log.Fatalf("no such case: %s", *name)
}
