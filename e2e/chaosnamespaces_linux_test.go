package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// chaosInside says that the test has been given namespaces of its own.
const chaosInside = "FAIRLEAD_E2E_CHAOS_INSIDE"

// isolated runs the test in namespaces of its own, where ports can be made scarce and file systems filled, and tells whether it
// could.
func isolated(t *testing.T, program string, seed uint64) bool {
	cmd := exec.Command(os.Args[0], "-test.run=^TestChaos$", "-test.v", "-test.count=1", "-test.timeout=0")
	cmd.Env = append(os.Environ(), chaosInside+"=1", builtBinary+"="+program,
		fmt.Sprintf("%s=--seed %d %s", chaosArguments, seed, os.Getenv(chaosArguments)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&said, os.Stdout), io.MultiWriter(&said, os.Stderr)
	if os.Getenv(chaosArguments) == "" {
		cmd.Stdout, cmd.Stderr = &said, &said
	}
	if err := cmd.Start(); err != nil {
		t.Logf("no namespaces (%v): without shortages of ports and of room for the log", err)
		return false
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said.String())
	} else {
		t.Log(said.String())
	}
	return true
}

// settleIn makes new namespaces a place to be: with a loopback interface, its own processes, and a small file system. This process
// is the first one there: whatever fairlead leaves behind ends with it.
func settleIn(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatalf("lo: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("mount: %v", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		t.Fatalf("mount: %v", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}
