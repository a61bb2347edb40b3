# What other programs and clients do at the worst moment.

load helper

# hooked VARIABLE VALUE [LINE...]: a session with tests/fault.c's variable set.
hooked() {
	local setting=$1
	shift
	printf '%s\r\n' 'USER joe' 'PASS secret' "$@" |
		env LD_PRELOAD="$FAULT" "$setting" "$POP3D" -f "$CONF" 2>>"$LOG" | tr -d '\r'
}

# message TEXT: a message that says it.
message() {
	printf 'Subject: %s\n\n%s\n' "$1" "$1"
}

@test "moved from new to cur between the reading of the two: listed once, its unique-id stays" {
	message a | put cur 1600000001.M1P1.host:2,
	message b | put new 1600000002.M1P1.host
	answers 'USER joe' 'PASS secret' >/dev/null
	hooked "FAULT_READ=1:mv $MAILDIR/new/1600000002.M1P1.host $MAILDIR/cur/1600000002.M1P1.host:2,S" \
		UIDL QUIT >"$T/one"
	answers 'USER joe' 'PASS secret' UIDL QUIT >"$T/two"
	for i in one two; do
		grep -qx '1 1600000001.M1P1.host' "$T/$i"
		grep -qx '2 1600000002.M1P1.host' "$T/$i"
		run ! grep -q '^3 ' "$T/$i"
	done
}

@test "moved to the one folder that is read, from the other one: both are read, and the login succeeds" {
	local one=1600000001.M1P1.host from to
	message a | put cur $one:2,
	message b | put cur 1600000002.M1P1.host:2,S
	message c | put new 1600000003.M1P1.host
	for to in "new/$one" "cur/$one:2,"; do
		from=$(cd "$MAILDIR" && echo ???/$one*)
		settle
		answers 'USER joe' 'PASS secret' >/dev/null
		touch "$MAILDIR/${to%/*}"
		hooked "FAULT_READ=1:mv $MAILDIR/$from $MAILDIR/$to" UIDL >"$T/out"
		[ "$(sed -n 's/^[1-9] //p' "$T/out" | xargs)" = "$one 1600000002.M1P1.host 1600000003.M1P1.host" ]
	done
}

@test "... and where they never stand still, the next session has them right" {
	local i
	for i in 1 2 3 4 5 6 7 8 9; do message "$i" | put new "160000000$i.M1P1.host"; done
	answers 'USER joe' 'PASS secret' >/dev/null
	# Each reading of a folder is followed by a move.
	cat >"$T/move" <<-E
		for i in 1 2 3 4 5 6 7 8 9; do
			f=$MAILDIR/new/160000000\$i.M1P1.host
			[ ! -e \$f ] || { mv \$f $MAILDIR/cur/160000000\$i.M1P1.host:2,S; break; }
		done
	E
	hooked "FAULT_READ=0:sh $T/move" UIDL QUIT >"$T/one"
	grep -q '^+OK Goodbye' "$T/one"
	answers 'USER joe' 'PASS secret' UIDL QUIT | grep -E '^[0-9]' | cut -d' ' -f2 | sort >"$T/two"
	printf '160000000%s.M1P1.host\n' 1 2 3 4 5 6 7 8 9 | diff - "$T/two"
}

@test "QUIT finds a message that is moved while it is looked for" {
	message a | put cur 1600000001.M1P1.host:2,
	message b | put new 1600000002.M1P1.host
	message c | put new 1600000003.M1P1.host
	# A login reads both folders; new is read for the third time at QUIT.
	rename_two() {
		mv "$MAILDIR/cur/1600000001.M1P1.host:2," "$MAILDIR/cur/1600000001.M1P1.host:2,FS"
		mv "$MAILDIR/new/1600000002.M1P1.host" "$MAILDIR/new/1600000002.M1P1.host:2,F"
	}
	LD_PRELOAD=$FAULT FAULT_READ="3:mv $MAILDIR/new/1600000002.M1P1.host:2,F $MAILDIR/cur/1600000002.M1P1.host:2,FS" \
		during rename_two <<-'E'
		DELE 1
		DELE 2
		QUIT
	E
	grep -q '^+OK Goodbye (1 messages left)' "$T/text"
	[ "$(messages_left)" = 1 ]
}

# bats test_tags=loads
@test "QUIT meets a message that is renamed whenever something changes: removed once it stands still, or -ERR" {
	local times name=$MAILDIR/cur/1600000001.M1P1.host:2,
	# As often as the file says, which is not before the login is over; each time to another name.
	cat >"$T/rename" <<-E
		left=\$(cat $T/left)
		[ "\$left" -gt 0 ] || exit
		echo \$((left - 1)) >$T/left
		mv $name* $name\$left
	E
	set_left() { echo "$1" >"$T/left"; }
	for times in 8 1000; do
		rm -f "$MAILDIR/pop3d.index"
		message a | put cur 1600000001.M1P1.host:2,
		message b | put cur 1600000002.M1P1.host:2,
		set_left 0
		LD_PRELOAD=$FAULT FAULT_RUN="0:sh $T/rename" during set_left $times <<-'E'
			DELE 1
			QUIT
		E
		[ "$(cat "$T/left")" != "$times" ]
		if [ "$times" = 8 ]; then
			grep -q '^+OK Goodbye (1 messages left)' "$T/text"
			[ "$(messages_left)" = 1 ]
		else
			grep -q '^-ERR \[SYS/TEMP\] 1 of 1 ' "$T/text"
			wait_for grep -q 'deleted=0 .*left=2 ' "$T/listening"
			[ "$(messages_left)" = 2 ]
		fi
	done
}

@test "all flags renamed during a session: every message is listed, fetched and deleted" {
	local i
	for i in {100..599}; do message "$i" | put cur "1600000$i.M1P1.host:2,"; done
	rename_all() {
		for i in {100..599}; do mv "$MAILDIR/cur/1600000$i.M1P1.host:2," "$MAILDIR/cur/1600000$i.M1P1.host:2,F"; done
	}
	during rename_all <<-'E'
		RETR 1
		RETR 500
		LIST
		UIDL
		DELE 500
		DELE 1
		QUIT
	E
	[ "$(grep -cE '^[0-9]+ [0-9]+$' "$T/text")" = 500 ]
	[ "$(grep -cE '^[0-9]+ 1600000[0-9]{3}\.M1P1\.host$' "$T/text")" = 500 ]
	grep -q '^+OK Goodbye (498 messages left)' "$T/text"
	[ "$(messages_left)" = 498 ]
}

@test "a message that changes its size: the numbers of the session stay what they were" {
	local i
	for i in {1..9}; do message "$i" | put cur "160000000$i.M1P1.host:2,"; done
	append() { echo more >>"$MAILDIR/cur/1600000001.M1P1.host:2,"; }
	during append <<-'E'
		STAT
		RETR 1
		RETR 1
		LIST 1
		DELE 1
		STAT
		RSET
		STAT
		QUIT
	E
	[ "$(grep -c '^+OK 9 153$' "$T/text")" = 2 ]
	[ "$(grep -c '^-ERR \[SYS/TEMP\] Message 1 has changed' "$T/text")" = 2 ]
	grep -q '^+OK 1 17$' "$T/text"
	grep -q '^+OK 8 136$' "$T/text"
	answers 'USER joe' 'PASS secret' STAT QUIT | grep -q '^+OK 9 159$'
}

# fetch NUMBER: RETR on fd 9, what is answered without CR.
fetch() {
	local line
	printf 'RETR %s\r\n' "$1" >&9
	while read -r -u 9 line; do
		line=${line%$'\r'}
		echo "$line"
		[ "$line" != . ] && [[ $line != -ERR* ]] || break
	done
}

@test "... also where it was open already when its turn came, however long it is" {
	local i size
	start_listening
	# What is read at once is 32 KiB.
	for size in 20 32767 32768 32769 70000; do
		rm -f "$MAILDIR"/cur/*
		for i in {1..9}; do
			message "$i" >"$T/message"
			head -c $((size - $(wc -c <"$T/message"))) /dev/zero | tr '\0' x >>"$T/message"
			put cur "16000$size$i.M1P1.host:2," <"$T/message"
		done
		connect_and_login
		for i in 1 2 3 4; do fetch $i; done >"$T/out"
		# 5, 6 and 7 came with 4.
		echo more >>"$MAILDIR/cur/16000${size}5.M1P1.host:2,"
		truncate -s -5 "$MAILDIR/cur/16000${size}6.M1P1.host:2,"
		rm "$MAILDIR/cur/16000${size}8.M1P1.host:2,"
		for i in 5 6 7 8 9; do fetch $i; done >"$T/out"
		printf 'QUIT\r\n' >&9
		exec 9>&-
		[ "$(grep -E '^(-ERR|\+OK)' "$T/out" | cut -d, -f1 | sed 's/[0-9]* octets/its octets/')" = "-ERR [SYS/TEMP] Message 5 has changed
-ERR [SYS/TEMP] Message 6 has changed
+OK its octets
-ERR [SYS/TEMP] Message 8 was removed by another program
+OK its octets" ] || fail "$size: $(grep -E '^(-ERR|\+OK)' "$T/out")"
		wait_for grep -q "fetched=6 " "$T/listening"
		: >"$T/listening"
	done
	stop_listening
}

@test "a folder whose time is set back, as by rsync -a: what came is seen" {
	message a | put cur 1600000001.M1P1.host:2,
	settle
	answers 'USER joe' 'PASS secret' STAT QUIT >/dev/null
	touch -r "$MAILDIR/cur" "$T/time"
	message b | put cur 1600000002.M1P1.host:2,
	touch -r "$T/time" "$MAILDIR/cur"
	answers 'USER joe' 'PASS secret' STAT QUIT | grep -q '^+OK 2 '
}

@test "... and its times are trusted when the change, too, was two seconds ago" {
	message a | put cur 1600000001.M1P1.host:2,
	touch -d '1 minute ago' "$MAILDIR/cur"
	answers 'USER joe' 'PASS secret' QUIT >/dev/null
	"$TESTS/index_tool.py" "$MAILDIR/pop3d.index" dump | grep -q "'cur_s': 0,"
	settle
	answers 'USER joe' 'PASS secret' QUIT >/dev/null
	run ! grep -q "'cur_s': 0," < <("$TESTS/index_tool.py" "$MAILDIR/pop3d.index" dump)
}

@test "a copy in new of what is in cur gets a unique-id of its own, though cur is not read" {
	message a | put cur 1600000001.M1P1.host:2,
	message z | put cur 1600000009.M1P1.host:2,
	settle
	answers 'USER joe' 'PASS secret' STAT QUIT >/dev/null
	message a | put new 1600000001.M1P1.host
	settle
	answers 'USER joe' 'PASS secret' UIDL >"$T/one"
	[ "$(grep -c ' 1600000001.M1P1.host$' "$T/one")" = 1 ]
	grep -qE '^3 [0-9a-f]{32}$' "$T/one"
}

@test "... and likewise in cur of what is in new, though new is not read" {
	local i
	message a | put new 1600000001.M1P1.host
	message z | put cur 1600000009.M1P1.host:2,
	settle
	answers 'USER joe' 'PASS secret' STAT >/dev/null
	message b | put cur 1600000001.M1P1.host:2,S
	touch -d '1 minute ago' "$MAILDIR/cur"
	for i in 1 2; do
		answers 'USER joe' 'PASS secret' UIDL >"$T/$i"
		[ "$(grep -c ' 1600000001.M1P1.host$' "$T/$i")" = 1 ]
		grep -qE '^3 [0-9a-f]{32}$' "$T/$i"
	done
	answers 'USER joe' 'PASS secret' 'RETR 1' 'DELE 1' QUIT | grep -qx 'Subject: a'
	[ "$(messages_left)" = 2 ]
}

@test "a full disk while names change: the messages can be fetched and deleted all the same" {
	three_messages
	answers 'USER joe' 'PASS secret' >/dev/null
	rename_one() { mv "$MAILDIR/cur/1600000001.M1P1.host:2," "$MAILDIR/cur/1600000001.M1P1.host:2,F"; }
	FAULT_FAIL='pwrite:28:Maildir/pop3d.index' LD_PRELOAD=$FAULT during rename_one <<-'E'
		RETR 1
		DELE 1
		DELE 2
		QUIT
	E
	grep -q '^+OK 65 octets' "$T/text"
	grep -q '^+OK Goodbye (1 messages left)' "$T/text"
	[ "$(messages_left)" = 1 ]
	answers 'USER joe' 'PASS secret' STAT QUIT | grep -q '^+OK 1 23$'
}

@test "a client that goes before it has read what it fetched: nothing is deleted" {
	head -c 20000000 /dev/zero | tr '\0' x | put cur 1600000001.M1P1.host:2,
	start_listening
	python3 - "$PORT" <<-'E'
		import socket, struct, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		s.sendall(b"USER joe\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
		s.recv(100)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		s.close()
	E
	wait_for grep -q ' end ' "$T/listening"
	grep -q 'reason=broken .*deleted=0 ' "$T/listening"
	[ "$(messages_left)" = 1 ]
}

@test "... also where all of it fits a single piece" {
	message a | put cur 1600000001.M1P1.host:2,
	python3 - "$POP3D" "$CONF" 2>>"$LOG" <<-'E'
		import socket, subprocess, sys
		ours, theirs = socket.socketpair()
		server = subprocess.Popen([sys.argv[1], "-f", sys.argv[2]], stdin=theirs, stdout=theirs)
		theirs.close()
		ours.recv(1000)
		ours.shutdown(socket.SHUT_RD)    # not after pop3d has been quick enough to answer
		ours.sendall(b"USER joe\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
		ours.close()
		server.wait()
	E
	grep -q 'deleted=0 ' "$LOG"
	[ "$(messages_left)" = 1 ]
}

# bats test_tags=loads
@test "a message that can't be read to its end: the connection is closed in the midst of it" {
	head -c 200000 /dev/zero | tr '\0' x | put cur 1600000001.M1P1.host:2,
	answers 'USER joe' 'PASS secret' >/dev/null
	LD_PRELOAD=$FAULT FAULT_READ_AT=3:xxxx answers 'USER joe' 'PASS secret' 'RETR 1' 'DELE 1' QUIT >"$T/out"
	run ! grep -qx '\.' "$T/out"
	run ! grep -q Goodbye "$T/out"
	grep -q 'reason=unreadable fetched=0 .*deleted=0' "$LOG"
	[ "$(messages_left)" = 1 ]
}

# bats test_tags=loads
@test "... and where nothing of it can be read, it is -ERR, and the session goes on" {
	head -c 200000 /dev/zero | tr '\0' x | put cur 1600000001.M1P1.host:2,
	answers 'USER joe' 'PASS secret' >/dev/null
	LD_PRELOAD=$FAULT FAULT_READ_AT=1:xxxx answers 'USER joe' 'PASS secret' 'RETR 1' 'TOP 1 1' QUIT >"$T/out"
	grep -q '^-ERR \[SYS/TEMP\]' "$T/out"
	[ "$(grep -cx '\.' "$T/out")" = 1 ]
	grep -q '^+OK Goodbye' "$T/out"
	[ "$(messages_left)" = 1 ]
}

# bats test_tags=calls
@test "the lock is let go before QUIT is answered (RFC 1939 s.6)" {
	three_messages
	printf '%s\r\n' 'USER joe' 'PASS secret' 'DELE 1' QUIT |
		strace -y -o "$T/trace" -e trace=close,sendmsg,unlinkat "$POP3D" -f "$CONF" >"$T/out" 2>>"$LOG"
	[ "$(grep -nE 'unlinkat.*1600000001|close.*pop3d\.lock|sendmsg' "$T/trace" | tail -n 3 |
		sed 's/^[0-9]*:\([a-z]*\).*/\1/' | tr '\n' ' ')" = 'unlinkat close sendmsg ' ]
}

@test "no other user can lock a Maildir that others may read" {
	three_messages
	chmod 755 "$MAILDIR"
	answers 'USER joe' 'PASS secret' QUIT >/dev/null
	flock -s "$MAILDIR" sleep 60 3>&- &
	PIDS="$PIDS $!"
	wait_for eval '! flock -n "$MAILDIR" true'
	answers 'USER joe' 'PASS secret' STAT QUIT | grep -q '^+OK 3 124$'
}

@test "a symbolic link to nowhere is no empty maildrop: [SYS/TEMP]" {
	rm -r "$MAILDIR"
	ln -s "$T/not-mounted" "$MAILDIR"
	answers 'USER joe' 'PASS secret' | grep -q '^-ERR \[SYS/TEMP\]'
}

# bats test_tags=loads
@test "a verdict that takes longer than the delay: the answer waits for a multiple of it" {
	local began=${EPOCHREALTIME/./}
	printf 'joe:%s:%s:%s\n' "$(mkpasswd -m sha512crypt -R 1000 secret)" "$MAIL_UID" "$MAIL_GID" >"$USERS"
	LD_PRELOAD=$FAULT FAULT_SLOW=1.2 "$TESTS/talk" "$POP3D" -f "$CONF" 2>>"$LOG" <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
	E
	[ $((${EPOCHREALTIME/./} - began)) -ge 2000000 ]
}
