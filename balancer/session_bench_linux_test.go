package balancer

import (
	"fmt"
	"log/slog"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/metrics"
)

// BenchmarkLogin carries one session after the other from the connect to the close: a greeting, a login, its answer. What
// is not the kernel's is the set-up's own cost; client and server are plain calls of the benchmark, without allocations.
func BenchmarkLogin(b *testing.B) {
	for _, kind := range engines() {
		b.Run(kind, func(b *testing.B) {
			server := blockingSocket(b)
			defer unix.Close(server)
			if err := unix.Listen(server, 16); err != nil {
				b.Fatal(err)
			}
			own, err := unix.Getsockname(server)
			if err != nil {
				b.Fatal(err)
			}
			balancer := quietBalancer(b, kind, fmt.Sprintf("127.0.0.1:%d", own.(*unix.SockaddrInet4).Port))
			defer balancer.Close()
			to := &unix.SockaddrInet4{Port: int(balancer.Listener("mysql").Addresses()[0].Port()), Addr: [4]byte{127, 0, 0, 1}}
			greeting, login, answer := []byte(plainGreeting), []byte(richLogin()), []byte(packetOf(2, ok))
			b.ReportAllocs()
			for b.Loop() {
				client := blockingSocket(b)
				if err := unix.Connect(client, to); err != nil {
					b.Fatal(err)
				}
				accepted, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
				if err != nil {
					b.Fatal(err)
				}
				carry(b, accepted, client, greeting)
				carry(b, client, accepted, login)
				carry(b, accepted, client, answer)
				unix.Close(client)
				if n, err := unix.Read(accepted, make([]byte, 1)); n != 0 || err != nil {
					b.Fatalf("read %d bytes, %v, where the session ends", n, err)
				}
				unix.Close(accepted)
			}
		})
	}
}

// quietBalancer is a balancer of one loop, without log and records, in front of one backend.
func quietBalancer(b *testing.B, kind, backend string) *Balancer {
	config := loopbackConfig(kind, backend)
	config.Engine.Loops = 1
	made, err := New(config, Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
	if err != nil {
		b.Fatal(err)
	}
	if err := made.Start(); err != nil {
		b.Fatal(err)
	}
	return made
}

func blockingSocket(b *testing.B) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	return fd
}

var received [packetBuffer]byte

// carry writes to one end what must arrive at the other.
func carry(b *testing.B, from, to int, packet []byte) {
	if _, err := unix.Write(from, packet); err != nil {
		b.Fatal(err)
	}
	for got := 0; got < len(packet); {
		n, err := unix.Read(to, received[:])
		if n <= 0 || err != nil {
			b.Fatalf("read %d bytes, %v, of a packet of %d", n, err, len(packet))
		}
		got += n
	}
}
