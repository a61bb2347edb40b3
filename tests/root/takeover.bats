# A client whose packets vanish, in a network namespace of its own.

load ../helper

# The loopback, up or down: while it is down, nothing that is sent arrives, and nobody is told.
loopback() {
	python3 -c '
import fcntl, socket, struct, sys
s = socket.socket()
name = struct.pack("16sH14x", b"lo", int(sys.argv[1]))
fcntl.ioctl(s, 0x8914, name)' "$1"
}

@test "takeover: a client whose packets vanish makes way, and does not find itself deleting" {
	three_messages
	configure 'takeover 2'
	export -f loopback
	unshare --net bash -c '
		set -e
		loopback 1
		"$1" -f "$2" -l 127.0.0.1:1110 2>"$3/listening" &
		for i in $(seq 100); do
			grep -q "listening address" "$3/listening" && break
			sleep 0.1
		done
		python3 -u -c "
import socket, time
s = socket.create_connection((\"127.0.0.1\", 1110))
s.sendall(b\"USER joe\r\nPASS secret\r\nDELE 1\r\n\")
while True:
    s.sendall(b\"NOOP\r\n\")
    time.sleep(0.1)" &
		for i in $(seq 100); do
			grep -q "login address" "$3/listening" && break
			sleep 0.1
		done
		one() { printf "USER joe\r\nPASS secret\r\nSTAT\r\nQUIT\r\n" | "$1" -f "$2" 2>>"$3/log"; }
		sleep 3
		one "$@" >"$3/first"
		loopback 0
		for i in $(seq 60); do
			one "$@" >"$3/second"
			! grep -q "IN-USE" "$3/second" || continue
			break
		done
		kill %1 %2' takeover "$POP3D" "$CONF" "$T" 3>&-
	grep -q '^-ERR \[IN-USE\] Another session has had the maildrop for [0-9]* seconds' "$T/first"
	grep -q '^+OK 3 124' "$T/second"
	wait_for grep -q 'reason=takeover .* deleted=0 ' "$T/listening"
}
