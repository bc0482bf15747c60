package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"fairlead/balancer"
)

// ordersVersion is the state file's format.
const ordersVersion = 1

// mostState bounds what is read of a state file. Thousands of orders have room in it.
const mostState = 1 << 20

// stateFile is what stands in a state file.
type stateFile struct {
	Version int                 `json:"version"`
	Orders  []balancer.Standing `json:"orders"`
}

// orders keeps what people have ordered in a file. One without a path keeps nothing.
type orders struct {
	path     string
	balancer *balancer.Balancer
	log      *slog.Logger
	mu       sync.Mutex // over gathering and writing, so that the last write has the last order
}

// restore gives the orders of the file anew. A file that is missing holds none, and one that can't be read is told of and
// left alone until the next order.
func (o *orders) restore() {
	if o.path == "" {
		return
	}
	kept, err := readOrders(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		o.log.Error("the state file can't be used: orders that stood before the restart are forgotten", "file", o.path, "error", err)
		return
	}
	for _, lost := range o.balancer.Restore(kept) {
		o.log.Warn("an order of the state file is for a pool that is not there", "pool", lost.Pool, "backend", lost.Backend, "order", lost.Order)
	}
	if len(kept) > 0 {
		o.log.Info("orders of the state file stand again", "file", o.path, "orders", len(kept))
	}
}

func readOrders(path string) ([]balancer.Standing, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostState+1))
	if err != nil {
		return nil, err
	}
	if len(text) > mostState {
		return nil, fmt.Errorf("it has more than %d bytes", mostState)
	}
	var s stateFile
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	if s.Version != ordersVersion {
		return nil, fmt.Errorf("it has version %d, and this build knows %d", s.Version, ordersVersion)
	}
	return s.Orders, nil
}

// keep writes down what stands now.
func (o *orders) keep() error {
	if o.path == "" {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	text, err := json.MarshalIndent(stateFile{ordersVersion, o.balancer.Orders()}, "", "  ")
	if err == nil {
		err = replaceFile(o.path, append(text, '\n'))
	}
	if err != nil {
		o.log.Error("the state file can't be written: a restart will forget the latest order", "error", err)
	}
	return err
}

// replaceFile changes a file as a whole, or not at all, also when the power fails meanwhile.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("daemon: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("daemon: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes a rename last.
func syncDirectory(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("daemon: %w", err)
	}
	defer d.Close()
	_ = d.Sync() // some file systems can't
	return nil
}
