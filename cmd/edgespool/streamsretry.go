package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

func newStreamsRetry(f *streamsFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "retry DESTINATION/CATEGORY SEQUENCE…|all",
		Short: "Send what a destination refused once more",
		Long: `Exceptions are sent to their destination again, in its turn, also over restarts
of the agent. What is taken is no exception any more. A sample that has left the
spool meanwhile cannot be sent; all passes over such ones and says how many.`,
		Example: "  edgespool streams exceptions\n  edgespool streams retry studio/training 17 21\n  edgespool streams retry studio/training all",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := f.client()
			if err != nil {
				return err
			}
			sequences, err := parseSequences(args[1:])
			if err != nil {
				return err
			}
			done, err := client.Retry(c.Context(), args[0], sequences...)
			if err != nil {
				return err
			}
			return f.printRetried(c, done, "sent again")
		},
	}
}

// retryTagged shows tagged comments once more; the uid all is all of them.
func (f *streamsFlags) retryTagged(c *cobra.Command, s *agent.StreamsClient, name string, uids []string) error {
	if len(uids) == 1 && uids[0] == "all" {
		uids = nil
	}
	done, err := s.Retry(c.Context(), name, uids...)
	if err != nil {
		return err
	}
	return f.printRetried(c, done, "come once more")
}

func (f *streamsFlags) printRetried(c *cobra.Command, done agent.Retried, what string) error {
	if f.asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(done)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s %s, %d gone from the spool\n", counted(done.Retried, "sample"), what, done.Gone)
	return err
}

// parseSequences reads sequences; the word all alone is none.
func parseSequences(words []string) (all []uint64, err error) {
	if len(words) == 1 && words[0] == "all" {
		return nil, nil
	}
	for _, word := range words {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil || n == 0 {
			return nil, withHint(fmt.Errorf("read sequence: %q is neither a number from 1 on nor all", word), "edgespool streams exceptions lists them")
		}
		all = append(all, n)
	}
	return all, nil
}

func newStreamsOutcomes(f *streamsFlags) *cobra.Command {
	var after uint64
	var limit int
	c := &cobra.Command{
		Use:   "outcomes DESTINATION/CATEGORY [SEQUENCE]",
		Short: "Show what became of samples at a destination",
		Long: `Prints a line for each sample, or for each stretch of samples with the same end:
stored (with the far side's name for it, if it gave one), already_there,
rejected or lost. The oldest go when their history is full.`,
		Example: "  edgespool streams outcomes studio/training\n  edgespool streams outcomes studio/training 17 --json",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := f.client()
			if err != nil {
				return err
			}
			var of uint64
			if len(args) == 2 {
				if of, err = strconv.ParseUint(args[1], 10, 64); err != nil || of == 0 {
					return errors.New("read sequence: it is no number from 1 on")
				}
			}
			list, err := client.Outcomes(c.Context(), args[0], of, after, limit)
			if err != nil {
				return err
			}
			for _, o := range list {
				if f.asJSON {
					err = json.NewEncoder(c.OutOrStdout()).Encode(o)
				} else {
					_, err = fmt.Fprintf(c.OutOrStdout(), "%s  %s  %s  %s  %s\n", o.At.Format(time.RFC3339), stretch(o.Sequence, o.Last), o.Fate, orDash(plain(o.RemoteID)), plain(o.Reason))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().Uint64Var(&after, "after", 0, "only samples behind this sequence")
	c.Flags().IntVar(&limit, "limit", 100, "how many lines, 1 to 1000")
	return c
}

func stretch(first, last uint64) string {
	if last <= first {
		return strconv.FormatUint(first, 10)
	}
	return fmt.Sprintf("%d-%d", first, last)
}
