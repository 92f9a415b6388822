package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/beeline-ws/beeline/cmd/internal/quote"
)

// exitCode is how the process tells what became of it.
type exitCode int

const (
	exitOK      exitCode = 0
	exitFailure exitCode = 1
	exitUsage   exitCode = 2 // the command line or a setting is wrong
	exitNo      exitCode = 3 // all went well and the answer is no
)

// exitError is an error that decides the exit code; other errors are failures.
type exitError struct {
	code exitCode
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

func usageErrorf(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, args...)}
}

// errNo exits with exitNo: the command has said it all on its output.
var errNo error = exitError{exitNo, errors.New("no")}

// app is what the commands share: what surrounds the process.
type app struct {
	args           []string // of the command line
	env            []string // "KEY=value"
	stdin          io.Reader
	stdout, stderr io.Writer

	// started is set once the command line was found right: an error before
	// that is the command line's.
	started bool
	// pipesIgnored is set once SIGPIPE was told not to end the process.
	pipesIgnored bool
}

// run runs one command to its end and returns the process' exit code.
func run(args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return runContext(context.Background(), args, env, stdin, stdout, stderr)
}

// runContext is run; when ctx ends, a command that stays stops as it does after
// an interrupt.
func runContext(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{args: args, env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	code := a.codeOf(err)
	complaint := ""
	if err != nil && code != exitNo {
		complaint = "beeline: " + errorText(err) + "\n"
	}
	if code == exitUsage && !a.started {
		complaint += fmt.Sprintf("See '%s --help'.\n", command.CommandPath())
	}
	a.complain(complaint)
	if a.pipesIgnored {
		signal.Reset(syscall.SIGPIPE)
	}
	return int(code)
}

// complain writes to standard error, and waits no longer than flushTime for
// whoever reads that.
func (a *app) complain(text string) {
	if text == "" {
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(a.stderr, text) // there is nobody else to tell
	}()
	select {
	case <-written:
	case <-time.After(flushTime):
	}
}

// ignoreBrokenPipes keeps the process alive when the reader of its standard error
// has gone. Without it, Go ends the process at the next line.
func (a *app) ignoreBrokenPipes() {
	signal.Ignore(syscall.SIGPIPE)
	a.pipesIgnored = true
}

// errorText is what err says, in one line unless it lists faults.
func errorText(err error) string {
	var found faultList
	if errors.As(err, &found) {
		return quote.Text(err.Error())
	}
	return quote.Line(err.Error())
}

func (a *app) codeOf(err error) exitCode {
	var coded exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case !a.started:
		return exitUsage
	}
	return exitFailure
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "beeline",
		Short: "Takes a message straight to the node that holds its receiver",
		Long: "beeline is a cluster of WebSocket nodes over Redis. A registry says which node\n" +
			"holds a client, and a message is published to that node alone.\n\n" +
			"Exit codes: 0 all went well; 1 something failed; 2 the command line or a setting is\n" +
			"wrong; 3 all went well and the answer is no (not delivered, nobody there).",
		Version:       versionText(),
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,

		DisableFlagsInUseLine: true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentPreRun = func(*cobra.Command, []string) { a.started = true }
	root.AddCommand(a.serveCommand(), a.demoCommand(), a.benchCommand(), a.sendCommand(), a.listenCommand(), a.whoisCommand(),
		a.nodesCommand(), a.healthCommand(), a.configCommand(), a.versionCommand(), a.settingsCommand())
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultCompletionCmd()
	strictGroups(root)
	return root
}

// helpCommand is cobra's, but for a topic that does not exist: that is a wrong command
// line.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		RunE: func(_ *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = knownCommand(found, rest)
			}
			if err != nil {
				return exitError{exitUsage, err}
			}
			found.InitDefaultHelpFlag()
			found.InitDefaultVersionFlag()
			return found.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if found, rest, err := root.Find(args); err == nil && len(rest) == 0 {
				for _, name := range commandNames(found) {
					if strings.HasPrefix(name, prefix) {
						names = append(names, name)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// strictGroups has the commands that only hold others refuse a name that they don't
// know; alone they print their help.
func strictGroups(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.HasSubCommands() && !c.Runnable() {
			c.Args = knownCommand
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// knownCommand says what is allowed where cobra would only say what is unknown.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	names := commandNames(root)
	if len(names) == 0 {
		return fmt.Errorf("%q is one argument too many", args[0])
	}
	hint := ""
	if near := nearest(args[0], names); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", near)
	}
	return fmt.Errorf("unknown command %q%s; allowed: %s", args[0], hint, strings.Join(names, ", "))
}

// commandNames lists what c holds.
func commandNames(c *cobra.Command) (names []string) {
	for _, one := range c.Commands() {
		if !one.Hidden {
			names = append(names, one.Name())
		}
	}
	return names
}
