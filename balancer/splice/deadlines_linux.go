package splice

// never is a deadline that does not come.
const never = int64(1<<63 - 1)

// deadlines is a loop's binary heap of its sessions' deadlines, the earliest first. A session has at most one entry. The
// entry may be earlier than the session's real deadline, which moves on with every byte: what comes up too early is put
// back, so that a busy session costs the heap nothing.
type deadlines []deadline

type deadline struct {
	when int64 // nanoseconds on the engine's clock
	s    *session
}

// set makes sure that the session comes up at when or before.
func (d *deadlines) set(s *session, when int64) {
	switch {
	case s.timer == 0 && when != never:
		*d = append(*d, deadline{when, s})
		d.up(len(*d) - 1)
	case s.timer != 0 && when < (*d)[s.timer-1].when:
		(*d)[s.timer-1].when = when
		d.up(int(s.timer) - 1)
	}
}

// postpone gives the session that came up first its real deadline.
func (d *deadlines) postpone(when int64) {
	if when == never {
		d.remove((*d)[0].s)
		return
	}
	(*d)[0].when = when
	d.down(0)
}

func (d *deadlines) remove(s *session) {
	if s.timer == 0 {
		return
	}
	i, last := int(s.timer)-1, len(*d)-1
	s.timer = 0
	moved := (*d)[last]
	(*d)[last] = deadline{}
	*d = (*d)[:last]
	if i == last {
		return
	}
	(*d)[i] = moved
	d.down(i)
	d.up(i)
}

func (d *deadlines) up(i int) {
	h := *d
	moving := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].when <= moving.when {
			break
		}
		h.place(i, h[parent])
		i = parent
	}
	h.place(i, moving)
}

func (d *deadlines) down(i int) {
	h := *d
	moving := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].when < h[child].when {
			child++
		}
		if moving.when <= h[child].when {
			break
		}
		h.place(i, h[child])
		i = child
	}
	h.place(i, moving)
}

// place keeps the session's note of its position, which is one more than the index so that 0 means none.
func (h deadlines) place(i int, entry deadline) {
	h[i] = entry
	entry.s.timer = int32(i) + 1
}
