package serial

import (
	"context"
	"fmt"
	"strings"
)

// Speeds are those that devices send at, the usual ones first.
var Speeds = []int{115200, 9600, 57600, 38400, 19200, 230400, 460800, 921600, 4800, 250000, 1000000, 2400}

// Listen hands on what comes from the port of c, which must be valid, until ctx
// ends or take has heard enough and returns false. It sends nothing. The bytes
// hold until take returns.
func Listen(ctx context.Context, c Config, take func(b []byte) (more bool)) error {
	l, err := openLink(ctx, &c, "/")
	if err != nil {
		return err
	}
	defer l.Close()
	buffer := make([]byte, readSize)
	for ctx.Err() == nil {
		n, err := l.Read(buffer)
		if n > 0 && !take(buffer[:n]) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	return nil
}

// openLink opens what the configuration names.
func openLink(ctx context.Context, c *Config, root string) (link, error) {
	if address, ok := strings.CutPrefix(c.Port, "tcp://"); ok {
		return dial(ctx, address, c.readTimeout())
	}
	path, err := locate(c.Port, root)
	if err != nil {
		return nil, err
	}
	return openPort(path, c)
}
