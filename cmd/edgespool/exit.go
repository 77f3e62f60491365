package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/edgespool/edgespool/agent"
	"github.com/edgespool/edgespool/spool"
)

// The exit codes, the same for every command.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitConfig   = 3 // the configuration file has faults
	exitSpool    = 4 // the spool is locked or damaged
	exitRejected = 5 // some files were rejected
	exitHung     = 6 // the spool's disk does not answer; to be started again
)

// exitError gives an error the exit code that it ends the process with. A nil
// err ends it without a further word: the command has said all there is.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit with code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// hint is an error that knows what an operator can do about it.
type hint interface{ Hint() string }

// exitCode is the one place where an error becomes a code.
func exitCode(err error) int {
	var exit *exitError
	var faults *agent.Faults
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &faults):
		return exitConfig
	case errors.Is(err, agent.ErrHung):
		return exitHung
	case errors.Is(err, spool.ErrLocked), errors.Is(err, spool.ErrDamaged), errors.Is(err, spool.ErrNewer):
		return exitSpool
	}
	return exitFailed
}

// complain prints the error and, on a line of its own, its remedy. Faults of
// a configuration file print themselves, as compilers do.
func complain(w io.Writer, err error) {
	var exit *exitError
	var faults *agent.Faults
	switch {
	case errors.As(err, &faults):
		fmt.Fprintln(w, faults)
		return
	case errors.As(err, &exit) && exit.err == nil:
		return
	}
	fmt.Fprintf(w, "edgespool: %v\n", err)
	var h hint
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintf(w, "  %s\n", h.Hint())
	}
}

// withHint gives an error the remedy that an operator has.
func withHint(err error, text string) error { return agent.WithHint(err, text) }
