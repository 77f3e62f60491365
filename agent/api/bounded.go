package api

import (
	"net"
	"sync"
)

// bounded is a listener that holds back connections beyond a number, so that
// clients cannot use up the process's file descriptors.
type bounded struct {
	net.Listener
	places chan struct{}
}

// Accept waits for a place before it takes a connection.
func (b *bounded) Accept() (net.Conn, error) {
	b.places <- struct{}{}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

// placed is a connection that gives its place back once.
type placed struct {
	net.Conn
	leave func()
}

// Close closes the connection and frees its place.
func (p *placed) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
