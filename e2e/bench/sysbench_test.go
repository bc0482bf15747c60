//go:build linux

package main

import (
	"errors"
	"testing"
	"time"
)

const sysbenchOutput = `
Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.026 |*                                        57
       0.027 |**************************************** 3606
       2.760 |                                         1

SQL statistics:
    queries performed:
        read:                            3664
        total:                           3664
    transactions:                        3664   (51820.12 per sec.)
    queries:                             3664   (51825.12 per sec.)
`

func TestParseSysbench(t *testing.T) {
	rate, h, err := parseSysbench([]byte(sysbenchOutput))
	if err != nil {
		t.Fatal(err)
	}
	if rate != 51825.12 {
		t.Errorf("%v per second", rate)
	}
	if h.total != 3664 {
		t.Errorf("%d queries in the histogram", h.total)
	}
	if got := h.quantile(0.5).Round(time.Microsecond); got != 27*time.Microsecond {
		t.Errorf("median %v", got)
	}
}

func TestParseSysbenchWithoutFigures(t *testing.T) {
	for _, text := range []string{"", "FATAL: unable to connect", "    queries:   0   (0.00 per sec.)"} {
		if _, _, err := parseSysbench([]byte(text)); !errors.Is(err, errSysbenchOutput) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
