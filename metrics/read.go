package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Reading is what some counters of a backend say at one moment.
type Reading struct {
	ToServer, ToClient float64 // bytes
	Greetings          uint64  // greetings that sessions have got
	GreetingSeconds    float64 // and the time that they waited for them, all together
}

// Read reads them. It takes some microseconds: for whoever looks now and then.
func (b *Backend) Read() Reading {
	var r Reading
	var read dto.Metric
	if b.BytesToServer.Write(&read) == nil {
		r.ToServer = read.GetCounter().GetValue()
	}
	if b.BytesToClient.Write(&read) == nil {
		r.ToClient = read.GetCounter().GetValue()
	}
	if m, ok := b.Greeting.(prometheus.Metric); ok && m.Write(&read) == nil {
		r.Greetings, r.GreetingSeconds = read.GetHistogram().GetSampleCount(), read.GetHistogram().GetSampleSum()
	}
	return r
}
