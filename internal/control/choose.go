package control

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"fairlead/balancer"
)

// values is the query as the client sends it.
func (q SessionsQuery) values() url.Values {
	v := url.Values{}
	if q.Sort != "" {
		v.Set("sort", string(q.Sort))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// readSessionsQuery is the other end of values.
func readSessionsQuery(v url.Values) (SessionsQuery, error) {
	q := SessionsQuery{Sort: Sort(v.Get("sort"))}
	if q.Sort != "" && !slices.Contains(Sorts, q.Sort) {
		return q, fmt.Errorf("%.40q is no order of sessions: there are %v", q.Sort, Sorts)
	}
	if limit := v.Get("limit"); limit != "" {
		var err error
		if q.Limit, err = strconv.Atoi(limit); err != nil || q.Limit < 0 {
			return q, fmt.Errorf("limit: %.40q is no number from 0 on", limit)
		}
	}
	return q, nil
}

// choose sorts sessions, which come by their ids, and cuts off those beyond the limit.
func (q SessionsQuery) choose(all []balancer.LiveSession) []balancer.LiveSession {
	var first func(a, b balancer.LiveSession) int
	switch q.Sort {
	case ByBytes:
		first = func(a, b balancer.LiveSession) int { return cmp.Compare(b.ToServer+b.ToClient, a.ToServer+a.ToClient) }
	case ByAge:
		first = func(a, b balancer.LiveSession) int { return cmp.Compare(b.Age, a.Age) }
	case ByIdle:
		first = func(a, b balancer.LiveSession) int { return cmp.Compare(b.Idle, a.Idle) }
	}
	if first != nil {
		slices.SortStableFunc(all, first)
	}
	if q.Limit > 0 && len(all) > q.Limit {
		all = all[:q.Limit]
	}
	return all
}
