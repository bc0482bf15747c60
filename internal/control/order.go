package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"fairlead/balancer"
)

// longestDeadline bounds how far ahead a drain may look.
const longestDeadline = 365 * 24 * time.Hour

func (s *Server) order(w http.ResponseWriter, r *http.Request, o balancer.Order) {
	var asked Instruction
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, longestBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&asked); err != nil || asked.Backend == "" {
		answer(w, http.StatusBadRequest, Fault{`the request must be {"backend": "…"}, perhaps with "close_idle": true and "deadline": "5m"`})
		return
	}
	given, err := asked.standing(o, time.Now())
	if err != nil {
		answer(w, http.StatusBadRequest, Fault{err.Error()})
		return
	}
	given.By, _ = r.Context().Value(peerKey{}).(string)
	if !s.beginOrder() {
		sendBack(w)
		return
	}
	code, said := s.carryOut(asked.Backend, given)
	s.ordering.RUnlock()
	answer(w, code, said)
}

// carryOut gives an order for the backend that word means, and returns what to answer.
func (s *Server) carryOut(word string, given balancer.Standing) (code int, said any) {
	b, err := find(s.balancer, word)
	if err == nil {
		err = b.Pool.Order(b, given)
	}
	switch {
	case errors.Is(err, errAmbiguous):
		return http.StatusConflict, Fault{err.Error()}
	case err == nil:
		return http.StatusOK, Ordered{Pool: b.Pool.Name(), Backend: b.Name, State: b.State(), Sessions: b.Sessions(), Deadline: given.Deadline,
			NotKept: s.keep()}
	case given.Order == balancer.Enable:
		if was, ok := s.balancer.EnableAbsent(word); ok {
			return http.StatusOK, Ordered{Pool: was.Pool, Backend: was.Backend, Absent: true, NotKept: s.keep()}
		}
	}
	return http.StatusNotFound, Fault{err.Error()}
}

// standing is the order that an instruction asks for.
func (i Instruction) standing(o balancer.Order, now time.Time) (balancer.Standing, error) {
	made := balancer.Standing{Order: o, At: now, CloseIdle: i.CloseIdle}
	if o == balancer.Enable && (i.CloseIdle || i.Deadline != "") {
		return made, errors.New("close_idle and deadline go with drain and disable, not with enable")
	}
	if i.Deadline == "" {
		return made, nil
	}
	d, err := time.ParseDuration(i.Deadline)
	if err != nil || d < 0 || d > longestDeadline {
		return made, fmt.Errorf(`deadline is no duration: %.40q: write such as "5m"`, i.Deadline)
	}
	made.Deadline = now.Add(d)
	return made, nil
}

// KeepOrders has f called after each order, to keep what stands over a restart. It must be called before Serve.
func (s *Server) KeepOrders(f func() error) { s.kept = f }

// keep returns why the orders could not be kept.
func (s *Server) keep() string {
	if s.kept == nil {
		return ""
	}
	if err := s.kept(); err != nil {
		return err.Error()
	}
	return ""
}
