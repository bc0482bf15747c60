package fakefe

import (
	"bytes"
	"fmt"

	"fairlead/internal/mysqlwire"
)

// errMalformed answers packets that are not what they should be.
var errMalformed = &mysqlwire.ServerError{Code: 1043, State: "08S01", Message: "Bad handshake"}

// logIn reads the client's login and answers it; an error ends the session.
func (s *session) logIn() error {
	payload, err := s.readPayload(maxLogin)
	if err != nil {
		return err
	}
	if err := s.thaw(); err != nil {
		return err
	}
	login, err := mysqlwire.ParseLogin(payload)
	if err != nil || login.SSLRequest {
		return s.refuse(errMalformed)
	}
	// What a server must not use is what it has not announced, or the client has not.
	s.caps = login.Capabilities & s.fe.config.capabilities()
	if err := s.authenticate(login); err != nil {
		return err
	}
	if s.fe.full() {
		return s.refuse(&mysqlwire.ServerError{Code: 1203, State: "42000", Message: "Reach limit of connections"})
	}
	s.fe.mu.Lock()
	s.fe.mu.counts.Logins++
	s.fe.mu.Unlock()
	// Counted before the answer is out, so that whoever is logged in finds itself in the counts.
	s.enter(Idle)
	s.emit(LoggedIn, login.Program())
	if err := s.writeOK(); err != nil {
		return err
	}
	return s.out.Flush()
}

// changeUser answers COM_CHANGE_USER.
func (s *session) changeUser(login mysqlwire.Login) error {
	if err := s.authenticate(login); err != nil {
		return err
	}
	return s.writeOK()
}

// authenticate checks the login's password, after an AuthSwitchRequest where one is due, and takes its user and database
// over. A refusal has been sent when it returns an error.
func (s *session) authenticate(login mysqlwire.Login) error {
	s.identify(login.User, login.Database)
	plugin, response := s.fe.config.AuthPlugin, login.AuthResponse
	if login.Capabilities.Has(mysqlwire.ClientPluginAuth) && (login.AuthPlugin != plugin || s.fe.config.ForceSwitch) {
		s.scramble = newScramble()
		request := mysqlwire.AuthSwitch{Plugin: plugin, Data: s.scramble}
		if err := s.writePayload(request.Append(nil)); err != nil {
			return err
		}
		if err := s.out.Flush(); err != nil {
			return err
		}
		var err error
		if response, err = s.readPayload(maxLogin); err != nil {
			return err
		}
		if err := s.thaw(); err != nil {
			return err
		}
	}
	if s.passwordIsRight(plugin, response) {
		return nil
	}
	using := "YES"
	if len(response) == 0 {
		using = "NO"
	}
	return s.refuse(&mysqlwire.ServerError{
		Code: 1045, State: "28000",
		Message: fmt.Sprintf("Access denied for user '%s'@'%s' (using password: %s)", s.user, s.client.Addr(), using),
	})
}

func (s *session) passwordIsRight(plugin string, response []byte) bool {
	password, known := s.fe.config.Users[s.user]
	if !known {
		return false
	}
	if plugin == mysqlwire.ClearPassword {
		return string(bytes.TrimSuffix(response, []byte{0})) == password
	}
	return mysqlwire.CheckNative(response, s.scramble, password)
}

// full reports whether the FE has as many sessions as it may.
func (fe *FE) full() bool {
	return fe.config.MaxConnections > 0 && fe.Sessions() >= fe.config.MaxConnections
}

// refuse sends an ERR that ends the session, and returns errEnded.
func (s *session) refuse(e *mysqlwire.ServerError) error {
	s.fe.mu.Lock()
	s.fe.mu.counts.Denied++
	s.fe.tellWatchers()
	s.fe.mu.Unlock()
	s.emit(Denied, e.Error())
	if s.writeError(e) == nil {
		s.out.Flush()
	}
	return errEnded
}
