# All the ways to be started, with the programs that do it.  Those that want root are in
# root/start.bats.

load helper
load clients

@test "tcpserver: all clients empty a Maildir" {
	PORT=$(free_port)
	super tcpserver -HRl0 127.0.0.1 "$PORT" "$POP3D" -f "$CONF"
	clients_empty "$PORT"
}

@test "tcpsvd: all clients empty a Maildir" {
	PORT=$(free_port)
	super tcpsvd -l0 127.0.0.1 "$PORT" "$POP3D" -f "$CONF"
	clients_empty "$PORT"
}

@test "busybox tcpsvd: all clients empty a Maildir" {
	PORT=$(free_port)
	super "$TOP/build/tools/busybox/busybox" tcpsvd 127.0.0.1 "$PORT" "$POP3D" -f "$CONF"
	clients_empty "$PORT"
}

@test "systemd-socket-activate, Accept=yes as --accept --inetd: all clients empty a Maildir" {
	PORT=$(free_port)
	configure 'log syslog'
	super systemd-socket-activate --accept --inetd -l "127.0.0.1:$PORT" "$POP3D" -f "$CONF"
	clients_empty "$PORT"
}

@test "systemd-socket-activate, --accept without --inetd: all clients empty a Maildir" {
	PORT=$(free_port)
	super systemd-socket-activate --accept -l "127.0.0.1:$PORT" "$POP3D" -f "$CONF"
	clients_empty "$PORT"
}

@test "systemd-socket-activate, Accept=no: all clients empty a Maildir" {
	PORT=$(free_port)
	super systemd-socket-activate -l "127.0.0.1:$PORT" "$POP3D" -f "$CONF"
	clients_empty "$PORT"
	grep -q 'listening address=127.0.0.1' "$T/super"
}

@test "systemd-socket-activate, Accept=no with two sockets" {
	PORT=$(free_port)
	local other
	other=$(free_port)
	super systemd-socket-activate -l "127.0.0.1:$PORT" -l "127.0.0.1:$other" "$POP3D" -f "$CONF"
	clients_empty "$PORT" poplib
	clients_empty "$other" poplib
}

@test "-l: all clients empty a Maildir" {
	start_listening
	clients_empty "$PORT"
}

@test "a listening socket on standard input (inetd's wait): accepts, and exits when idle" {
	PORT=$(free_port)
	cat >"$T/wait.py" <<-'E'
		import os, socket, subprocess, sys
		s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		p = subprocess.Popen(sys.argv[2:], stdin=s, stdout=s)
		print("exit status", p.wait(), flush=True)
	E
	super python3 "$T/wait.py" "$PORT" "$POP3D" -f "$CONF"
	clients_empty "$PORT"
	wait_for grep -q 'exit status 0' "$T/super"
}

@test "-l: more than one, IPv6 too, and localhost for what it has" {
	start_listening -l '[::1]:0' -l localhost:0
	[ "$(grep -c 'listening address' "$T/listening")" -ge 3 ]
	client_maildir
	local port
	port=$(sed -n 's/.*listening address=::1 port=//p' "$T/listening" | head -n 1)
	"$TESTS/talk" --connect "[::1]:$port" <<-'E'
		A: joe secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	wait_for grep -q 'end address=::1 user=joe' "$T/listening"
}

@test "-l *: both families on one port" {
	PORT=$(free_port)
	start_listening -l "*:$PORT"
	PORT=$(sed -n 's/.*listening address=0.0.0.0 port=//p' "$T/listening")
	grep -q "listening address=:: port=$PORT" "$T/listening"
	is_connectable "$PORT"
}

@test "an address in use: exit status 71 and a message" {
	start_listening
	run -71 "$POP3D" -f "$CONF" -l "127.0.0.1:$PORT"
	[[ $output == *"can't listen on 127.0.0.1:$PORT: Address already in use"* ]]
}

# bats test_tags=plain
@test "-l *: an address in use in one family is no start with the other" {
	PORT=$(free_port)
	python3 -c 'import socket, sys, time
s = socket.socket()
s.bind(("0.0.0.0", int(sys.argv[1])))
s.listen()
time.sleep(60)' "$PORT" 3>&- &
	PIDS="$PIDS $!"
	wait_for is_connectable "$PORT"
	run -71 "$POP3D" -f "$CONF" -l "*:$PORT"
	[[ $output == *"can't listen on *:$PORT: Address already in use"* ]]
}

@test "users that can't be looked up: no start, exit status 78; SIGHUP changes nothing" {
	rm "$USERS"
	run -78 "$POP3D" -f "$CONF" -l 127.0.0.1:0
	[[ $output == *"$USERS: No such file or directory"* ]]
	printf 'joe:{PLAIN}secret:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	start_listening
	configure "users file $T/none"
	kill -HUP "$SERVER"
	wait_for grep -q "configuration not reloaded: $T/none: No such file" "$T/listening"
}

@test "SIGHUP: the log can go from syslog to standard error" {
	configure 'log syslog'
	PORT=$(free_port)
	"$POP3D" -f "$CONF" -l "127.0.0.1:$PORT" 2>"$T/listening" 3>&- &
	SERVER=$!
	wait_for is_connectable "$PORT"
	configure
	kill -HUP "$SERVER"
	wait_for grep -q 'configuration reloaded' "$T/listening"
	connect
	exec 9>&-
	wait_for grep -q 'end address=127.0.0.1 ' "$T/listening"
}

# bats test_tags=calls
@test "SIGHUP as soon as anybody can connect: read again, not the end" {
	PORT=$(free_port)
	strace -o "$T/trace" -e trace=listen -e inject=listen:signal=HUP \
		"$POP3D" -f "$CONF" -l "127.0.0.1:$PORT" 2>"$T/listening" 3>&- &
	PIDS="$PIDS $!"
	wait_for grep -q 'configuration reloaded' "$T/listening"
	pkill -TERM -P "${PIDS##* }"
}

@test "LISTEN_FDS with something that does not listen: exit status 64" {
	cat >"$T/datagram.py" <<-'E'
		import os, socket, sys
		a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		os.dup2(a.fileno(), 10); os.dup2(b.fileno(), 11)
		os.dup2(10, 3); os.dup2(11, 4)
		os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()))
		os.execv(sys.argv[1], sys.argv[1:])
	E
	run -64 timeout 20 python3 "$T/datagram.py" "$POP3D" -f "$CONF" </dev/null
	[[ $output == *'LISTEN_FDS: descriptor 3 does not listen'* ]]
}

# bats test_tags=calls
@test "descriptors that were left open are not kept" {
	printf '%s\r\n' 'USER joe' 'PASS secret' QUIT |
		strace -f -o "$T/trace" -e trace=close_range "$POP3D" -f "$CONF" >"$T/out" 2>>"$LOG" 7<"$USERS"
	grep -q '^+OK Goodbye' <(tr -d '\r' <"$T/out")
	grep -q 'close_range(3, ' "$T/trace"
}

@test "standard input that is no connection, and nothing to listen on: exit status 64" {
	run -64 "$POP3D" -f "$CONF" </dev/null
	[[ $output == *'standard input is no connection'* ]]
}

# bats test_tags=plain
@test "standard input that is closed: likewise" {
	local status=0
	"$POP3D" -f "$CONF" <&- >"$T/out" 2>&1 || status=$?
	[ "$status" = 64 ]
	grep -q 'standard input is no connection' "$T/out"
}

@test "a script on standard input, and no standard error" {
	printf 'USER joe\r\nPASS secret\r\nSTAT\r\nQUIT\r\n' >"$T/script"
	"$POP3D" -f "$CONF" -o 'log syslog' <"$T/script" >"$T/out" 2>&-
	grep -q '^+OK 0 0' "$T/out"
}

@test "listen of the configuration, which a connection on standard input goes before" {
	configure 'listen 127.0.0.1:0'
	"$POP3D" -f "$CONF" </dev/null 2>"$T/listening" 3>&- &
	SERVER=$!
	wait_for grep -q 'listening address' "$T/listening"
	talk <<-'E'
		C: QUIT
		S~ \+OK .*
	E
}

@test "-l goes before listen of the configuration" {
	configure 'listen 192.0.2.1:1'
	start_listening
	is_connectable "$PORT"
	[ "$(grep -c 'listening address' "$T/listening")" = 1 ]
}

@test "max_connections: one more is told so and closed, and comes in when one has gone" {
	configure 'max_connections 2'
	start_listening
	exec 7<>"/dev/tcp/127.0.0.1/$PORT" 8<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -u 7 _
	read -r -u 8 _
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		S: -ERR [SYS/TEMP] Too many connections, try later
		S$
	E
	grep -q 'refused address=127.0.0.1 reason=max_connections' "$T/listening"
	exec 7>&-
	wait_for grep -q 'end address' "$T/listening"
	wait_for "$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		C: QUIT
		S~ \+OK .*
	E
	exec 8>&-
}

@test "max_per_address: counted for each address" {
	configure 'max_per_address 1'
	start_listening -l '[::1]:0'
	exec 8<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -u 8 _
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		S: -ERR [SYS/TEMP] Too many connections, try later
		S$
	E
	grep -q 'refused address=127.0.0.1 reason=max_per_address' "$T/listening"
	"$TESTS/talk" --connect "[::1]:$(sed -n 's/.*listening address=::1 port=//p' "$T/listening")" <<-'E'
		C: QUIT
		S~ \+OK .*
	E
	"$TESTS/talk" --connect "127.0.0.1:$PORT" --from 127.0.0.2 <<-'E'
		C: QUIT
		S~ \+OK .*
	E
	exec 8>&-
}

@test "a flood of connections too many: a line a second at most, which counts the others" {
	local began=$SECONDS
	configure 'max_per_address 1'
	start_listening
	connect
	for _ in {1..40}; do is_connectable "$PORT"; done
	sleep 1.1
	is_connectable "$PORT"
	wait_for eval '[ "$(grep -o "unlogged=[0-9]*" "$T/listening" | tail -n 1)" != unlogged=0 ]'
	exec 9>&-
	[ "$(grep -c ' refused ' "$T/listening")" -le $((SECONDS - began + 2)) ]
}

@test "SIGHUP: more connections than before" {
	local fd
	configure 'max_connections 1'
	start_listening
	configure 'max_connections 20'
	kill -HUP "$SERVER"
	wait_for grep -q 'configuration reloaded' "$T/listening"
	for fd in {20..39}; do
		eval "exec $fd<>/dev/tcp/127.0.0.1/$PORT"
		read -r -u "$fd" line
		[[ $line == '+OK'* ]]
	done
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		S: -ERR [SYS/TEMP] Too many connections, try later
		S$
	E
	for fd in {20..39}; do eval "exec $fd>&-"; done
}

@test "-o listen goes before that of the file; LISTEN_FDS of another process is not ours" {
	PORT=$(free_port)
	configure 'listen no-such-host.invalid:1'
	super "$POP3D" -f "$CONF" -o "listen 127.0.0.1:$PORT"
	LISTEN_FDS=1 LISTEN_PID=1 "$POP3D" -f "$CONF" -o 'hostname a.example' -o "log stderr" -l 127.0.0.1:0 \
		2>"$T/listening" 3>&- &
	SERVER=$!
	wait_for grep -q 'listening address=127.0.0.1' "$T/listening"
	configure
	printf 'QUIT\r\n' | LISTEN_FDS=1 LISTEN_PID=1 "$POP3D" -f "$CONF" 2>>"$LOG" | grep -q '^+OK Goodbye'
}

@test "SIGTERM ends the listener, not a session; its port can be listened on again at once" {
	client_maildir
	start_listening
	exec 8<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -u 8 _
	kill "$SERVER"
	wait "$SERVER"
	run ! is_connectable "$PORT"
	printf 'USER joe\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n' >&8
	cat <&8 | tail -n 1 | grep -q '(7 messages left)'
	exec 8>&-
	local port=$PORT
	"$POP3D" -f "$CONF" -l "127.0.0.1:$port" 2>>"$T/again" 3>&- &
	SERVER=$!
	wait_for is_connectable "$port"
}

@test "SIGHUP reads the configuration again; what is wrong changes nothing" {
	start_listening
	configure 'hostname other.example.org'
	kill -HUP "$SERVER"
	wait_for grep -q 'configuration reloaded' "$T/listening"
	exec 8<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -u 8 line
	[[ $line == '+OK other.example.org '* ]]
	exec 8>&-
	configure 'hostname third.example.org' 'nonsense'
	kill -HUP "$SERVER"
	wait_for grep -q 'configuration not reloaded' "$T/listening"
	grep -qF "$CONF:6: nonsense: is not a key that pop3d knows" "$T/listening"
	exec 8<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -u 8 line
	[[ $line == '+OK other.example.org '* ]]
	exec 8>&-
}

@test "the users file is read anew for each connection" {
	start_listening
	printf 'jane:{PLAIN}secret:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		A: jane secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "no process is left after a session" {
	start_listening
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		A: joe secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	wait_for no_sessions
}

@test "a session is two processes, the session under the monitor" {
	start_listening
	exec 8<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -u 8 _
	local monitor
	monitor=$(pgrep -P "$SERVER")
	[ "$(wc -w <<<"$monitor")" = 1 ]
	[ "$(pgrep -P "$monitor" | wc -w)" = 1 ]
	exec 8>&-
}
