package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/edgespool/edgespool/sampler/listener"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader/dataset"
)

// A ReceiveConfig is one run of `edgespool receive`.
type ReceiveConfig struct {
	// Dir is the dataset folder; the spool is in Dir/.edgespool.
	Dir string
	// Listen is host:port of the ingestion service.
	Listen string
	// APIKeyFile holds the key that senders must have. Empty: a key is made
	// and kept in Dir/.edgespool/api-key.
	APIKeyFile string
	Version    string
	Log        *slog.Logger
	// Ready, if set, is called once senders are listened to.
	Ready func(url, keyFile string)
}

// Receive runs a local ingestion service until ctx ends: an agent whose one
// source is the ingestion API and whose one destination is a dataset folder.
func Receive(ctx context.Context, c ReceiveConfig) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("find dataset folder: %w", err)
	}
	own := filepath.Join(dir, ".edgespool")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return fmt.Errorf("make dataset folder: %w", err)
	}
	if c.APIKeyFile == "" {
		c.APIKeyFile = filepath.Join(own, "api-key")
		if err := makeKey(c.APIKeyFile); err != nil {
			return err
		}
	}
	house := receiveHouse(c, dir, own)
	o := Options{Version: c.Version, Log: c.Log}
	a, err := Build(ctx, house, o)
	if errors.Is(err, spool.ErrVolatile) {
		c.Log.Warn("dataset folder is on a file system that forgets: what was received does not survive a reboot or the end of the container", "dir", dir)
		house.Spool.AllowVolatile = true
		a, err = Build(ctx, house, o)
	}
	if err != nil {
		return err
	}
	if c.Ready != nil {
		c.Ready("http://"+receiveAddress(c.Listen, a.Address()), c.APIKeyFile)
	}
	return a.Run(ctx)
}

// receiveHouse is the agent's configuration. On loopback the API shows its
// page on the same address; a network sees the ingestion API alone.
func receiveHouse(c ReceiveConfig, dir, own string) *Config {
	house := DefaultConfig()
	house.Spool.Path, house.Spool.WhenFull, house.Spool.Keep = own, "refuse", 0
	in, out := listener.DefaultConfig(), dataset.DefaultConfig()
	in.APIKeyFile, out.Path = c.APIKeyFile, dir
	house.API.Listen = c.Listen
	house.API.Data.Enabled = false
	if !onLoopback(c.Listen) {
		house.API.Listen, in.Listen = "127.0.0.1:0", c.Listen
	}
	house.Sources = []SourceConfig{{Name: "ingestion", Type: "ingestion", Room: &in}}
	house.Destinations = []DestinationConfig{{Name: "dataset", Type: "dataset", Room: &out}}
	return house
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // Build says what is wrong with it
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// receiveAddress is what a sender can write: the address with the port that
// was really taken.
func receiveAddress(asked, bound string) string {
	if onLoopback(asked) {
		return bound
	}
	return asked
}

// makeKey makes a random key of the form that Edge Impulse's have, unless the
// file is there.
func makeKey(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make API key: %w", err)
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails, says its documentation
	_, err = fmt.Fprintf(f, "ei_%s\n", hex.EncodeToString(random))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("make API key: %w", err)
	}
	return nil
}
