# What sessions cost, in counts that do not depend on the machine: system calls, requests, memory.
# (That an unchanged maildrop costs the same at any size: index.bats; users: passwd.bats.)

load helper

# numbered_messages COUNT: message n says so.
numbered_messages() {
	python3 - "$MAILDIR" "$1" <<-'E'
		import sys
		for n in range(1, int(sys.argv[2]) + 1):
		    with open(f"{sys.argv[1]}/cur/{1500000000 + n}.M1P1.host:2,S", "w") as f:
		        f.write(f"Subject: message {n}\n\n" + "text\n" * n)
	E
	own "$MAILDIR"
	settle
	answers 'USER joe' 'PASS secret' QUIT >/dev/null
}

# trace: a session says the lines of standard input; the system calls of its two processes are in
# $T/session.calls and $T/monitor.calls, what it was told in $T/out.
trace() {
	local file
	rm -f "$T"/trace.*
	{
		printf 'USER joe\r\nPASS secret\r\n'
		sed 's/$/\r/'
	} >"$T/in"
	strace -ff -o "$T/trace" "$POP3D" -f "$CONF" <"$T/in" 2>>"$LOG" | tr -d '\r' >"$T/out"
	for file in "$T"/trace.*; do
		# (The strings of a process that can't be dumped are nobody's but root's.)
		if grep -q '^execve(' "$file"; then
			mv "$file" "$T/monitor.calls"
		else
			mv "$file" "$T/session.calls"
		fi
	done
}

# calls WHOSE NAME: how many.
calls() {
	grep -c "^$2(" "$T/$1.calls" || true
}

# The messages that were sent, in their order.
told() {
	sed -n 's/^Subject: message //p' "$T/out" | xargs
}

# bats test_tags=calls
@test "RETR one after the other: a request opens 64, a message takes no more calls than it must" {
	numbered_messages 200
	for n in {1..200}; do echo "RETR $n"; done | trace
	[ "$(told)" = "$(echo {1..200})" ]
	# 1, 2, 4, 8, 16, 32, 64, 64 and what is left; hello and login are answered besides.
	[ "$(calls session recvmsg)" = $((2 + 7 + 2)) ]
	[ "$(grep -c "openat.*M1P1.host" "$T/monitor.calls")" = 200 ]
	[ "$(calls session read)" -lt $((200 + 20)) ] # each message is read by one
	# (Only a long message that was open already is asked for its size: one such call is the index's.)
	[ "$(grep -cE '^_?l?lseek\(' "$T/session.calls")" = 1 ]
	[ "$(wc -l <"$T/session.calls")" -lt $((3 * 200 + 150)) ]
}

# bats test_tags=calls
@test "a handshake asks the monitor once: for the signature, or for what opens the ticket" {
	make_certificates
	configure_tls ec -- 'plaintext always'
	python3 - "$POP3D" "$CONF" "$T" 2>>"$LOG" <<-'E'
		import glob, socket, ssl, subprocess, sys
		context = ssl.create_default_context()
		context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
		ticket = None
		for resumed in False, True:
		    ours, theirs = socket.socketpair()
		    trace = f"{sys.argv[3]}/{resumed}"
		    process = subprocess.Popen(["strace", "-ff", "-o", trace, sys.argv[1], "-T", "-f", sys.argv[2]], stdin=theirs, stdout=theirs)
		    theirs.close()
		    connection = context.wrap_socket(ours, session=ticket)
		    file = connection.makefile("rwb")
		    assert file.readline().startswith(b"+OK")
		    for line in b"USER joe", b"PASS secret", b"QUIT":
		        file.write(line + b"\r\n")
		        file.flush()
		        assert file.readline().startswith(b"+OK"), line
		    assert connection.session_reused == resumed
		    ticket = connection.session
		    process.wait()
		    [session] = [calls for calls in (open(name).read() for name in glob.glob(f"{trace}.*")) if "execve(" not in calls]
		    answers = [call for call in session.splitlines() if call.startswith("recvmsg(")]
		    # What comes first, this one, and those to PASS and QUIT.
		    assert len(answers) == 4, answers
	E
}

# bats test_tags=calls
@test "who asks for one message here and one there has none opened that was not asked for" {
	numbered_messages 200
	trace < <(for n in 5 100 7 9 11 12 200 199 198 1 1; do echo "RETR $n"; done)
	[ "$(told)" = "5 100 7 9 11 12 200 199 198 1 1" ]
	# 12 comes after 11, so 13 has been opened, too.
	[ "$(grep -c 'openat.*M1P1.host' "$T/monitor.calls")" = 12 ]
	trace < <(for n in {1..50}; do printf 'TOP %s 0\nRETR %s\n' "$n" "$n"; done)
	[ "$(told)" = "$(for n in {1..50}; do echo "$n $n"; done | xargs)" ]
	[ "$(grep -c 'openat.*M1P1.host' "$T/monitor.calls")" -le 150 ]
}

# bats test_tags=calls
@test "any order of RETR, TOP and DELE, however much is open already: each message is the right one" {
	numbered_messages 100
	python3 - 100 >"$T/script" <<-'E'
		import random, sys
		random.seed(1)
		n, said = 1, []
		for _ in range(1500):
		    n = random.choice([n + 1] * 12 + [n + 2, n, n - 1, random.randint(1, 100)])
		    n = n if 1 <= n <= 100 else 1
		    print(random.choice([f"RETR {n}"] * 3 + [f"TOP {n} 1"]))
	E
	sed 's/[A-Z]* \([0-9]*\).*/\1/' "$T/script" >"$T/wanted"
	trace <"$T/script"
	[ "$(told)" = "$(xargs <"$T/wanted")" ]
	[ "$(messages_left)" = 100 ]
}

@test "a message among those opened at once that is gone, or another: told at its own RETR" {
	numbered_messages 60
	during remove_some < <(for n in {1..60}; do echo "RETR $n"; done; echo QUIT)
	[ "$(grep -c '^+OK.*octets' "$T/text")" = 57 ]
	[ "$(grep '^-ERR' "$T/text" | grep -o 'essage [0-9]*' | xargs)" = "essage 20 essage 21 essage 40" ] ||
		fail "$(grep '^-ERR' "$T/text")"
	[ "$(sed -n 's/^Subject: message //p' "$T/text" | xargs)" = "$(echo {1..19} {22..39} {41..60})" ]
}

remove_some() {
	rm "$MAILDIR/cur/1500000020.M1P1.host:2,S" "$MAILDIR/cur/1500000021.M1P1.host:2,S"
	echo more >>"$MAILDIR/cur/1500000040.M1P1.host:2,S"
}

# bats test_tags=calls
@test "what is open when QUIT comes is closed before it is removed: NFS would keep it" {
	numbered_messages 40
	trace < <(for n in {1..12}; do printf 'RETR %s\nDELE %s\n' "$n" "$n"; done; echo QUIT)
	[ "$(messages_left)" = 28 ]
	# RETR 8 had sixteen less one opened: 8 to 15.
	[ "$(sed -n '/^read(0/,$p' "$T/session.calls" | grep -c '^close(')" = 15 ]
}

# What the two processes of the connection on fd 9 have that is theirs alone, in kB.
own_memory() {
	awk '/^RssAnon/ { sum += $2 } END { print sum }' "/proc/${monitor:-}/status" "/proc/${session:-}/status"
}

# bats test_tags=plain
@test "the memory of a session does not grow with the maildrop" {
	local size memory=
	for size in 10 20000; do
		rm -rf "${MAILDIR:?}"
		make_maildir "$MAILDIR"
		numbered_messages "$size"
		start_listening
		connect_and_login
		printf 'STAT\r\n' >&9
		read -r -u 9 line
		[[ $line == "+OK $size "* ]]
		memory="$memory $(own_memory)"
		exec 9>&-
		stop_listening
	done
	read -r few many <<<"$memory"
	echo "$few kB, $many kB"
	# A bit a message, in two arrays of each process.
	[ "$many" -le $((few + 24)) ]
}

@test "a client that reads the end of a quick session late still gets all of it" {
	numbered_messages 30
	python3 - "$POP3D" "$CONF" >"$T/got" 2>>"$LOG" <<-'E'
		import socket, subprocess, sys, time
		ours, theirs = socket.socketpair()
		theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
		process = subprocess.Popen([sys.argv[1], "-f", sys.argv[2]], stdin=theirs, stdout=theirs)
		theirs.close()
		commands = ["USER joe", "PASS secret"] + [f"RETR {n}" for n in range(1, 31)] * 3 + ["QUIT"]
		ours.sendall("".join(c + "\r\n" for c in commands).encode())
		time.sleep(3)
		while data := ours.recv(65536):
		    sys.stdout.buffer.write(data)
		process.wait()
	E
	tail -n 1 "$T/got" | grep -q '^+OK Goodbye'
	[ "$(grep -c '^Subject: message' "$T/got")" = 90 ]
	run ! grep -q reason=violation "$LOG"
}
