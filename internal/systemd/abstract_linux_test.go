package systemd

const abstractSockets = true
