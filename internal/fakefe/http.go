package fakefe

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// serveHTTP serves the FE's HTTP port until the listener is closed; then it ends all connections and waits for them.
func (fe *FE) serveHTTP(l *net.TCPListener) {
	ctx, cancel := context.WithCancel(context.Background())
	var connections sync.WaitGroup
	server := http.Server{
		Handler:     fe.handler(),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				connections.Done()
			}
		},
	}
	server.Serve(l) // returns with the error of the closed listener, which is how this ends
	cancel()
	server.Close()
	connections.Wait()
}

func (fe *FE) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/health", fe.health)
	mux.HandleFunc("GET /api/bootstrap", fe.bootstrap)
	mux.HandleFunc("GET /metrics", fe.metrics)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			fault, changed := fe.present()
			if !fault.freezes() {
				mux.ServeHTTP(w, r)
				return
			}
			select {
			case <-changed:
			case <-r.Context().Done():
				return
			}
		}
	})
}

// health answers /api/health (StarRocks: http/rest/HealthAction.java; Doris: httpv2/rest/HealthAction.java).
func (fe *FE) health(w http.ResponseWriter, r *http.Request) {
	if !fe.authorized(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm=""`)
		http.Error(w, `{"status":"FAILED","msg":"Access denied"}`, http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	leaving := fe.Fault() == leavingGracefully
	switch {
	case leaving && fe.config.Flavour == Doris:
		// Doris tells its status in the body, most versions with 200 (httpv2/entity/ResponseEntityBuilder.java).
		io.WriteString(w, `{"msg":"Service Unavailable","code":503,"data":"Server is not ready","count":0}`)
	case leaving:
		w.WriteHeader(http.StatusInternalServerError)
	case fe.config.Flavour == Doris:
		io.WriteString(w, `{"msg":"success","code":0,"data":{"online_backend_num":3,"total_backend_num":3},"count":0}`)
	default:
		io.WriteString(w, `{"online_backend_num":3,"total_backend_num":3,"status":"OK"}`)
	}
}

func (fe *FE) authorized(r *http.Request) bool {
	if fe.config.HTTPUser == "" {
		return true
	}
	user, password, ok := r.BasicAuth()
	return ok && user == fe.config.HTTPUser && subtle.ConstantTimeCompare([]byte(password), []byte(fe.config.HTTPPassword)) == 1
}

// bootstrap answers /api/bootstrap, always with 200 (http/rest/BootstrapFinishAction.java).
func (fe *FE) bootstrap(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if fe.Fault() == FallBehind {
		io.WriteString(w, `{"replayedJournalId":0,"queryPort":0,"rpcPort":0,"feStartTime":0,"status":"FAILED","msg":"not ready"}`)
		return
	}
	io.WriteString(w, `{"replayedJournalId":0,"queryPort":0,"rpcPort":0,"feStartTime":0,"status":"OK","msg":"Success"}`)
}

// metrics answers /metrics with what tells the leader (metric/PrometheusMetricVisitor.java): the series is_master is
// there on the leader alone.
func (fe *FE) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	counts := fe.Counts()
	fmt.Fprintf(w, "# HELP starrocks_fe_connection_total total connections\n# TYPE starrocks_fe_connection_total gauge\nstarrocks_fe_connection_total %d\n", counts.Sessions())
	fmt.Fprintf(w, "# HELP starrocks_fe_query_total total query\n# TYPE starrocks_fe_query_total counter\nstarrocks_fe_query_total %d\n", counts.Queries)
	io.WriteString(w, "# HELP node_info node_info\n# TYPE node_info gauge\nnode_info{type=\"fe_node_num\", state=\"total\"} 3\n")
	if fe.Role() == Leader {
		io.WriteString(w, "node_info{type=\"is_master\"} 1\n")
	}
}
