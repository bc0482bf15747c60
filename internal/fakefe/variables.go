package fakefe

import (
	"path"
	"sort"
	"strconv"
	"strings"

	"fairlead/internal/mysqlwire"
)

// fixedVariables are what drivers ask for when they connect, as a StarRocks FE has them.
var fixedVariables = map[string]string{
	"auto_increment_increment": "1",
	"autocommit":               "1",
	"character_set_client":     "utf8mb4",
	"character_set_connection": "utf8mb4",
	"character_set_database":   "utf8mb4",
	"character_set_results":    "utf8mb4",
	"character_set_server":     "utf8mb4",
	"collation_connection":     "utf8mb4_general_ci",
	"collation_database":       "utf8mb4_general_ci",
	"collation_server":         "utf8mb4_general_ci",
	"have_query_cache":         "NO",
	"init_connect":             "",
	"interactive_timeout":      "28800",
	"license":                  "Apache License 2.0",
	"lower_case_table_names":   "0",
	"max_allowed_packet":       strconv.Itoa(maxCommand),
	"net_buffer_length":        "16384",
	"net_read_timeout":         "60",
	"net_write_timeout":        "60",
	"performance_schema":       "0",
	"query_cache_size":         "0",
	"query_cache_type":         "0",
	"query_timeout":            "300",
	"sql_auto_is_null":         "0",
	"sql_mode":                 "ONLY_FULL_GROUP_BY",
	"sql_safe_updates":         "0",
	"system_time_zone":         "UTC",
	"time_zone":                "UTC",
	"transaction_isolation":    "REPEATABLE-READ",
	"transaction_read_only":    "0",
	"tx_isolation":             "REPEATABLE-READ",
	"tx_read_only":             "0",
	"wait_timeout":             "28800",
}

// variables returns all system variables.
func (s *session) variables() map[string]string {
	all := map[string]string{
		"hostname":        s.fe.config.Name,
		"port":            strconv.Itoa(s.fe.mysql.address.Port),
		"version":         s.fe.config.Version,
		"version_comment": s.fe.versionComment(),
	}
	for name, value := range fixedVariables {
		all[name] = value
	}
	return all
}

func (fe *FE) versionComment() string {
	if fe.config.Flavour == Doris {
		return "Doris version (stand-in)"
	}
	return "StarRocks version (stand-in)"
}

// variable evaluates @@name.
func (s *session) variable(name string) (value, error) {
	v, ok := s.variables()[strings.ToLower(name)]
	if !ok {
		return null, &mysqlwire.ServerError{Code: 1193, State: "HY000", Message: "Unknown system variable '" + name + "'"}
	}
	if _, err := strconv.ParseInt(v, 10, 64); err == nil {
		return number(v), nil
	}
	return text(v), nil
}

// showVariables answers SHOW VARIABLES [LIKE 'pattern' | WHERE …]. Of WHERE only the names in it count, which is
// all that drivers use.
func (s *session) showVariables(rest []token) *result {
	wanted := func(string) bool { return true }
	switch {
	case len(rest) == 2 && rest[0].is("like"):
		// path.Match knows * and ? where LIKE has % and _.
		pattern := strings.NewReplacer("%", "*", "_", "?").Replace(strings.ToLower(rest[1].text))
		wanted = func(name string) bool {
			ok, _ := path.Match(pattern, name)
			return ok
		}
	case len(rest) > 0:
		named := make(map[string]bool)
		for _, t := range rest {
			named[strings.ToLower(t.text)] = t.kind == textToken
		}
		wanted = func(name string) bool { return named[name] }
	}
	all := s.variables()
	names := make([]string, 0, len(all))
	for name := range all {
		if wanted(name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	r := textResult("Variable_name", "Value")
	for _, name := range names {
		r.add(name, all[name])
	}
	return r
}
