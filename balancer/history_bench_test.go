package balancer

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkSample is what remembering costs each second.
func BenchmarkSample(b *testing.B) {
	for _, n := range []int{3, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var backends []BackendConfig
			for i := range n {
				backends = append(backends, BackendConfig{Address: fmt.Sprintf("10.0.%d.%d:9030", i/250, i%250+1), Weight: 1})
			}
			rig := still(b, backends...)
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Second)
				rig.sample(now)
			}
		})
	}
}
