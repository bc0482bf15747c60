package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// compiling bounds the first build of the reader of manifests, which has thousands of types to compile.
const compiling = 10 * time.Minute

// TestManifestTypes: Kubernetes' own types take the manifest, field for field; and they would not if there were a mistake.
func TestManifestTypes(t *testing.T) {
	reader := filepath.Join(t.TempDir(), "manifests")
	ctx, cancel := context.WithTimeout(t.Context(), compiling)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-C", "testdata/manifests", "-o", reader, ".")
	if text, err := build.CombinedOutput(); err != nil {
		if os.Getenv("FAIRLEAD_E2E_REQUIRE") == "1" {
			t.Fatalf("%v\n%s", err, text)
		}
		t.Skipf("Kubernetes' types are not to be had: %v\n%s", err, text)
	}
	manifest := read(t, manifestPath)
	accepts := func(text string) (string, error) {
		cmd := exec.CommandContext(ctx, reader)
		cmd.Stdin = strings.NewReader(text)
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	if said, err := accepts(manifest); err != nil || said != "ConfigMap\nService\nPodDisruptionBudget\nDeployment\n" {
		t.Errorf("%s: %v\n%s", manifestPath, err, said)
	}
	for mistake, right := range map[string]string{
		"maxUnavailible: 1":                      "maxUnavailable: 1",
		"terminationGracePeriodSeconds: soon":    "terminationGracePeriodSeconds: 75",
		"httpGet: {path: /readyz, prot: admin}":  "httpGet: {path: /readyz, port: admin}",
		"apiVersion: policy/v2":                  "apiVersion: policy/v1",
		"replicas: 2\n  replicas: 3":             "replicas: 2",
		"capabilities: {drop: [ALL], dorp: [x]}": "capabilities: {drop: [ALL]}",
	} {
		wrong := strings.Replace(manifest, right, mistake, 1)
		if said, err := accepts(wrong); err == nil || wrong == manifest {
			t.Errorf("%q is accepted:\n%s", mistake, said)
		}
	}
}
