package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

func newReceiveCommand() *cobra.Command {
	c := agent.ReceiveConfig{}
	command := &cobra.Command{
		Use:   "receive --dir DIR",
		Short: "Run a local ingestion service that keeps a dataset folder",
		Long: `Speaks the Edge Impulse ingestion API and keeps what arrives in DIR as
training/, testing/ and so on with info.labels, as Edge Impulse exports it.
A sample is on disk before its sender is answered; repeats are refused.

Senders need an API key. Without --api-key-file one is made and kept in
DIR/.edgespool/api-key.`,
		Example: `  edgespool receive --dir dataset
  edgespool receive --dir dataset --listen 0.0.0.0:4810 --api-key-file key
  edgespool upload --url http://127.0.0.1:4810 --api-key-file dataset/.edgespool/api-key recordings/`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c.Log = newLogger(command.ErrOrStderr(), slog.LevelWarn, "text")
			c.Version = thisBuild().Version
			c.Ready = func(url, keyFile string) {
				fmt.Fprintf(command.ErrOrStderr(), "receiving on %s\n  API key  %s\n  dataset  %s\nCtrl-C ends it.\n", url, keyFile, c.Dir)
			}
			return agent.Receive(command.Context(), c)
		},
	}
	fs := command.Flags()
	fs.StringVar(&c.Dir, "dir", "", "dataset folder, made if it is not there")
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:4810", "address to listen on")
	fs.StringVar(&c.APIKeyFile, "api-key-file", "", "file with the key that senders must have (default: DIR/.edgespool/api-key)")
	_ = command.MarkFlagRequired("dir") // fails only for a flag that is not there
	return command
}
