package metrics

import "testing"

func TestRead(t *testing.T) {
	m := New(BuildInfo{})
	b := m.Backend("fe", "one")
	b.BytesToServer.Add(10)
	b.BytesToClient.Add(300)
	b.Greeting.Observe(.25)
	b.Greeting.Observe(.5)
	want := Reading{ToServer: 10, ToClient: 300, Greetings: 2, GreetingSeconds: .75}
	if got := b.Read(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	m.RemoveBackend("fe", "one")
	if got := b.Read(); got != want {
		t.Errorf("after its removal: %+v, want %+v", got, want)
	}
	if got := m.Backend("fe", "").Read(); got != (Reading{}) {
		t.Errorf("nobody has %+v", got)
	}
}
