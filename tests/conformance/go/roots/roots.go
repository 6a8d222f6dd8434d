// Package roots reads authorities for the programs beside it.
package roots

import (
	"crypto/x509"
	"log"
	"os"
)

// Load ends the program if the file holds none.
func Load(file string) *x509.CertPool {
	pem, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	certificates := x509.NewCertPool()
	if !certificates.AppendCertsFromPEM(pem) {
		log.Fatalf("%s holds no certificate", file)
	}
	return certificates
}
