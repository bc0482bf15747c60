package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	// anOffer is how long a new process waits for its offer, which is sent as soon as the process is started.
	anOffer = 10 * time.Second
	// anAnswer is how long it waits for the old one to let go.
	anAnswer = 10 * time.Second
)

// Predecessor is the process whose place this one takes. The nil Predecessor is none.
type Predecessor struct {
	*Line
	// Offer is what it said first.
	Offer Message

	files  []*os.File // of Offer.Sockets; nil once they are given up
	taken  []string   // by which owner
	served bool
}

// Inherit finds out whether another process has started this one to take its place; nil if none has.
func Inherit() (*Predecessor, error) {
	text := os.Getenv(variable)
	if text == "" {
		return nil, nil
	}
	os.Unsetenv(variable) // for processes that this one starts
	n, err := strconv.Atoi(text)
	if err != nil || n != lineDescriptor {
		return nil, fmt.Errorf("%w: %s is %q, which only an upgrade sets: unset it", ErrProtocol, variable, text)
	}
	file := os.NewFile(lineDescriptor, "line")
	defer file.Close()
	line, err := newLine(file)
	if err != nil {
		return nil, fmt.Errorf("%w (%s is for upgrades alone: unset it)", err, variable)
	}
	p, err := meet(line)
	if err != nil {
		line.Close()
		return nil, err
	}
	return p, nil
}

// meet waits for the offer.
func meet(line *Line) (*Predecessor, error) {
	m, files, err := line.Receive(time.Now().Add(anOffer))
	if err != nil {
		return nil, fmt.Errorf("upgrade: wait for the offer: %w", err)
	}
	p := &Predecessor{Line: line, Offer: m, files: files, taken: make([]string, len(files))}
	if m.Kind != Offer {
		p.giveUp()
		return nil, fmt.Errorf("%w: the first message is %q", ErrProtocol, m.Kind)
	}
	return p, nil
}

// Take gives a listening socket that the other process had for the same purpose, or for another one at the same address; nil
// where there is none. It stays the predecessor's; whoever uses it takes a duplicate before Serve.
func (p *Predecessor) Take(owner, bind string) *os.File {
	if p == nil {
		return nil
	}
	for _, same := range []func(Socket) bool{
		func(s Socket) bool { return s == Socket{Owner: owner, Bind: bind} },
		func(s Socket) bool { return s.Bind == bind && !anyPort(bind) },
	} {
		for i, s := range p.Offer.Sockets {
			if i < len(p.files) && same(s) && (p.taken[i] == "" || p.taken[i] == owner) {
				p.taken[i] = owner
				return p.files[i]
			}
		}
	}
	return nil
}

// anyPort tells whether an address leaves its port to the kernel: two of them are not the same.
func anyPort(bind string) bool { return len(bind) > 2 && bind[len(bind)-2:] == ":0" }

// Serve says that this process serves, gives back the sockets that it has no use for, and waits until the other one lets go. keeps
// are things without a descriptor that it goes on with. The lines of those that still have sessions come with the answer. When
// the other process is gone there is no answer, and no error: nobody else serves then. With an error this process must end.
func (p *Predecessor) Serve(build string, keeps ...Socket) (yours Message, former []*Line, err error) {
	used := keeps
	for i, s := range p.Offer.Sockets {
		if p.taken[i] != "" {
			used = append(used, s)
		}
	}
	p.giveUp()
	p.served = true
	err = p.Send(Message{Kind: Serving, PID: os.Getpid(), Build: build, Sockets: used})
	for err == nil {
		var files []*os.File
		if yours, files, err = p.Receive(time.Now().Add(anAnswer)); err == nil && yours.Kind == Yours {
			former, err = lines(files)
			return yours, former, err
		}
	}
	if Gone(err) {
		return Message{}, nil, nil
	}
	return Message{}, nil, fmt.Errorf("upgrade: wait for the old process to let go: %w", err)
}

// Gone tells whether an error of a line means that the other process has ended.
func Gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// lines makes lines of descriptors.
func lines(files []*os.File) (all []*Line, err error) {
	defer closeAll(files)
	for _, f := range files {
		l, err := newLine(f)
		if err != nil {
			for _, l := range all {
				l.Close()
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// Fail says why this process can't serve. It does nothing for nil, or after Serve.
func (p *Predecessor) Fail(err error) {
	if p == nil || p.served {
		return
	}
	p.giveUp()
	_ = p.Send(Message{Kind: Failed, Error: err.Error()}) // it may be gone
	p.Close()
}

func (p *Predecessor) giveUp() {
	closeAll(p.files)
	p.files = nil
}

// Uses tells whether a list of sockets has one.
func Uses(list []Socket, owner, bind string) bool { return slices.Contains(list, Socket{owner, bind}) }
