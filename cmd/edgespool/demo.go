package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent/demo"
)

func newDemoCommand() *cobra.Command {
	var c demo.Config
	command := &cobra.Command{
		Use:   "demo",
		Short: "Play the whole chain on this machine and check it",
		Long: `Starts a local ingestion service and an agent, simulates an accelerometer on a
pseudo-terminal and lets recordings fall into a folder. Half way the service
goes away for a while, the agent is killed and started again, and the machine
shakes. At the end a table says what became of every sample. Takes half a minute
and needs neither an account nor a network.

The exit code is 0 only if every sample arrived exactly once, nothing else did,
and the shaking was reported, overtook the backlog and is in the detection
history and in a stream of anomalies.`,
		Example: "  edgespool demo\n  edgespool demo --dir /tmp/demo --keep",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) (err error) {
			if c.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			c.Out, c.Story = command.OutOrStdout(), command.ErrOrStderr()
			if c.Dir != "" {
				return demo.Run(command.Context(), c)
			}
			if c.Dir, err = os.MkdirTemp("", "edgespool-demo-"); err != nil {
				return fmt.Errorf("make folder: %w", err)
			}
			if err = demo.Run(command.Context(), c); err != nil {
				return withHint(err, "the logs are in "+c.Dir)
			}
			return os.RemoveAll(c.Dir)
		},
	}
	command.Flags().StringVar(&c.Dir, "dir", "", "folder to play in, empty or not there yet (default: a temporary one, removed when all is well)")
	command.Flags().BoolVar(&c.Keep, "keep", false, "leave everything running after the check, until Ctrl-C")
	return command
}
