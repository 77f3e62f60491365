package agent

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// tellSystemd tells the service manager how the agent is, as sd_notify(3)
// does: assignments such as READY=1, one a line, to the datagram socket named
// by NOTIFY_SOCKET. Without a manager it does nothing.
func tellSystemd(assignments ...string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", name) // @ stands for an abstract name here as well
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer conn.Close()
	// A manager that does not read must not hold up who feels the pulse.
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte(strings.Join(assignments, "\n"))); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}

// summary is the line that the service manager shows of a running agent.
func (a *Agent) summary() string {
	return fmt.Sprintf("STATUS=Running; sources: %d, destinations: %d, page: http://%s/", len(a.crew.sourceList()), len(a.crew.destinationList()), a.Address())
}
