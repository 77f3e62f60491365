package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

func newDocumentCommand() *cobra.Command {
	var keyFile string
	var asJSON bool
	c := &cobra.Command{
		Use:   "document FILE...",
		Short: "Show Edge Impulse acquisition documents and check their signatures",
		Long: `Decodes acquisition documents (CBOR or JSON; "-" is standard input) and shows
device, sensors, interval, rows, and whether the signature is valid, invalid,
unsigned, or unchecked for want of a key. Exit code 5 if any document is
malformed or its signature invalid.`,
		Example: "  edgespool document idle.01.cbor\n  edgespool document --hmac-key-file /etc/edgespool/hmac-key --json training/*.cbor",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			key, err := readHMACKey(keyFile)
			if err != nil {
				return err
			}
			return showDocuments(c, files, key, asJSON)
		},
	}
	c.Flags().StringVar(&keyFile, "hmac-key-file", "", "file with the project's HMAC key; without it signatures stay unchecked")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line for each file")
	return c
}

// maxKeyFile is far more than any key has.
const maxKeyFile = 4 << 10

// readHMACKey reads the key without the line end behind it; nil if no file is
// named.
func readHMACKey(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read HMAC key: %w", err)
	}
	defer f.Close()
	key, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read HMAC key: %w", err)
	}
	switch key = bytes.TrimRight(key, "\r\n"); {
	case len(key) == 0:
		return nil, fmt.Errorf("read HMAC key: %s is empty", name)
	case len(key) > maxKeyFile:
		return nil, fmt.Errorf("read HMAC key: %s is no key: more than %d bytes", name, maxKeyFile)
	}
	return key, nil
}

// showDocuments shows one file after another. A bad one ends nothing; it only
// decides the exit code.
func showDocuments(c *cobra.Command, files []string, key []byte, asJSON bool) error {
	out := c.OutOrStdout()
	var unread, refused int
	for _, name := range files {
		v := viewDocument(name, c.InOrStdin(), key)
		switch {
		case v.err == nil && v.Signature != acquisition.Invalid:
		case v.err == nil, errors.Is(v.err, acquisition.ErrMalformed):
			refused++
		default:
			unread++
		}
		show := v.text
		if asJSON {
			show = v.json
		}
		if _, err := out.Write(show()); err != nil {
			return fmt.Errorf("show document: %w", err)
		}
	}
	switch {
	case refused > 0:
		return &exitError{code: exitRejected}
	case unread > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}
