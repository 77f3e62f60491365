// Clients calls a running agent by clients that were generated from its own
// descriptions, and checks what they make of the answers.
// Usage: clients ADDRESS TOKEN
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: clients ADDRESS TOKEN")
		os.Exit(2)
	}
	address, token := os.Args[1], os.Args[2]
	bearer := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	ctx := context.Background()
	callStreams(ctx, address, bearer)
	callData(ctx, address, bearer)
	callDetections(ctx, address, bearer)
	fmt.Println(checks, "checks")
}

// checks counts what was as it should be.
var checks int

// must ends the program if a call failed or what it answered is not right.
func must(what string, err error, right bool, answer []byte) {
	if err != nil || !right {
		fmt.Fprintf(os.Stderr, "%s: %v: got %.500s\n", what, err, answer)
		os.Exit(1)
	}
	checks++
}
