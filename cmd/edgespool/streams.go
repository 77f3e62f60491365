package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

// streamsFlags are what all subcommands of streams have.
type streamsFlags struct {
	agentFlags
	asJSON bool
}

func newStreamsCommand() *cobra.Command {
	var flags streamsFlags
	c := &cobra.Command{
		Use:   "streams",
		Short: "Read the running agent's samples through named positions",
		Long: `A stream is a named position in a dataset, kept by the running agent: fetch
shows what comes next, the same again until advance says how far. Any program
can do this over HTTP; these commands are for the shell and for scripts.

A stream is named DATASET/NAME, such as training/alarms, or OWNER/DATASET/NAME
where it is not the device's own.`,
		Example: `  edgespool streams create training/alarms --filter '{"user_properties": {"number:Anomaly Score": {"minimum": 0.8}}}'
  edgespool streams fetch training/alarms --size 10 --advance
  edgespool streams list`,
	}
	c.PersistentFlags().StringVar(&flags.url, "url", "http://127.0.0.1:8347", "address of the running agent's API")
	c.PersistentFlags().StringVar(&flags.tokenFile, "token-file", "", "file with the API's token, where one is needed")
	c.PersistentFlags().BoolVar(&flags.asJSON, "json", false, "print one JSON object a line")
	c.AddCommand(newStreamsList(&flags), newStreamsShow(&flags), newStreamsCreate(&flags), newStreamsDelete(&flags),
		newStreamsFetch(&flags), newStreamsAdvance(&flags), newStreamsReset(&flags), newStreamsExceptions(&flags), newStreamsRetry(&flags), newStreamsOutcomes(&flags))
	return c
}

// of takes the name of a stream apart and asks for its dataset's.
func (f *streamsFlags) of(ctx context.Context, name string) (s *agent.StreamsClient, stream string, err error) {
	parts := strings.Split(name, "/")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, "", withHint(fmt.Errorf("read name: %q is neither DATASET/NAME nor OWNER/DATASET/NAME", name), "edgespool streams list shows those there are")
	}
	s, err = f.dataset(ctx, strings.Join(parts[:len(parts)-1], "/"))
	return s, parts[len(parts)-1], err
}

// dataset asks for the streams of [OWNER/]DATASET.
func (f *streamsFlags) dataset(ctx context.Context, name string) (*agent.StreamsClient, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	owner, dataset, found := strings.Cut(name, "/")
	if !found {
		owner, dataset = "", name
	}
	return client.Streams(ctx, owner, dataset)
}

func newStreamsList(f *streamsFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "list [[OWNER/]DATASET]",
		Short:   "List the streams of a dataset, or of all",
		Example: "  edgespool streams list\n  edgespool streams list training --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := f.client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if args, err = client.Datasets(c.Context()); err != nil {
					return err
				}
			}
			var rows []namedStream
			for _, dataset := range args {
				s, err := f.dataset(c.Context(), dataset)
				if err != nil {
					return err
				}
				infos, err := s.List(c.Context())
				if err != nil {
					return err
				}
				for _, info := range infos {
					rows = append(rows, namedStream{Dataset: dataset, StreamInfo: info})
				}
			}
			return f.printStreams(c.OutOrStdout(), rows)
		},
	}
}

// namedStream is a stream with the dataset that it is of.
type namedStream struct {
	Dataset string `json:"dataset"`
	agent.StreamInfo
}

func (f *streamsFlags) printStreams(w io.Writer, rows []namedStream) error {
	if f.asJSON {
		e := json.NewEncoder(w)
		for _, row := range rows {
			if err := e.Encode(row); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "STREAM\tBACKLOG\tNEXT\tLOST\tTITLE")
	for _, row := range rows {
		fmt.Fprintf(t, "%s/%s\t%d\t%d\t%d\t%s\n", row.Dataset, row.Name, row.Backlog, row.Next, row.Lost, orDash(row.Title))
	}
	return t.Flush()
}

func newStreamsShow(f *streamsFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show STREAM",
		Short:   "Show a stream: its filter, its position and what is still to come",
		Example: "  edgespool streams show training/alarms",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, name, err := f.of(c.Context(), args[0])
			if err != nil {
				return err
			}
			info, err := s.Show(c.Context(), name)
			if err != nil {
				return err
			}
			return f.printStream(c.OutOrStdout(), info)
		},
	}
}

func (f *streamsFlags) printStream(w io.Writer, info agent.StreamInfo) error {
	if f.asJSON {
		return json.NewEncoder(w).Encode(info)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range [][2]string{
		{"name", info.Name}, {"title", plain(info.Title)}, {"description", plain(info.Description)}, {"filter", string(info.Filter)}, {"model", string(info.Model)},
		{"next", fmt.Sprint(info.Next)}, {"backlog", fmt.Sprint(info.Backlog)}, {"lost", fmt.Sprint(info.Lost)},
		{"created", info.CreatedAt.Format(time.RFC3339)}, {"updated", info.UpdatedAt.Format(time.RFC3339)},
	} {
		if row[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
		}
	}
	return t.Flush()
}

func newStreamsCreate(f *streamsFlags) *cobra.Command {
	var title, filter, model string
	c := &cobra.Command{
		Use:   "create STREAM",
		Short: "Make a stream, or change one; it begins with what comes from now on",
		Example: `  edgespool streams create training/all
  edgespool streams create anomaly/pump --title 'Pump 4' --filter '{"user_properties": {"string:Source": {"one_of": ["pump4"]}}}'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for flag, text := range map[string]string{"filter": filter, "model": model} {
				if text != "" && !json.Valid([]byte(text)) {
					return withHint(fmt.Errorf("read --%s: it is no JSON", flag), "quote it for the shell: --"+flag+" '{…}'")
				}
			}
			s, name, err := f.of(c.Context(), args[0])
			if err != nil {
				return err
			}
			info, err := s.Create(c.Context(), name, title, json.RawMessage(filter), json.RawMessage(model))
			if err != nil {
				return err
			}
			return f.printStream(c.OutOrStdout(), info)
		},
	}
	c.Flags().StringVar(&title, "title", "", "one line for people")
	c.Flags().StringVar(&filter, "filter", "", "comment_filter of the streams API, as JSON (default: everything)")
	c.Flags().StringVar(&model, "model", "", "model of the streams API with its label thresholds, as JSON (default: no labels)")
	return c
}

func newStreamsDelete(f *streamsFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "delete STREAM",
		Short:   "Forget a stream with its position and exceptions",
		Example: "  edgespool streams delete training/alarms",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, name, err := f.of(c.Context(), args[0])
			if err != nil {
				return err
			}
			return s.Delete(c.Context(), name)
		},
	}
}

func newStreamsFetch(f *streamsFlags) *cobra.Command {
	var size, maxFiltered int
	var advance bool
	c := &cobra.Command{
		Use:   "fetch STREAM",
		Short: "Show what comes next on a stream, the same again until it is advanced",
		Long: `Prints a line for each sample, or with --json what the API says of it. The
last line on standard error says how far that goes: the sequence_id to advance
to. With --advance the stream is advanced once everything is printed.`,
		Example: "  edgespool streams fetch training/alarms --size 100 --json --advance",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, name, err := f.of(c.Context(), args[0])
			if err != nil {
				return err
			}
			b, err := s.Fetch(c.Context(), name, size, maxFiltered)
			if err != nil {
				return err
			}
			if err := f.printBatch(c.OutOrStdout(), b); err != nil {
				return err
			}
			if advance {
				err = s.Advance(c.Context(), name, b.SequenceID)
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s, %d filtered out, up to %s\n", counted(len(b.Results), "sample"), b.Filtered, b.SequenceID)
			return err
		},
	}
	c.Flags().IntVar(&size, "size", 16, "how many samples to look at, 1 to 1024")
	c.Flags().IntVar(&maxFiltered, "max-filtered", 0, "how many that the filter keeps out do not count, up to 1024")
	c.Flags().BoolVar(&advance, "advance", false, "advance the stream when everything is printed")
	return c
}

func (f *streamsFlags) printBatch(w io.Writer, b agent.StreamBatch) error {
	for _, r := range b.Results {
		if f.asJSON {
			if err := json.NewEncoder(w).Encode(r); err != nil {
				return err
			}
			continue
		}
		var c struct {
			UID       string `json:"uid"`
			Timestamp string `json:"timestamp"`
			Texts     []struct {
				Body struct {
					Text string `json:"text"`
				} `json:"body"`
			} `json:"messages"`
		}
		if err := json.Unmarshal(r.Comment, &c); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		line := ""
		if len(c.Texts) > 0 {
			line = c.Texts[0].Body.Text
		}
		if _, err := fmt.Fprintf(w, "%s  %s  %s  %s\n", r.SequenceID, c.Timestamp, c.UID, plain(line)); err != nil {
			return err
		}
	}
	return nil
}

func newStreamsAdvance(f *streamsFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "advance STREAM SEQUENCE_ID",
		Short:   "Move a stream to where a sample or batch ended, forwards or backwards",
		Example: "  edgespool streams advance training/alarms qs8QcHIBAADJ1p3W2FtmBB3QiOJsCJlR",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			s, name, err := f.of(c.Context(), args[0])
			if err != nil {
				return err
			}
			return s.Advance(c.Context(), name, args[1])
		},
	}
}

func newStreamsReset(f *streamsFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "reset STREAM TIME",
		Short:   "Move a stream to the first sample that the spool took at a time or later",
		Example: "  edgespool streams reset training/alarms 2026-06-03T16:05:00Z",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			s, name, err := f.of(c.Context(), args[0])
			if err != nil {
				return err
			}
			info, err := s.Reset(c.Context(), name, args[1])
			if err != nil {
				return err
			}
			return f.printStream(c.OutOrStdout(), info)
		},
	}
}

func newStreamsExceptions(f *streamsFlags) *cobra.Command {
	var tag string
	var untag, retry bool
	c := &cobra.Command{
		Use:   "exceptions [STREAM [--tag TYPE UID…] [--untag UID…] [--retry UID…|all]]",
		Short: "List what destinations refused, or what was tagged on a stream; tag, untag, show again",
		Long: `Without a stream, lists the samples that the destinations refused for good, each
with the reason. With one, lists what its readers tagged as exceptions, tags
more, or takes tags off. --retry has tagged ones come once more on the stream,
before all that is new, and takes their tags off.`,
		Example: `  edgespool streams exceptions
  edgespool streams exceptions training/alarms
  edgespool streams exceptions training/alarms --tag 'Wrong Prediction' 18ba5ce699f8da1f.d17703eb999aff3267b79f47
  edgespool streams exceptions training/alarms --untag 18ba5ce699f8da1f.d17703eb999aff3267b79f47
  edgespool streams exceptions training/alarms --retry all`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return f.listRefused(c)
			}
			s, name, err := f.of(c.Context(), args[0])
			uids := args[1:]
			switch {
			case err != nil:
				return err
			case (tag != "" || untag || retry) == (len(uids) == 0):
				return withHint(errors.New("tag exceptions: uids go with --tag, --untag or --retry"), "see: edgespool streams exceptions --help")
			case tag != "":
				return s.Tag(c.Context(), name, tag, uids...)
			case untag:
				return s.Untag(c.Context(), name, uids...)
			case retry:
				return f.retryTagged(c, s, name, uids)
			}
			list, err := s.Exceptions(c.Context(), name)
			if err != nil {
				return err
			}
			return f.printExceptions(c.OutOrStdout(), list)
		},
	}
	c.Flags().StringVar(&tag, "tag", "", "tag the comments named by their uids with this type")
	c.Flags().BoolVar(&untag, "untag", false, "take the tags of the comments named by their uids off")
	c.Flags().BoolVar(&retry, "retry", false, "show the tagged comments named by their uids once more, or all of them")
	c.MarkFlagsMutuallyExclusive("tag", "untag", "retry")
	return c
}

// listRefused shows what destinations refused.
func (f *streamsFlags) listRefused(c *cobra.Command) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	list, err := client.Exceptions(c.Context())
	if err != nil {
		return err
	}
	for _, e := range list {
		if f.asJSON {
			err = json.NewEncoder(c.OutOrStdout()).Encode(e)
		} else {
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s  %s  %d  %s  %s\n", e.At.Format(time.RFC3339), e.Stream, e.Sequence, orDash(e.Name), plain(e.Reason))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *streamsFlags) printExceptions(w io.Writer, list []agent.StreamException) error {
	for _, e := range list {
		if f.asJSON {
			if err := json.NewEncoder(w).Encode(e); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(w, "%s  %s  %s\n", e.TaggedAt.Format(time.RFC3339), e.UID, plain(e.Metadata.Type)); err != nil {
			return err
		}
	}
	return nil
}
