package spool

import (
	"os"
	"os/exec"
	"testing"
)

const (
	// childName and childArgument make the test binary be one of children.
	childName     = "EDGESPOOL_TEST_CHILD"
	childArgument = "EDGESPOOL_TEST_ARGUMENT"
	// childRunner names the program that runs test binaries of another
	// processor where the kernel does not know how to; see scripts/soak arm.
	childRunner = "EDGESPOOL_TEST_RUNNER"
)

// children is what the test binary does when a test starts it as a process of
// its own: to be killed, measured or starved.
func children() map[string]func(argument string) {
	return map[string]func(argument string){
		"append":   appendUntilKilled,
		"measured": measured,
		"starve":   starve,
		"churn":    churn,
		"cutfs":    serveCuts,
		"cutwrite": writeUntilCut,
		"cutcheck": checkAfterCut,
		"damaged":  readDamaged,
		"work":     workUntilKilled,
		"detect":   detectUntilKilled,
	}
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childName); name != "" {
		children()[name](os.Getenv(childArgument))
		return
	}
	os.Exit(m.Run())
}

// childCommand starts the test binary as one of children, behind the given
// words of a command line, such as setarch's.
func childCommand(name, argument string, behind ...string) *exec.Cmd {
	if runner := os.Getenv(childRunner); runner != "" {
		behind = append(behind, runner)
	}
	words := append(behind, os.Args[0], "-test.run=^$")
	c := exec.Command(words[0], words[1:]...)
	c.Env = append(os.Environ(), childName+"="+name, childArgument+"="+argument)
	return c
}
