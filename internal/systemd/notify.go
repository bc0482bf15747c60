package systemd

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// States of sd_notify(3).
const (
	// Ready says that the service has started.
	Ready = "READY=1"
	// Stopping says that it is about to end.
	Stopping = "STOPPING=1"
	// Alive is the sign of life that the watchdog waits for.
	Alive = "WATCHDOG=1"
)

// Reloading says that the service is busy with a change of itself, until it says Ready again. The time is that at
// which it began (CLOCK_MONOTONIC), as sd_notify(3) asks for.
func Reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "RELOADING=1"
	}
	return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10)
}

// MainPID says which process is the service's main one from now on: the sender's child, or the sender itself.
func MainPID(pid int) string { return "MAINPID=" + strconv.Itoa(pid) }

// ForSuccessor is an environment without what is meant for this process alone, so that another one can take its place
// before the service manager.
func ForSuccessor(environment []string, own int) []string {
	return slices.DeleteFunc(slices.Clone(environment), func(v string) bool {
		pid, ok := strings.CutPrefix(v, "WATCHDOG_PID=")
		return ok && pid == strconv.Itoa(own)
	})
}

// Status is a line for people: what the service does. "systemctl status" shows it.
func Status(line string) string {
	return "STATUS=" + strings.ReplaceAll(line, "\n", " ") // a line feed would begin another state
}

// ExtendTimeout asks the service manager to wait that long from now for the present step, whatever it usually grants.
func ExtendTimeout(d time.Duration) string {
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10)
}

// sendTimeout bounds a notification. The service manager reads its socket at once, or the machine has other troubles.
const sendTimeout = time.Second

// Notifier sends states to the service manager. The nil Notifier sends nothing.
type Notifier struct {
	socket *net.UnixConn
	// Watchdog is how often the service manager wants to see Alive at least; 0 means that it does not.
	Watchdog time.Duration
}

// FromEnvironment returns a notifier for the service manager that started this process: $NOTIFY_SOCKET, $WATCHDOG_USEC
// and $WATCHDOG_PID (sd_watchdog_enabled(3)). Without the first of these it is nil.
func FromEnvironment() (*Notifier, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	// A leading @ is an abstract socket, to Go as to systemd.
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		return nil, fmt.Errorf("systemd: NOTIFY_SOCKET: %w", err)
	}
	watchdog, err := watchdog(os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID"), os.Getpid())
	if err != nil {
		socket.Close()
		return nil, err
	}
	return &Notifier{socket: socket, Watchdog: watchdog}, nil
}

// watchdog reads the environment of the watchdog; one that was meant for another process is none.
func watchdog(microseconds, pid string, own int) (time.Duration, error) {
	if microseconds == "" || pid != "" && pid != strconv.Itoa(own) {
		return 0, nil
	}
	n, err := strconv.ParseInt(microseconds, 10, 52) // as many as a Duration can hold
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("systemd: WATCHDOG_USEC is %q, want a number of microseconds", microseconds)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Notify sends states in one datagram, in which they take effect together.
func (n *Notifier) Notify(states ...string) error {
	if n == nil {
		return nil
	}
	if err := n.socket.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	if _, err := n.socket.Write([]byte(strings.Join(states, "\n"))); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	return nil
}

// Close gives the socket back.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.socket.Close()
}
