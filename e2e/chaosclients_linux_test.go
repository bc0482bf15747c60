package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"fairlead/internal/mysqlwire"
)

// habits are how a client of the chaos behaves.
type habits struct {
	name      string
	questions float64       // most of a session; magnitude chooses
	pause     time.Duration // the longest between two batches
	atOnce    int           // most questions on their way
	slow      bool          // reads with pauses
}

var chaosHabits = []habits{
	{name: "steady", questions: 20_000, atOnce: 1},
	{name: "in batches", questions: 100_000, atOnce: 64},
	{name: "short", questions: 2, pause: 50 * time.Millisecond, atOnce: 1},
	{name: "in batches", questions: 30_000, pause: 20 * time.Millisecond, atOnce: 64},
	{name: "idle", questions: 5, pause: 3 * time.Second, atOnce: 1},
	{name: "slow", questions: 20, pause: 100 * time.Millisecond, atOnce: 4, slow: true},
	{name: "short", questions: 1, pause: 100 * time.Millisecond, atOnce: 1},
}

// chaosClient is one client, which comes again and again.
type chaosClient struct {
	habits
	c      *chaos
	number int
	random *rand.Rand
	batch  questionnaire
	buffer []byte
}

// chaosSession is one session of it.
type chaosSession struct {
	conn     *net.TCPConn
	caps     mysqlwire.Capability
	who      identity
	fe       int // as an index; -1 while it is not known
	began    time.Time
	answered time.Time // when it was whole for the last time that is known
	asked    uint64
}

var chaosSessions atomic.Uint64 // names sessions

// live comes and goes until ctx ends. Between its deeds it can be held by the gate.
func (k *chaosClient) live(ctx context.Context) {
	k.buffer = make([]byte, 64<<10)
	for ctx.Err() == nil {
		var s *chaosSession
		k.inside(func() { s = k.enter() })
		if s != nil {
			k.stay(ctx, s)
		}
		k.rest(ctx)
	}
}

// inside does something while nobody has closed the gate.
func (k *chaosClient) inside(deed func()) {
	k.c.gate.RLock()
	defer k.c.gate.RUnlock()
	deed()
}

// rest pauses.
func (k *chaosClient) rest(ctx context.Context) {
	if k.pause == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(k.random.Int64N(int64(k.pause))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// enter logs in, and learns who serves it; nil when that has failed.
func (k *chaosClient) enter() *chaosSession {
	s := &chaosSession{began: time.Now(), fe: -1}
	s.answered = s.began
	name := fmt.Sprintf("s%d", chaosSessions.Add(1))
	err := k.logIn(s, name)
	k.c.judge.login(s.client(), s.began, time.Now(), err)
	if err != nil {
		if s.conn != nil {
			s.conn.Close()
		}
		return nil
	}
	who, err := whoAmI(s.conn)
	if err == nil && who.database != name {
		err = fmt.Errorf("%w: session %s is called %s", errWrong, name, who.database)
	}
	if err != nil {
		k.c.judge.lost(s, err)
		s.conn.Close()
		return nil
	}
	s.who, s.fe = who, k.c.index(who.server)
	k.c.judge.present(s)
	return s
}

// logIn connects and logs in.
func (k *chaosClient) logIn(s *chaosSession, database string) error {
	conn, err := k.c.dial(k.random)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.conn = conn
	conn.SetDeadline(time.Now().Add(chaosPatience))
	h, payload, err := mysqlwire.ReadPacket(conn, nil, 1<<16)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	greeting, err := mysqlwire.ParseGreeting(payload)
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	login := mysqlwire.Login{MaxPacket: mysqlwire.MaxPayload, Charset: 33, User: appUser, Database: database,
		AuthPlugin: mysqlwire.NativePassword, AuthResponse: mysqlwire.NativeResponse(greeting.Scramble, appPassword)}
	login.Capabilities = mysqlwire.ClientProtocol41 | mysqlwire.ClientSecureConnection | mysqlwire.ClientPluginAuth |
		mysqlwire.ClientConnectWithDB
	s.caps = login.Capabilities & greeting.Capabilities
	packet, _ := mysqlwire.AppendPacket(nil, login.Append(nil), h.Sequence+1)
	for {
		if _, err := conn.Write(packet); err != nil {
			return fmt.Errorf("login: %w", err)
		}
		h, payload, err := mysqlwire.ReadPacket(conn, nil, 1<<16)
		switch {
		case err != nil:
			return fmt.Errorf("the login's answer: %w", err)
		case len(payload) == 0:
			return fmt.Errorf("%w: an empty answer to the login", errWrong)
		}
		switch payload[0] {
		case 0:
			return nil
		case 0xff:
			e, err := mysqlwire.ParseError(payload)
			if err != nil {
				return errors.Join(errWrong, err)
			}
			return e
		}
		request, err := mysqlwire.ParseAuthSwitch(payload)
		if err != nil {
			return errors.Join(errWrong, err)
		}
		packet, _ = mysqlwire.AppendPacket(nil, mysqlwire.NativeResponse(request.Data, appPassword), h.Sequence+1)
	}
}

// stay asks, and leaves in some manner.
func (k *chaosClient) stay(ctx context.Context, s *chaosSession) {
	defer k.c.judge.absent(s)
	defer s.conn.Close()
	most := magnitude(k.random, k.questions) + 1
	for s.asked < most && ctx.Err() == nil {
		k.rest(ctx)
		var err error
		k.inside(func() { err = k.ask(s, min(most-s.asked, uint64(k.atOnce))) })
		if err != nil {
			k.c.judge.lost(s, err)
			return
		}
	}
	k.inside(func() { k.leave(s) })
}

// sizes are what a question carries each way: mostly little, now and then some MB. Few are large, or nothing else would be asked.
func (k *chaosClient) sizes() (toServer, toClient int) {
	size := func() int {
		switch p := k.random.IntN(2000); {
		case p == 0:
			return int(magnitude(k.random, 4<<20))
		case p < 20:
			return int(magnitude(k.random, 64<<10))
		}
		return k.random.IntN(200)
	}
	return size(), size()
}

// ask asks a batch of so many questions at most, and checks the answers. Large questions go alone: a server that can't write
// its answer does not read on.
func (k *chaosClient) ask(s *chaosSession, most uint64) error {
	const large = 2000
	k.batch.clear()
	for n := 1 + k.random.Uint64N(most); n > 0; n-- {
		toServer, toClient := k.sizes()
		big := max(toServer, toClient) > large
		if big && len(k.batch.starts) > 0 {
			toServer, toClient, big = 1, 1, false
		}
		s.asked++
		k.batch.add(s.who, s.caps, s.asked, k.random, toServer, toClient)
		if big {
			break
		}
	}
	s.conn.SetDeadline(time.Now().Add(chaosPatience))
	if _, err := s.conn.Write(k.batch.questions); err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	buffer := k.buffer
	if k.slow { // so slowly that what is on its way has to wait in fairlead
		buffer = buffer[:4<<10]
		<-time.After(time.Duration(k.random.Int64N(int64(50 * time.Millisecond))))
	}
	if err := k.batch.read(s.conn, buffer); err != nil {
		return err
	}
	s.answered = time.Now()
	k.c.judge.answered(len(k.batch.starts), len(k.batch.questions)+len(k.batch.answers))
	return nil
}

// leave ends a session, one way or another. Nothing must come any more.
func (k *chaosClient) leave(s *chaosSession) {
	s.conn.SetDeadline(time.Now().Add(chaosPatience))
	switch k.random.IntN(5) {
	case 0:
		s.conn.SetLinger(0)
		return
	case 1: // in the midst of an answer
		k.batch.clear()
		k.batch.add(s.who, s.caps, s.asked+1, k.random, 10, 1<<20)
		if _, err := s.conn.Write(k.batch.questions); err == nil {
			_, _ = s.conn.Read(k.buffer)
		}
		if k.random.IntN(2) == 0 {
			s.conn.SetLinger(0)
		}
		return
	case 2:
		s.conn.CloseWrite()
	default:
		packet, _ := mysqlwire.AppendPacket(nil, []byte{mysqlwire.ComQuit}, 0)
		_, _ = s.conn.Write(packet)
	}
	if n, _ := s.conn.Read(k.buffer); n > 0 {
		k.c.judge.violation("session %v: %d bytes after its end: %.100q", s.who, n, k.buffer[:n])
	}
}

// client is its address, empty without a connection.
func (s *chaosSession) client() string {
	if s.conn == nil {
		return ""
	}
	return s.conn.LocalAddr().String()
}

// String tells of a session in a violation.
func (s *chaosSession) String() string {
	return fmt.Sprintf("%s of client %s, server %s, connection %d, began %s, %d questions", s.who.database, s.client(), s.who.server,
		s.who.connection, s.began.Format("05.000"), s.asked)
}

// index is a front end's place, by its name.
func (c *chaos) index(name string) int {
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 || n > len(c.fes) {
		c.judge.violation("a server called %q answers", name)
		return -1
	}
	return n - 1
}

// Clients come from ports that they choose themselves, so that fairlead alone suffers when the kernel has none left to choose.
const firstClientPort, clientPorts = 2000, 8000

var clientPort atomic.Uint32

// dial connects to fairlead, from one of many addresses.
func (c *chaos) dial(random *rand.Rand) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), chaosPatience)
	defer cancel()
	for attempts := 0; ; attempts++ {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 9, byte(1+random.IntN(250))), Port: int(firstClientPort + clientPort.Add(1)%clientPorts)}}
		conn, err := d.DialContext(ctx, "tcp", c.address)
		if err == nil {
			return conn.(*net.TCPConn), nil
		}
		if attempts == 10 || !portInUse(err) {
			return nil, err
		}
	}
}
