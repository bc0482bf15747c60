package probe

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadLeader(t *testing.T) {
	const nodes = "# TYPE  node_info gauge\nnode_info{type=\"fe_node_num\", state=\"total\"} 3\n"
	long := "starrocks_fe_x{label=\"" + strings.Repeat("x", 3*maxLine) + "\"} 1\n"
	for name, test := range map[string]struct {
		body          string
		leader, known bool
	}{
		"leader":              {nodes + "node_info{type=\"is_master\"} 1\n", true, true},
		"leader at the end":   {nodes + `node_info{type="is_master"} 1`, true, true},
		"leader as a float":   {`node_info{ type="is_master", x="y" }  1.0 1700000000`, true, true},
		"follower":            {nodes, false, true},
		"not the master":      {"node_info{type=\"is_master\"} 0\n", false, true},
		"another system":      {"up 1\n", false, false},
		"empty":               {"", false, false},
		"another metric":      {nodes + "x_node_info{type=\"is_master\"} 1\n", false, true},
		"a longer value":      {nodes + "node_info{type=\"is_master_x\"} 1\n", false, true},
		"no value":            {nodes + "node_info{type=\"is_master\"}", false, true},
		"after a long line":   {long + nodes + "node_info{type=\"is_master\"} 1\n", true, true},
		"within a long line":  {nodes + strings.Repeat("x", maxLine) + "node_info{type=\"is_master\"} 1\n", false, true},
		"too long a page":     {nodes + strings.Repeat("x 1\n", maxMetrics/4) + "node_info{type=\"is_master\"} 1\n", false, false},
		"Windows' line ends":  {"node_info{type=\"is_master\"} 1\r\n", true, true},
		"label without equal": {"node_info{type} 1\n", false, true},
	} {
		if leader, known := ReadLeader(strings.NewReader(test.body)); leader != test.leader || known != test.known {
			t.Errorf("%s: leader %v, known %v", name, leader, known)
		}
	}
	broken := io.MultiReader(strings.NewReader(nodes), iotest.ErrReader(errors.New("reset")))
	if leader, known := ReadLeader(broken); leader || known {
		t.Errorf("a page that breaks off: leader %v, known %v", leader, known)
	}
}

func FuzzReadLeader(f *testing.F) {
	f.Add([]byte("node_info{type=\"is_master\"} 1\n"))
	f.Add([]byte("node_info{type=\"fe_node_num\", state=\"total\"} 3\n"))
	f.Add(bytes.Repeat([]byte("x"), maxLine+1))
	f.Fuzz(func(t *testing.T, body []byte) {
		leader, known := ReadLeader(bytes.NewReader(body))
		if leader && (!known || !bytes.Contains(body, []byte(`type="is_master"`))) {
			t.Fatalf("leader %v, known %v", leader, known)
		}
		if known && !bytes.Contains(body, []byte("node_info{")) {
			t.Fatal("known from nothing")
		}
		// How the bytes arrive makes no difference.
		if l, k := ReadLeader(iotest.OneByteReader(bytes.NewReader(body))); l != leader || k != known {
			t.Fatalf("in single bytes: leader %v, known %v", l, k)
		}
	})
}
