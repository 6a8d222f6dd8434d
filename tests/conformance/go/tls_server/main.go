// Command tls_server is a backend with Go's crypto/tls: one small answer to each request.
//
//	tls_server [-cert FILE -key FILE] [-client-ca FILE [-client-auth WHEN]] [-min V] [-max V]
//	           [-ciphers NUMBER,…]
//
// It prints "listening PORT", and then what it gets: "bytes" for the first bytes of a connection that
// the application saw, unless they are a ClientHello, "request METHOD TARGET" for each request.
package main

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"handfast.dev/tests/conformance/go/roots"
)

var versions = map[string]uint16{"": 0, "1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11,
	"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

var clientAuth = map[string]tls.ClientAuthType{"required": tls.RequireAndVerifyClientCert,
	"optional": tls.VerifyClientCertIfGiven}

func main() {
	log.SetFlags(0)
	cert := flag.String("cert", "", "PEM, the leaf first; none: without TLS")
	key := flag.String("key", "", "PEM")
	clientCA := flag.String("client-ca", "", "PEM of the authorities of client certificates")
	when := flag.String("client-auth", "required", "required or optional")
	least := flag.String("min", "", "least version: 1.0, 1.1, 1.2, 1.3")
	most := flag.String("max", "", "highest version")
	ciphers := flag.String("ciphers", "", "of TLS 1.2, by their numbers")
	flag.Parse()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if *cert != "" {
		config := &tls.Config{MinVersion: versions[*least], MaxVersion: versions[*most],
			CipherSuites: numbers(*ciphers), Certificates: []tls.Certificate{pair(*cert, *key)}}
		if *clientCA != "" {
			config.ClientCAs, config.ClientAuth = roots.Load(*clientCA), clientAuth[*when]
		}
		listener = tls.NewListener(listener, config)
	}
	fmt.Println("listening", port)
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn)
	}
}

// told tells of the first bytes that the application reads.
type told struct {
	net.Conn
	done bool
}

func (c *told) Read(to []byte) (int, error) {
	count, err := c.Conn.Read(to)
	if count > 0 && !c.done {
		c.done = true
		if to[0] != 0x16 {
			fmt.Println("bytes")
		}
	}
	return count, err
}

func serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	reader := bufio.NewReader(&told{Conn: conn})
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			return
		}
		io.Copy(io.Discard, request.Body)
		fmt.Println("request", request.Method, request.RequestURI)
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

// pair takes any certificate whose key it can use: what is wrong with it is for clients to find.
func pair(cert, key string) tls.Certificate {
	loaded, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		log.Fatal(err)
	}
	return loaded
}

func numbers(text string) (found []uint16) {
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		number, err := strconv.ParseUint(one, 0, 16)
		if err != nil {
			log.Fatal(err)
		}
		found = append(found, uint16(number))
	}
	return found
}
