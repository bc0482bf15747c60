package deploy

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"fairlead/internal/config"
)

const (
	dockerfilePath = "container/Dockerfile"
	manifestPath   = "kubernetes/fairlead.yaml"
)

// imageBinary builds the program as the Dockerfile does, with version 9.8.7.
func imageBinary(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the image is one of Linux")
	}
	m := regexp.MustCompile(`(?m)^RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "([^"]*)" -o \S+ \.`).FindStringSubmatch(read(t, dockerfilePath))
	if m == nil {
		t.Fatal("the Dockerfile builds in a way that this test does not understand")
	}
	binary := filepath.Join(t.TempDir(), "fairlead")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", strings.ReplaceAll(m[1], "${VERSION}", "9.8.7"), "-o", binary, ".")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return binary
}

// TestImageBinary: the program is static, for scratch has no loader, and has its version.
func TestImageBinary(t *testing.T) {
	binary := imageBinary(t)
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has a segment %v", p.Type)
		}
	}
	if text := output(t, binary, "version"); !strings.Contains(text, "9.8.7") {
		t.Errorf("it calls itself %q", text)
	}
}

// TestImage: nobody's user, nothing beside the binary, and every directory of the source that it is made of.
func TestImage(t *testing.T) {
	text := read(t, dockerfilePath)
	for _, want := range []string{"\nFROM scratch\n", "\nUSER 65532:65532\n", `CMD ["run", "--config", "/etc/fairlead/config.toml"]`} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile has no %q", want)
		}
	}
	ignored := read(t, dockerfilePath+".dockerignore")
	listed, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "fairlead").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(listed)) {
		path, ours := strings.CutPrefix(strings.TrimSpace(line), "fairlead/")
		if dir, _, _ := strings.Cut(path, "/"); ours && !strings.Contains(ignored, "\n!"+dir+"\n") {
			t.Errorf("the build needs %s, which the image's build does not see", path)
		}
	}
}

// TestManifestConfig: the configuration in the manifest is right, and fits what stands around it.
func TestManifestConfig(t *testing.T) {
	manifest := read(t, manifestPath)
	_, text, found := strings.Cut(manifest, "  config.toml: |\n")
	text, _, ended := strings.Cut(text, "\n---\n")
	if !found || !ended {
		t.Fatal("the manifest has no config.toml")
	}
	f, err := config.Parse("config.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Warnings) != 0 {
		t.Errorf("warnings: %v", f.Warnings)
	}
	m := regexp.MustCompile(`terminationGracePeriodSeconds: (\d+)`).FindStringSubmatch(manifest)
	if m == nil || f.Shutdown.Grace+f.Shutdown.Drain >= seconds(t, m[1]) {
		t.Errorf("the pod is killed after %v s, before grace (%v) and drain (%v) are over", m, f.Shutdown.Grace, f.Shutdown.Drain)
	}
	if !f.Reload.Watch {
		t.Error("a changed ConfigMap is not followed")
	}
	if d := f.Discoveries["fe"]; d.Type != config.DNS {
		t.Errorf("the discovery is %+v", d)
	}
	for _, want := range []string{"port: admin", "path: /readyz", "path: /healthz", "containerPort: 9030", "containerPort: 9090", "replicas: 2", "kind: PodDisruptionBudget"} {
		if !strings.Contains(manifest, want) {
			t.Errorf("the manifest has no %q", want)
		}
	}
}

func seconds(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text + "s")
	if err != nil {
		t.Fatal(err)
	}
	return d
}
