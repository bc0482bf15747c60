package probe

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
)

const (
	// maxMetrics bounds how much of a metrics page is read, in bytes. A front end's page has some 100 KB, a
	// few MB with the metrics of many tables, and tells of the leader at its very end.
	maxMetrics = 8 << 20
	// maxLine bounds the lines that are looked at; longer ones are skipped.
	maxLine = 4 << 10
)

// role asks the metrics page whether this front end leads. It is no part of the verdict: without an answer the role is
// not known.
func (k *asker) role() {
	response, f := k.get("/metrics")
	if f != nil {
		return
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		k.result.ConfigError = k.wrongRequest(response.Request.URL.String() + " answers " + strconv.Itoa(response.StatusCode)).reason()
		return
	default:
		return
	}
	leader, known := ReadLeader(response.Body)
	k.result.RoleKnown = known
	if leader {
		k.result.Role = RoleLeader
	}
}

// ReadLeader reads a front end's metrics page and tells whether it leads: only the leader has
// node_info{type="is_master"} 1. Others have further samples of node_info (PrometheusMetricVisitor.java,
// getNodeInfo). It is not known when there are none, or when the page breaks off or is longer than 8 MiB before the
// leader shows itself. leader implies known.
func ReadLeader(body io.Reader) (leader, known bool) {
	lines := bufio.NewReaderSize(io.LimitReader(body, maxMetrics+1), maxLine)
	read, nodeInfo, skip := 0, false, false
	for {
		line, err := lines.ReadSlice('\n')
		read += len(line)
		full := errors.Is(err, bufio.ErrBufferFull)
		if !skip && !full {
			switch isMaster, value := nodeInfoSample(line); {
			case isMaster && value == 1:
				return true, true
			case isMaster, bytes.HasPrefix(line, []byte("node_info{")):
				nodeInfo = true
			}
		}
		skip = full
		switch {
		case full:
		case err == io.EOF:
			return false, nodeInfo && read <= maxMetrics
		case err != nil:
			return false, false
		}
	}
}

// nodeInfoSample reads a line such as node_info{type="is_master"} 1.
func nodeInfoSample(line []byte) (isMaster bool, value float64) {
	rest, ok := bytes.CutPrefix(line, []byte("node_info{"))
	if !ok {
		return false, 0
	}
	labels, rest, ok := bytes.Cut(rest, []byte("}"))
	if !ok {
		return false, 0
	}
	for label := range bytes.SplitSeq(labels, []byte(",")) {
		isMaster = isMaster || string(bytes.TrimSpace(label)) == `type="is_master"`
	}
	fields := bytes.Fields(rest)
	if !isMaster || len(fields) == 0 {
		return false, 0
	}
	value, err := strconv.ParseFloat(string(fields[0]), 64)
	return err == nil, value
}
