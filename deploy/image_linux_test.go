package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// image is a directory with what the Dockerfile puts into the image, and nothing else.
type image struct {
	t    *testing.T
	root string
	user *syscall.Credential
}

// newImage does what the last stage of the Dockerfile says, with the built program and a stand-in for the certificates.
func newImage(t *testing.T) *image {
	t.Helper()
	_, stage, found := strings.Cut(read(t, dockerfilePath), "\nFROM scratch\n")
	if !found {
		t.Fatal("the Dockerfile has no stage from scratch")
	}
	i := &image{t: t, root: t.TempDir(), user: &syscall.Credential{}}
	built := imageBinary(t)
	for _, m := range regexp.MustCompile(`(?m)^COPY --from=build (?:--chown=(\d+):(\d+) )?(\S+) (\S+)$`).FindAllStringSubmatch(stage, -1) {
		to := filepath.Join(i.root, m[4])
		switch m[3] {
		case "/out/fairlead":
			i.copy(built, to)
		case "/out/run/fairlead":
			i.must(os.MkdirAll(to, 0o755))
		default:
			i.copy("/dev/null", to)
		}
		if m[1] != "" {
			i.must(os.Chown(to, int(number(t, m[1])), int(number(t, m[2]))))
		}
	}
	user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindStringSubmatch(stage)
	if user == nil {
		t.Fatal("the Dockerfile names no user by numbers")
	}
	i.user.Uid, i.user.Gid = number(t, user[1]), number(t, user[2])
	// The container engine adds these, and whoever runs it the configuration.
	i.must(os.Mkdir(filepath.Join(i.root, "proc"), 0o755))
	i.must(os.MkdirAll(filepath.Join(i.root, "etc/fairlead"), 0o755))
	i.must(os.Chmod(i.root, 0o755))
	return i
}

func (i *image) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

func (i *image) copy(from, to string) {
	i.t.Helper()
	i.must(os.MkdirAll(filepath.Dir(to), 0o755))
	in, err := os.Open(from)
	i.must(err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	i.must(err)
	_, err = io.Copy(out, in)
	i.must(err)
	i.must(out.Close())
}

// run runs a program of the image as its user.
func (i *image) run(ctx context.Context, words ...string) (string, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: i.root, Credential: i.user, Pdeathsig: syscall.SIGKILL}
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// words are those of an instruction of the Dockerfile that is a list.
func words(t *testing.T, instruction string) (all []string) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + instruction + ` .*?(\[.*\])$`).FindStringSubmatch(strings.ReplaceAll(read(t, dockerfilePath), instruction+" [", instruction+"  ["))
	if m == nil || json.Unmarshal([]byte(m[1]), &all) != nil {
		t.Fatalf("the Dockerfile has no %s that is a list", instruction)
	}
	return all
}

func number(t *testing.T, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// container is a running image.
type container struct {
	*image
	cmd   *exec.Cmd // the parent of its process 1
	log   bytes.Buffer
	ended chan error
}

// start starts a program of the image as its user, as process 1 of a PID namespace.
func (i *image) start(unshare, chroot string, program []string) *container {
	i.t.Helper()
	user := fmt.Sprintf("--userspec=%d:%d", i.user.Uid, i.user.Gid)
	c := &container{image: i, ended: make(chan error, 1)}
	c.cmd = exec.Command(unshare, append([]string{"--pid", "--fork", "--kill-child", "--mount-proc=" + filepath.Join(i.root, "proc"),
		chroot, user, "--groups=", i.root}, program...)...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	i.must(c.cmd.Start())
	go func() { c.ended <- c.cmd.Wait() }()
	return c
}

// first is its process 1, whose end is that of all in it; 0 when there is none.
func (c *container) first() int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", c.cmd.Process.Pid))
	n, _ := strconv.Atoi(strings.TrimSpace(string(children)))
	return n
}

// fail ends the container, and the test with what it has logged.
func (c *container) fail(what string, about ...any) {
	c.t.Helper()
	if n := c.first(); n > 0 {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
	<-c.ended
	c.t.Fatalf("%s %v\n%s", what, about, c.log.String())
}

// awaitHealth returns once the image's own check says that the container is healthy.
func (c *container) awaitHealth(ctx context.Context) {
	c.t.Helper()
	check := words(c.t, "HEALTHCHECK")
	for again := time.NewTicker(10 * time.Millisecond); ; <-again.C {
		text, err := c.run(ctx, check...)
		if err == nil && strings.Contains(text, `"version": "9.8.7"`) {
			return
		}
		if ctx.Err() != nil {
			c.fail("never healthy:", text, err)
		}
	}
}

// TestImageRuns runs the image without a container engine, in a directory with nothing but the image's files and /proc. It serves, is
// found healthy, is upgraded, and ends in order.
func TestImageRuns(t *testing.T) {
	unshare, chroot := required(t, "unshare"), required(t, "chroot")
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if text, err := try(t, unshare, "--pid", "--mount", "--fork", "true"); err != nil {
		t.Skipf("no namespaces can be made: %s", text)
	}
	i := newImage(t)
	i.must(os.WriteFile(filepath.Join(i.root, "etc/fairlead/config.toml"), []byte(imageConfig), 0o644))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := i.start(unshare, chroot, append(words(t, "ENTRYPOINT"), words(t, "CMD")...))
	c.awaitHealth(ctx)
	if text, err := c.run(ctx, "/usr/local/bin/fairlead", "upgrade", "--config", "/etc/fairlead/config.toml"); err != nil || !strings.Contains(text, "process 1 goes on") {
		c.fail("upgrade:", text, err)
	}
	i.must(syscall.Kill(c.first(), syscall.SIGTERM))
	select {
	case err := <-c.ended:
		if err != nil || strings.Contains(c.log.String(), "ERROR") {
			t.Errorf("it ends with %v\n%s", err, c.log.String())
		}
	case <-ctx.Done():
		c.fail("it does not end")
	}
}

// imageConfig is what whoever runs the image brings.
const imageConfig = `
[admin]
listen = "127.0.0.1:0"
[shutdown]
grace = "0s"
[[listener]]
name = "mysql"
bind = "127.0.0.1:0"
pool = "fe"
[[pool]]
name = "fe"
[[pool.backend]]
address = "127.0.0.1:1"
`
