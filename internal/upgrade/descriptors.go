package upgrade

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptorsAtOnce is how many go with one byte; Linux takes 253 (SCM_MAX_FD).
const descriptorsAtOnce = 64

func (l *Line) sendDescriptors(of []syscall.Conn) error {
	files, err := Duplicates(of)
	if err != nil {
		return err
	}
	defer closeAll(files)
	descriptors := make([]int, len(files))
	for i, f := range files {
		descriptors[i] = int(f.Fd())
	}
	_, _, err = l.conn.WriteMsgUnix([]byte{0}, unix.UnixRights(descriptors...), nil)
	if l.lateWrite(err) {
		_, _, err = l.conn.WriteMsgUnix([]byte{0}, unix.UnixRights(descriptors...), nil)
	}
	if err != nil {
		return fmt.Errorf("upgrade: hand over sockets: %w", err)
	}
	return nil
}

// Duplicates duplicates descriptors. They stay non-blocking, which package net would change for a moment.
func Duplicates(of []syscall.Conn) (files []*os.File, err error) {
	for _, c := range of {
		raw, err := c.SyscallConn()
		if err == nil {
			failed := raw.Control(func(fd uintptr) {
				var n int
				if n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
					files = append(files, os.NewFile(uintptr(n), "socket"))
				}
			})
			err = errors.Join(failed, err)
		}
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("upgrade: duplicate a socket: %w", err)
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (l *Line) receiveDescriptors(n int) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	space := make([]byte, unix.CmsgSpace(4*descriptorsAtOnce))
	for len(files) < n {
		var carrier [1]byte
		read, control, flags, _, err := l.conn.ReadMsgUnix(carrier[:], space)
		if l.lateRead(err) {
			read, control, flags, _, err = l.conn.ReadMsgUnix(carrier[:], space)
		}
		switch {
		case err != nil:
			return files, fmt.Errorf("upgrade: take sockets over: %w", err)
		case read == 0:
			return files, io.ErrUnexpectedEOF
		}
		before := len(files)
		if files, err = appendDescriptors(files, space[:control]); err != nil {
			return files, err
		}
		if flags&unix.MSG_CTRUNC != 0 || len(files)-before != min(n-before, descriptorsAtOnce) {
			return files, fmt.Errorf("%w: sockets were lost on the way (is LimitNOFILE or ulimit -n too low?)", ErrProtocol)
		}
	}
	return files, nil
}

func appendDescriptors(files []*os.File, control []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return files, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	for i := range messages {
		descriptors, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		for _, fd := range descriptors {
			unix.CloseOnExec(fd) // Linux has done it on arrival; others can't
			files = append(files, os.NewFile(uintptr(fd), "socket"))
		}
	}
	return files, nil
}
