package fakefe

import (
	"strconv"
	"time"
)

// Frontend is one row of SHOW FRONTENDS, before it is spelt for a flavour (common/proc/FrontendsProcNode.java in both
// sources).
type Frontend struct {
	// ID is StarRocks' Id.
	ID int
	// Name is the node's name, such as 10.0.0.1_9010_1700000000000; Host an address or a host name.
	Name, Host                                string
	EditLogPort, HTTPPort, QueryPort, RPCPort int
	Role                                      Role
	// Alive is what the leader's heartbeat says; a dead one's StartTime becomes NULL in StarRocks.
	Alive             bool
	ReplayedJournalID uint64
	// StartTime and LastHeartbeat in the FE's own time zone; the zero time is written as NULL.
	StartTime, LastHeartbeat time.Time
	// ErrMsg is the last heartbeat's error.
	ErrMsg string
	// Version is the FE's own, such as 3.3.5-6d81f75; empty is written as NULL.
	Version string
	// Answering is the FE that answers the statement.
	Answering bool
}

// clusterID is what SHOW FRONTENDS shows as ClusterId.
const clusterID = "1234567890"

// SetFrontends makes SHOW FRONTENDS list these instead of the FE alone. The list is asked for at each statement. The
// front end's own habits are not added: HttpPort and Alive are shown as given. nil undoes it.
func (fe *FE) SetFrontends(list func() []Frontend) {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	fe.mu.list = list
}

// row describes the FE itself, as number id.
func (fe *FE) row(id int) Frontend {
	mysql, http := fe.mysql.address, fe.http.address
	return Frontend{
		ID: id, Name: fe.config.Name, Host: mysql.IP.String(),
		EditLogPort: 9010, HTTPPort: http.Port, QueryPort: mysql.Port, RPCPort: 9020,
		Role: fe.Role(), Alive: fe.alive(), ReplayedJournalID: 1000,
		StartTime: fe.started, LastHeartbeat: time.Now(), Version: fe.versionComment(),
	}
}

// frontends answers SHOW FRONTENDS.
func (fe *FE) frontends() *result {
	fe.mu.Lock()
	list := fe.mu.list
	fe.mu.Unlock()
	var rows []Frontend
	if list != nil {
		rows = list()
	} else {
		self := fe.row(1)
		self.Answering = true
		rows = []Frontend{self}
	}
	if fe.config.Flavour == Doris {
		return dorisFrontends(rows)
	}
	return starrocksFrontends(rows)
}

func starrocksFrontends(rows []Frontend) *result {
	r := textResult("Id", "Name", "IP", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "Role", "ClusterId", "Join", "Alive",
		"ReplayedJournalId", "LastHeartbeat", "IsHelper", "ErrMsg", "StartTime", "Version")
	for _, f := range rows {
		started := timeOrNull(f.StartTime)
		if !f.Alive {
			started = "NULL"
		}
		r.add(strconv.Itoa(f.ID), f.Name, f.Host, strconv.Itoa(f.EditLogPort), strconv.Itoa(f.HTTPPort), strconv.Itoa(f.QueryPort),
			strconv.Itoa(f.RPCPort), string(f.Role), clusterID, "true", strconv.FormatBool(f.Alive),
			strconv.FormatUint(f.ReplayedJournalID, 10), timeOrNull(f.LastHeartbeat), strconv.FormatBool(f.Role != Observer), f.ErrMsg,
			started, textOrNull(f.Version))
	}
	return r
}

func dorisFrontends(rows []Frontend) *result {
	r := textResult("Name", "Host", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "ArrowFlightSqlPort", "Role", "IsMaster",
		"ClusterId", "Join", "Alive", "ReplayedJournalId", "LastStartTime", "LastHeartbeat", "IsHelper", "ErrMsg", "Version",
		"CurrentConnected")
	for _, f := range rows {
		role, connected := f.Role, "No"
		if role == Leader {
			role = Follower
		}
		if f.Answering {
			connected = "Yes"
		}
		r.add(f.Name, f.Host, strconv.Itoa(f.EditLogPort), strconv.Itoa(f.HTTPPort), strconv.Itoa(f.QueryPort), strconv.Itoa(f.RPCPort),
			"-1", string(role), strconv.FormatBool(f.Role == Leader), clusterID, "true", strconv.FormatBool(f.Alive),
			strconv.FormatUint(f.ReplayedJournalID, 10), timeOrNull(f.StartTime), timeOrNull(f.LastHeartbeat),
			strconv.FormatBool(f.Role != Observer), f.ErrMsg, textOrNull(f.Version), connected)
	}
	return r
}

func timeOrNull(t time.Time) string {
	if t.IsZero() {
		return "NULL"
	}
	return t.Format(time.DateTime)
}

// textOrNull is s, or the text NULL, which front ends send where they should send a NULL.
func textOrNull(s string) string {
	if s == "" {
		return "NULL"
	}
	return s
}
