// Package upgrade lets a running process start another one, of a newer binary, that goes on in its place: what the two say
// to each other, and how sockets get from one to the other. What they do with it is the daemon's business.
//
// The two ends of a [Line] are a pair of Unix sockets that the new process inherits:
//
//	old → new   offer     who is here, the listening sockets (with their descriptors), what is known of the backends
//	new → old   serving   it listens, and which sockets it uses; or failed, and why
//	old → new   yours     the orders of persons that stand by now, and the lines of processes that still have sessions
//	old → new   counts    sessions on each backend, at each change and at least each second, until the old one has ended
//	new → old   orders    the orders of persons, whenever one is given: they are about old sessions, too
//	new → old   reopen    the log's file has been renamed: open another one
//	new → old   adopted   another process goes on in the new one's place, and gets the line
//
// Each message is its length in bytes (4, big-endian), the number of descriptors that come with it (4, big-endian), JSON of
// that length, and then one byte for each [descriptorsAtOnce] of the descriptors, which carries them (SCM_RIGHTS, unix(7)).
// The two may be different builds: fields that one does not know are ignored, and messages of unknown kinds as well.
package upgrade
