package main

import (
	"context"

	"github.com/spf13/cobra"
)

// newRootCommand lists the subcommands; each has a file of its own.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "edgespool",
		Short: "Keep sensor samples safe at the edge and deliver each one once",
		Long: `edgespool reads sensor samples from serial ports and watched folders, turns
them into labelled samples in the Edge Impulse acquisition format, keeps them
while the network is away, and uploads each one once.

Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 spool locked or
damaged, 5 some files were rejected, 6 the spool's disk does not answer (run
and receive; start them again).`,
		Example:       "  edgespool demo\n  edgespool check --config /etc/edgespool/edgespool.yaml\n  edgespool run --config /etc/edgespool/edgespool.yaml",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newRunCommand(),
		newCheckCommand(),
		newTryCommand(),
		newInitCommand(),
		newDoctorCommand(),
		newStatusCommand(),
		newRecordCommand(),
		newStreamsCommand(),
		newUploadCommand(),
		newReceiveCommand(),
		newDemoCommand(),
		newDocumentCommand(),
		newInspectCommand(),
		newExportCommand(),
		newPortsCommand(),
		newBoardCommand(),
		newVersionCommand(),
	)
	return root
}

// execute runs the command line. What fails before a command's own code has
// begun is a matter of usage.
func execute(ctx context.Context, root *cobra.Command) error {
	began := false
	for _, c := range commandsBelow(root) {
		if run := c.RunE; run != nil {
			c.RunE = func(c *cobra.Command, args []string) error {
				began = true
				return run(c, args)
			}
		}
	}
	called, err := root.ExecuteContextC(ctx)
	if err != nil && !began {
		return &exitError{code: exitUsage, err: &usageError{err: err, command: called.CommandPath()}}
	}
	return err
}

func commandsBelow(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, commandsBelow(sub)...)
	}
	return all
}

// usageError is a command line that makes no sense.
type usageError struct {
	err     error
	command string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Hint names the help that belongs to the command.
func (e *usageError) Hint() string { return "see: " + e.command + " --help" }
