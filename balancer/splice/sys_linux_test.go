package splice

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func TestSocketAddresses(t *testing.T) {
	for _, text := range []string{"127.0.0.1:1", "192.0.2.7:65535", "[::1]:9030", "[2001:db8::7]:0"} {
		address := netip.MustParseAddrPort(text)
		var raw syscall.RawSockaddrInet6
		size := toSockaddr(address, &raw)
		if want := map[bool]uintptr{true: 16, false: 28}[address.Addr().Is4()]; size != want {
			t.Errorf("%v takes %d bytes, want %d", address, size, want)
		}
		var any syscall.RawSockaddrAny
		*(*syscall.RawSockaddrInet6)(unsafe.Pointer(&any)) = raw
		if got := fromSockaddr(&any); got != address {
			t.Errorf("%v came back as %v", address, got)
		}
	}
	if got := fromSockaddr(&syscall.RawSockaddrAny{}); got.IsValid() {
		t.Errorf("no family gives %v", got)
	}
}

func TestZones(t *testing.T) {
	loopback, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip(err)
	}
	for text, want := range map[string]uint32{
		"fe80::1": 0, "fe80::1%7": 7, "fe80::1%lo": uint32(loopback.Index), "fe80::1%no-such-link": 0,
	} {
		if got := zone(netip.MustParseAddr(text)); got != want {
			t.Errorf("the zone of %s is %d, want %d", text, got, want)
		}
	}
}

func TestKeepaliveSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int{0: 1, time.Millisecond: 1, time.Second: 1, 1001 * time.Millisecond: 2, time.Hour: 3600} {
		if got := seconds(d); got != want {
			t.Errorf("%v is %d seconds, want %d", d, got, want)
		}
	}
}
