package daemon

import (
	"os"
	"time"
)

// watchEvery is how often a watched file is looked at. That is one system call: cheap, and, other than notices of the
// kernel, it works the same on every file system, whatever link on the path is replaced, and whatever is mounted there.
const watchEvery = time.Second

// watch notices that a file has changed.
type watch struct {
	seen    os.FileInfo
	settled bool // what was seen was told of
}

// changed tells once of each change, when it has been the same for two looks: somebody may be writing still. Links on the
// path are followed. A file that is not there, as for a moment while it is replaced, has not changed.
func (w *watch) changed(path string) bool {
	now, err := os.Stat(path)
	if err != nil {
		return false
	}
	same := w.seen != nil && os.SameFile(w.seen, now) && w.seen.Size() == now.Size() && w.seen.ModTime().Equal(now.ModTime())
	w.seen = now
	if !same {
		w.settled = false
		return false
	}
	news := !w.settled
	w.settled = true
	return news
}
