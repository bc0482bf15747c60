package config

import "slices"

// NeedsRestart returns the keys, such as "engine.kind", whose values in next differ from those in f and that a reload
// can't apply. config.toml.example marks them with (restart).
func (f *File) NeedsRestart(next *File) []string {
	var keys []string
	for _, k := range []struct {
		key  string
		same bool
	}{
		{"admin.listen", slices.Equal(f.Admin.Listen, next.Admin.Listen)},
		{"admin.socket", f.Admin.Socket == next.Admin.Socket},
		{"admin.socket_mode", f.Admin.SocketMode == next.Admin.SocketMode},
		{"admin.socket_owner", f.Admin.SocketOwner == next.Admin.SocketOwner},
		{"admin.socket_group", f.Admin.SocketGroup == next.Admin.SocketGroup},
		{"admin.readiness_file", f.Admin.ReadinessFile == next.Admin.ReadinessFile},
		{"admin.state_file", f.Admin.StateFile == next.Admin.StateFile},
		{"log.file", f.Log.File == next.Log.File},
		{"engine.kind", f.Balancer.Engine.Kind == next.Balancer.Engine.Kind},
		{"engine.loops", f.Balancer.Engine.Loops == next.Balancer.Engine.Loops},
		{"engine.pipes", f.Balancer.Engine.Pipes == next.Balancer.Engine.Pipes},
		{"engine.pipe_size", f.Balancer.Engine.PipeSize == next.Balancer.Engine.PipeSize},
	} {
		if !k.same {
			keys = append(keys, k.key)
		}
	}
	return keys
}
