// Command edgespool takes sensor samples from serial ports, watched folders
// and the network, keeps them safe while the network is away, and delivers
// each one once. This is the door: words in, exit code out.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(runMain(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// runMain runs the command line and returns the exit code.
func runMain(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := untilSignal(context.Background(), stderr)
	defer stop()
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := execute(ctx, root)
	if exitCode(err) == exitHung {
		// Standard error may go to the disk that hangs.
		time.AfterFunc(lastWords, func() { os.Exit(exitHung) })
	}
	if err != nil {
		complain(stderr, err)
	}
	return exitCode(err)
}

// lastWords is how long a process that must end may take to say why.
const lastWords = 2 * time.Second

// untilSignal returns a context that ends at the first SIGINT or SIGTERM. A
// second one ends the process at once, which costs nothing that was
// acknowledged: the spool is made for losing power.
func untilSignal(parent context.Context, stderr io.Writer) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		cancel()
		if _, ok := <-signals; ok {
			fmt.Fprintln(stderr, "edgespool: stopped at once by a second signal")
			os.Exit(exitFailed)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// newLogger makes the one logger of the process. Text is for people and the
// journal, json for programs.
func newLogger(w io.Writer, level slog.Level, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
