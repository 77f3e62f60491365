package edgeimpulse_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/edgespool/edgespool/uploader/edgeimpulse"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

const testKey = "ei_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func keyFile(t *testing.T, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open makes a service on the loopback and a destination that posts to it.
func open(t *testing.T, change func(c *edgeimpulse.Config, d *edgeimpulse.Deps)) (*edgeimpulse.Destination, *uploadertest.Server) {
	t.Helper()
	service := uploadertest.NewService()
	service.Key = testKey
	server := uploadertest.Serve(t, service)
	c, d := edgeimpulse.DefaultConfig(), edgeimpulse.Deps{Version: "test"}
	c.URL, c.APIKeyFile = server.URL, keyFile(t, testKey)
	if change != nil {
		change(&c, &d)
	}
	dest, err := edgeimpulse.New(c, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dest.Close() })
	return dest, server
}

func TestSuite(t *testing.T) {
	for _, endpoint := range []string{edgeimpulse.EndpointFiles, edgeimpulse.EndpointData} {
		t.Run(endpoint, func(t *testing.T) {
			uploadertest.Suite(t, func(t *testing.T) uploadertest.FarSide {
				dest, server := open(t, func(c *edgeimpulse.Config, _ *edgeimpulse.Deps) { c.Endpoint = endpoint })
				return uploadertest.FarSide{
					Destination: dest, Down: server.Down, Up: server.Up,
					Taken: func() map[string][][32]byte {
						taken := make(map[string][][32]byte)
						for _, s := range server.Samples() {
							taken[s.Category] = append(taken[s.Category], s.SHA256)
						}
						return taken
					},
				}
			})
		})
	}
}
