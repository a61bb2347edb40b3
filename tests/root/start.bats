# Super servers that want to be root, and the rights that both processes then give up.

load ../helper
load ../clients

setup() {
	common_setup
	configure 'log syslog'
}

inetd() {
	PORT=$(free_port)
	# The example's line, with this port, program and configuration.
	sed -n "s|^#*pop3\(	stream	tcp	$1	root	\)@SBINDIR@/pop3d	pop3d\$|127.0.0.1:$PORT\1$POP3D	pop3d -f $CONF|p" \
		"$TOP/dist/inetd.conf" >"$T/inetd.conf"
	[ "$(wc -l <"$T/inetd.conf")" = 1 ]
	super "$TOP/build/tools/openbsd-inetd/usr/sbin/inetd" -d "$T/inetd.conf"
}

xinetd() {
	PORT=$(free_port)
	sed "s|service pop3|service pop3d-test|; s|@SBINDIR@/pop3d|$POP3D|; s|\(disable.*=\).*|\1 no|
		s|\(port.*=\).*|\1 $PORT|; s|\(wait.*=\).*|\1 $1|; s|\(flags.*=\).*|type = UNLISTED|
		/}/i bind = 127.0.0.1
		/}/i server_args = -f $CONF" "$TOP/dist/xinetd.conf" >"$T/xinetd.conf"
	super "$TOP/build/tools/xinetd/usr/sbin/xinetd" -dontfork -f "$T/xinetd.conf" \
		-filelog "$T/xinetd.log" -pidfile "$T/xinetd.pid"
}

@test "openbsd-inetd nowait: all clients empty a Maildir" {
	inetd nowait
	clients_empty "$PORT"
}

@test "openbsd-inetd wait: all clients empty a Maildir" {
	inetd wait
	clients_empty "$PORT"
	# It has gone when idle, and comes again.
	gone() { ! pgrep -f "pop3d -f $CONF" >/dev/null; }
	wait_for gone
	clients_empty "$PORT" poplib
}

@test "xinetd wait=no: all clients empty a Maildir" {
	xinetd no
	clients_empty "$PORT"
}

@test "xinetd wait=yes: all clients empty a Maildir" {
	xinetd yes
	clients_empty "$PORT"
	gone() { ! pgrep -f "pop3d -f $CONF" >/dev/null; }
	wait_for gone
	clients_empty "$PORT" poplib
}

@test "log stderr is refused under inetd" {
	configure 'log stderr'
	inetd nowait
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		S: -ERR [SYS/PERM] The server is not set up
		S$
	E
}

# field PID NAME: of /proc/PID/status, its numbers.
field() {
	sed -n "s/^$2:\s*//p" "/proc/$1/status" | tr '\t' ' '
}

@test "rights: the session is its user from the start, the monitor the mail's after the login" {
	local monitor session games
	configure 'session_user games' 'log stderr'
	start_listening
	connect
	monitor=$(pgrep -P "$SERVER")
	session=$(pgrep -P "$monitor")
	games=$(id -u games)
	[ "$(field "$session" Uid)" = "$games $games $games $games" ]
	[ "$(field "$session" Groups)" = "" ]
	[ "$(field "$session" NoNewPrivs)" = 1 ]
	[[ $(field "$session" CapPrm) =~ ^0+$ ]]
	[ "$(field "$monitor" Uid)" = '0 0 0 0' ]
	printf 'USER joe\r\nPASS secret\r\n' >&9
	read -r -u 9 _
	read -r -u 9 _
	[ "$(field "$monitor" Uid)" = "$MAIL_UID $MAIL_UID $MAIL_UID $MAIL_UID" ]
	[ "$(field "$monitor" Gid)" = "$MAIL_GID $MAIL_GID $MAIL_GID $MAIL_GID" ]
	[ "$(field "$monitor" Groups | tr -d ' ')" = "$MAIL_GID" ]
	[[ $(field "$monitor" CapPrm) =~ ^0+$ ]]
	exec 9>&-
}

@test "rights: without session_user the session is pop3d, or nobody where there is none" {
	local session user=nobody
	id pop3d >/dev/null 2>&1 && user=pop3d
	configure 'log stderr'
	start_listening
	connect
	session=$(pgrep -P "$(pgrep -P "$SERVER")")
	[ "$(field "$session" Uid | cut -d' ' -f1)" = "$(id -u "$user")" ]
	exec 9>&-
}

@test "the session holds its connection, the monitor and the index, and nothing else" {
	local session
	configure 'log stderr'
	exec 8<"$USERS"
	start_listening
	exec 8<&-
	connect_and_login
	find "/proc/$session/fd" -type l -printf '%f %l\n' | sort >"$T/fds"
	[ "$(wc -l <"$T/fds")" = 5 ] || fail "$(cat "$T/fds")"
	grep -q '^0 socket' "$T/fds" && grep -q '^1 socket' "$T/fds" && grep -q '^3 socket' "$T/fds"
	grep -q '^2 /dev/null' "$T/fds" && grep -q 'pop3d.index' "$T/fds"
	# The index can be read and not written.
	grep -q '^flags:\s*0[0-7]*0$' "/proc/$session/fdinfo/4"
	exec 9>&-
}

@test "messages that are open ahead are closed when the client says nothing for a second" {
	local line n
	for n in {10..59}; do echo "message $n" | put cur "16000000$n.M1P1.host:2,S"; done
	configure 'log stderr'
	start_listening
	connect_and_login
	printf 'RETR %s\r\n' {1..10} >&9
	for n in {1..10}; do
		while read -r -u 9 line && [ "$line" != $'.\r' ]; do :; done
	done
	none_is_open() { [ "$(find "/proc/$session/fd" -lname '*/cur/*' | wc -l)" = 0 ]; }
	wait_for none_is_open
	# It goes on from there.
	{ printf 'RETR %s\r\n' {11..50} && printf 'QUIT\r\n'; } >&9
	[ "$(grep -c '^message' <&9)" = 40 ]
	exec 9>&-
}

# bats test_tags=plain
@test "an idle session has few pages of its own, with TLS too" {
	make_certificates
	configure_tls ec -- 'log stderr' 'plaintext always'
	start_listening_tls
	python3 - "$SERVER" "$PORT" 132 "$TLS_PORT" 290 <<-'E'
		import re, socket, ssl, subprocess, sys, time

		def children(pid):
		    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()

		def of_its_own(pid):
		    with open(f"/proc/{pid}/smaps_rollup") as file:
		        return int(re.search(r"^Private_Dirty: *(\d+)", file.read(), re.M)[1])

		def log_in(port, tls):
		    connection = socket.create_connection(("127.0.0.1", port))
		    if tls:
		        context = ssl.create_default_context()
		        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
		        connection = context.wrap_socket(connection)
		    file = connection.makefile("rwb")
		    for line in b"USER joe", b"PASS secret", b"STAT":
		        file.write(line + b"\r\n")
		        file.flush()
		        assert file.readline().startswith(b"+OK")
		    return connection, file

		server = int(sys.argv[1])
		for tls, (port, most) in enumerate(zip(sys.argv[2::2], sys.argv[3::2])):
		    # The first login makes the index.
		    log_in(int(port), tls)[0].close()
		    while children(server):
		        time.sleep(0.1)
		    connection, file = log_in(int(port), tls)
		    [monitor] = children(server)
		    [session] = children(monitor)
		    until = time.monotonic() + 10
		    while (size := of_its_own(monitor) + of_its_own(session)) > int(most) and time.monotonic() < until:
		        time.sleep(0.1)
		    print(f"{size} kB")
		    assert size <= int(most)
		    file.close()
		    connection.close()
		    while children(server):
		        time.sleep(0.1)
	E
}

@test "a mailbox of another user can't be opened: the user's own rights hold" {
	make_maildir "$T/other"
	chown -R 47111:47111 "$T/other"
	chmod 700 "$T/other"
	configure "maildir $T/other" 'log stderr'
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S: -ERR [SYS/PERM] The maildrop can't be opened, tell the administrator
		S$
	E
	grep -q 'Permission denied' "$LOG"
}

@test "max_per_address: an IPv6 network of 64 bits counts as one address" {
	configure 'max_per_address 1' 'log stderr'
	# In a network of its own, which has the addresses.
	cat >"$T/inside" <<-E
		ip link set lo up
		ip addr add fd00::1/64 dev lo && ip addr add fd00::2/64 dev lo
		ip addr add fd00:0:0:1::1/64 dev lo
		"$POP3D" -f "$CONF" -l '[::]:1100' 2>"$T/listening" &
		until grep -q listening "$T/listening"; do sleep 0.05; done
		python3 - <<-'P'
			import socket
			def connect(source):
			    s = socket.socket(socket.AF_INET6)
			    s.settimeout(20)
			    s.bind((source, 0))
			    s.connect(("fd00::1", 1100))
			    return s, s.recv(100)
			held = connect("fd00::1")
			assert held[1].startswith(b"+OK"), held
			assert connect("fd00::2")[1].startswith(b"-ERR [SYS/TEMP]")
			other = connect("fd00:0:0:1::1")
			assert other[1].startswith(b"+OK")
			# plaintext local: this is not.
			other[0].sendall(b"CAPA\\r\\nQUIT\\r\\n")
			text = b""
			while part := other[0].recv(4096):
			    text += part
			assert b"\\nUIDL" in text and b"\\nUSER" not in text, text
		P
		status=\$?
		kill %1
		exit \$status
	E
	unshare -n bash "$T/inside"
}
