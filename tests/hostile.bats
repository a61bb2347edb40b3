# Bad input, and clients that do not behave.  Clocks run faster here where the server has to
# wait for something: libfaketime.

load helper

# The server with a clock that runs $1 times as fast, on PORT.
start_fast() {
	local factor=$1
	shift
	: >"$T/listening"
	LD_PRELOAD=$FAKETIME_LIB FAKETIME="+0 x$factor" "$POP3D" -f "$CONF" -l 127.0.0.1:0 "$@" 2>>"$T/listening" 3>&- &
	SERVER=$!
	wait_for grep -q 'listening address' "$T/listening"
	PORT=$(sed -n 's/.*listening address=.* port=//p' "$T/listening" | head -n 1)
}

nothing_crashed() {
	run ! grep -E 'reason=(signal|status|violation|monitor)' "$LOG" "$T/listening"
}

teardown() {
	[ ! -e "$T/listening" ] || nothing_crashed
	common_teardown
}

@test "binary noise gets -ERR and nothing else, before and after the login" {
	three_messages
	for _ in 1 2 3 4 5; do
		{
			head -c 200000 /dev/urandom | tr -d '\000'
			printf '\r\nUSER joe\r\nPASS secret\r\n'
			head -c 200000 /dev/urandom
			printf '\r\nSTAT\r\nQUIT\r\n'
		} >"$T/noise"
		"$POP3D" -f "$CONF" <"$T/noise" >"$T/out" 2>>"$LOG"
		run ! grep -av -e '^-ERR ' -e '^+OK ' "$T/out"
		tail -n 2 "$T/out" | head -n 1 | grep -q '^+OK 3 124'
	done
	nothing_crashed
}

@test "ten thousand pipelined commands get ten thousand replies, in order" {
	three_messages
	start_listening
	python3 - "$PORT" <<-'E'
		import socket, sys, threading
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		said = [b"USER joe", b"PASS secret"] + [b"LIST %d" % (i % 5) for i in range(10000)] + [b"QUIT"]
		threading.Thread(target=s.sendall, args=(b"".join(l + b"\r\n" for l in said),)).start()
		data = b""
		while part := s.recv(65536):
		    data += part
		lines = data.split(b"\r\n")
		assert len(lines) == 1 + 2 + 10000 + 1 + 1, len(lines)
		want = {0: b"-ERR No such message, there are 3", 1: b"+OK 1 65", 2: b"+OK 2 36", 3: b"+OK 3 23",
		        4: b"-ERR No such message, there are 3"}
		for i in range(10000):
		    assert lines[3 + i] == want[i % 5], (i, lines[3 + i])
	E
}

@test "ten thousand pipelined RETR to a client that reads late" {
	head -c 5000 /dev/zero | tr '\0' x | put cur 1:2,
	start_listening
	python3 - "$PORT" <<-'E'
		import socket, sys, threading, time
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		said = b"USER joe\r\nPASS secret\r\n" + b"RETR 1\r\n" * 10000 + b"QUIT\r\n"
		threading.Thread(target=s.sendall, args=(said,)).start()
		time.sleep(1)
		size = 0
		while part := s.recv(1 << 20):
		    size += len(part)
		assert size > 10000 * 5000, size
	E
}

@test "a message asked for and cut off in its midst: no harm, the next session is right" {
	head -c 50000000 /dev/zero | tr '\0' x | put cur 1:2,
	three_messages
	start_listening
	connect_and_login
	printf 'DELE 2\r\nRETR 1\r\n' >&9
	head -c 100000 <&9 >/dev/null
	exec 9>&-
	wait_for grep -q 'end address=.* user=joe reason=\(broken\|closed\) ' "$T/listening"
	[ "$(messages_left)" = 4 ]
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		A: joe secret
		S~ \+OK Maildrop has 4 messages .*
		C: QUIT
		S~ \+OK .*
	E
}

# bats test_tags=clock
@test "auth_timeout: who has not logged in by then is closed without a word" {
	configure 'auth_timeout 60'
	start_fast 60
	connect
	run cat <&9
	[ -z "$output" ]
	exec 9>&-
	wait_for grep -qE 'reason=timeout .*seconds=([6-9]|1[01])[0-9]\.' "$T/listening"
}

# bats test_tags=clock
@test "auth_timeout is for all of AUTHORIZATION: an octet or a command now and then is no help" {
	configure 'auth_timeout 60'
	start_fast 30
	connect
	for _ in {1..40}; do
		(printf 'CAPA\r\nx' >&9) 2>/dev/null || break
		sleep 0.1
	done
	wait_for grep -qE 'reason=timeout .*seconds=([6-9]|1[01])[0-9]\.' "$T/listening"
	exec 9>&-
}

# bats test_tags=clock
@test "idle_timeout: closed after ten minutes without a word, nothing is deleted (RFC 1939 s.3)" {
	three_messages
	start_fast 600
	connect_and_login
	printf 'DELE 1\r\n' >&9
	read -r -u 9 _
	run cat <&9
	[ -z "$output" ]
	exec 9>&-
	wait_for grep -qE 'reason=timeout .*deleted=0 .*left=3 .*seconds=([6-9]|1[01])[0-9][0-9]\.' "$T/listening"
	[ "$(messages_left)" = 3 ]
}

# bats test_tags=clock
@test "idle_timeout: an octet now and then is no command; a command starts the time anew" {
	start_fast 300
	connect_and_login
	for _ in {1..40}; do
		(printf 'x' >&9) 2>/dev/null || break
		sleep 0.1
	done
	wait_for grep -qE 'reason=timeout .*seconds=([6-9]|1[01])[0-9][0-9]\.' "$T/listening"
	exec 9>&-
	stop_listening
	start_fast 120
	connect_and_login
	for _ in 1 2 3; do
		sleep 2
		printf 'NOOP\r\n' >&9
		read -r -u 9 line
		[[ $line == '+OK'* ]]
	done
	printf 'QUIT\r\n' >&9
	read -r -u 9 line
	[[ $line == '+OK'* ]]
	exec 9>&-
	wait_for grep -q 'reason=quit .*seconds=[789][0-9][0-9]\.' "$T/listening"
}

# bats test_tags=clock
@test "a client that never reads is ended; the lock is free then" {
	head -c 50000000 /dev/zero | tr '\0' x | put cur 1:2,
	start_fast 600
	connect_and_login
	printf 'RETR 1\r\n' >&9
	wait_for grep -q 'reason=stalled' "$T/listening"
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		A: joe secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	exec 9>&-
}

# bats test_tags=clock
@test "a hundred connections that say nothing: some are turned away, all are ended, others served" {
	configure 'max_per_address 60' 'auth_timeout 60'
	start_fast 20
	python3 - "$PORT" <<-'E'
		import socket, sys
		sockets = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60) for _ in range(100)]
		greeted = turned_away = 0
		for s in sockets:
		    said = b""
		    while part := s.recv(4096):
		        said += part
		    greeted += said.startswith(b"+OK ")
		    turned_away += said.startswith(b"-ERR [SYS/TEMP] ")
		assert (greeted, turned_away) == (60, 40), (greeted, turned_away)
	E
	wait_for no_sessions
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		A: joe secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "connections that come and go at once leave nothing behind" {
	start_listening
	descriptors() { find "/proc/$SERVER/fd" -type l | wc -l; }
	before=$(descriptors)
	for _ in {1..100}; do is_connectable "$PORT"; done
	wait_for no_sessions
	[ "$(descriptors)" = "$before" ]
}

@test "what the client half-closes is answered to the end" {
	three_messages
	start_listening
	python3 - "$PORT" <<-'E'
		import socket, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		s.sendall(b"USER joe\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
		s.shutdown(socket.SHUT_WR)
		data = b""
		while part := s.recv(4096):
		    data += part
		assert data.endswith(b"+OK Goodbye (2 messages left)\r\n"), data
	E
	[ "$(messages_left)" = 2 ]
}

@test "a line cut off by the end of the connection is not run" {
	three_messages
	printf 'USER joe\r\nPASS secret\r\nDELE 1\r\nQUIT' | "$POP3D" -f "$CONF" >"$T/out" 2>>"$LOG"
	[ "$(messages_left)" = 3 ]
	grep -q 'reason=closed' "$LOG"
}

# packets COMMANDS...: sends each argument, with CR LF for \n, once the answer to the one
# before has come, and prints a line for what each write of pop3d's sends: its octets, a
# tab, and its last 40 octets.  The socket keeps writes apart.
packets() {
	python3 - "$POP3D" "$CONF" "$@" 2>>"$LOG" <<-'E'
		import socket, subprocess, sys
		ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		server = subprocess.Popen([sys.argv[1], "-f", sys.argv[2]], stdin=theirs, stdout=theirs)
		theirs.close()
		ours.settimeout(120)
		def receive():
		    data = ours.recv(1 << 20)
		    if data:
		        print(len(data), repr(data[-40:])[2:-1], sep="\t")
		    return data
		receive()
		for commands in sys.argv[3:]:
		    ours.sendall(commands.replace("\n", "\r\n").encode())
		    many = commands.startswith(("RETR", "LIST", "UIDL"))
		    while (data := receive()) and many and not data.endswith(b"\r\n.\r\n"):
		        pass
		while receive():
		    pass
	E
}

@test "replies come whole: a listing's last line is never sent apart from what is before it" {
	# RETR of messages of every length around that with which the output buffer is full.
	local size
	for size in 115000 115183 115184 115185 115186 115187 115188 115189 115190 115191 115192 115193 131060 132072 132073 132074 132075 132076; do
		head -c "$size" /dev/zero | tr '\0' x | put cur "$size:2,"
	done
	packets $'USER joe\n' $'PASS secret\n' $'RETR '{1..18}$'\n' $'QUIT\n' >"$T/packets"
	[ "$(grep -c 'x\\r\\n\.\\r\\n$' "$T/packets")" = 18 ]
	[ "$(wc -l <"$T/packets")" -gt 22 ]
}

@test "replies come whole: nor is that of UIDL, wherever the buffer ends" {
	local i uidl
	for ((i = 0; i < 1500; i++)); do
		: >"$MAILDIR/cur/1500000000.M${i}P1.$(printf 'h%.0s' $(seq $((i % 37 + 20)))):2,"
	done
	own "$MAILDIR"
	for ((i = 1; i <= 60; i++)); do uidl+=("DELE $i"$'\n' $'UIDL\n' $'LIST\n'); done
	packets $'USER joe\n' $'PASS secret\n' "${uidl[@]}" $'QUIT\n' >"$T/packets"
	[ "$(grep -cP '\t.*\\r\\n\.\\r\\n$' "$T/packets")" = 120 ]
	run ! grep -P '^[0-9]\t' "$T/packets"
}

@test "each reply to a command is one write" {
	three_messages
	packets $'USER joe\n' $'PASS secret\n' $'LIST\n' $'RETR 1\n' $'QUIT\n' >"$T/packets"
	# The greeting and five replies.
	[ "$(wc -l <"$T/packets")" = 6 ]
}

@test "pipelined commands share writes: what is announced as PIPELINING pays (RFC 2449 s.6.6)" {
	three_messages
	packets $'USER joe\nPASS secret\nLIST\nRETR 1\nRETR 2\nQUIT\n' >"$T/packets"
	[ "$(wc -l <"$T/packets")" = 2 ]
	grep -q $'\t.*left)\\\\r\\\\n$' "$T/packets"
}
