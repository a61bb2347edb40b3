# The Maildir: exact octets, unique-ids, flags, and other programs at work in it.

load helper

# What RETR 1 sends, as octets, unstuffed.
retr_octets() {
	printf 'USER joe\r\nPASS secret\r\nRETR 1\r\n' | "$POP3D" -f "$CONF" 2>>"$LOG" |
		python3 -c 'import sys
data = sys.stdin.buffer.read().split(b"octets\r\n", 1)[1]
body = data[: data.index(b"\r\n.\r\n") + 2] if not data.startswith(b".\r\n") else b""
lines = body.split(b"\r\n")
sys.stdout.buffer.write(b"\r\n".join(l[1:] if l.startswith(b".") else l for l in lines))'
}

# Whether LIST, RETR and the file agree on the octets of message 1.
exact() {
	retr_octets >"$T/retr"
	local listed
	listed=$(answers 'USER joe' 'PASS secret' 'LIST 1' | sed -n 's/^+OK 1 //p')
	[ "$(wc -c <"$T/retr")" = "$listed" ] || fail "LIST says $listed, RETR sends $(wc -c <"$T/retr")"
	python3 - "$1" "$T/retr" <<-'E'
		import re, sys
		disk, wire = (open(name, "rb").read() for name in sys.argv[1:])
		want = re.sub(rb"(?<!\r)\n", b"\r\n", disk)
		if want and not want.endswith(b"\n"):
		    want += b"\r\n"
		sys.exit(want != wire)
	E
}

@test "octets: LIST, RETR and the file agree, whatever is in a message (RFC 1939 s.11)" {
	local i=0 message
	while IFS= read -r message; do
		i=$((i + 1))
		rm -f "$MAILDIR/pop3d.index" "$MAILDIR"/cur/*
		printf "$message" | put cur "$i:2,"
		exact "$MAILDIR/cur/$i:2," || fail "message: $message"
	done <<-'E'
		a
		a\n
		a\r\n
		\n
		\r\n
		\r
		\r\r\n
		\n\n\n
		\n\r\n\r
		.
		..\n..
		.\r\n.\r\n.
		a\r\rb\nc\r
		\000
		a\000b\n\000\n
		\377\376\n\200
		Subject: x\n\n.\n..\n...\n
		x\n.y\r\n.z\n
		From a\n>From b\n
	E
	[ "$i" = 19 ]
}

@test "octets: messages around the sizes of the buffers" {
	local size
	for size in 4095 4096 32766 32767 32768 32769 65535 65536 65537 98304; do
		rm -f "$MAILDIR/pop3d.index" "$MAILDIR"/cur/*
		python3 -c "import sys
s = int(sys.argv[1])
sys.stdout.buffer.write((b'.\n' * s)[: s - 1] + b'\r')" "$size" | put cur 1:2,
		exact "$MAILDIR/cur/1:2," || fail "size $size, dots"
		rm -f "$MAILDIR/pop3d.index" "$MAILDIR"/cur/*
		python3 -c "import sys
s = int(sys.argv[1])
sys.stdout.buffer.write(b'x' * (s - 1) + b'\r\n.\r\n\n.')" "$size" | put cur 1:2,
		exact "$MAILDIR/cur/1:2," || fail "size $size, CR LF at its end"
	done
}

@test "octets: one line of 3 MiB" {
	head -c 3145728 /dev/zero | tr '\0' x | put new 1
	exact "$MAILDIR/new/1"
}

# bats test_tags=large
@test "octets: the sum is right above 4 GiB (sparse messages of 5 GiB)" {
	truncate -s 5G "$MAILDIR/cur/1:2,"
	printf 'end\n' >>"$MAILDIR/cur/1:2,"
	truncate -s 1M "$MAILDIR/cur/2:2,"
	own "$MAILDIR/cur"
	login <<-'E'
		C: STAT
		S: +OK 2 5369757703
		C: LIST 1
		S: +OK 1 5368709125
		C: TOP 2 0
		S~ \+OK .*
		S...
		C: QUIT
		S~ \+OK .*
	E
}

# bats test_tags=large
@test "a message of 5 GiB is sent to its end" {
	truncate -s 5G "$MAILDIR/cur/1:2,"
	printf '\nend' >>"$MAILDIR/cur/1:2,"
	own "$MAILDIR/cur"
	[ "$(printf 'USER joe\r\nPASS secret\r\nRETR 1\r\nQUIT\r\n' | "$POP3D" -f "$CONF" 2>>"$LOG" |
		tail -c +150 | wc -c)" -gt 5368709120 ]
	grep -q 'fetched=1 fetched_octets=5368709127' "$LOG"
}

@test ",W= of a large message is its size, without reading it" {
	python3 -c "print('x' * 70 + '\n' + ('y' * 70 + '\n') * 999, end='')" >"$T/big"
	put cur '1600000000.M1P1.host,S=71000,W=72000:2,' <"$T/big"
	login <<-'E'
		C: LIST 1
		S: +OK 1 72000
		C: QUIT
		S~ \+OK .*
	E
	exact "$MAILDIR/cur/1600000000.M1P1.host,S=71000,W=72000:2,"
}

@test ",W= is not believed where the last line has no end, or S= is not the size" {
	python3 -c "print('y' * 69999, end='')" >"$T/big"
	put cur '1.M1P1.host,S=69999,W=69999:2,' <"$T/big"
	{ cat "$T/big"; echo; } | put cur '2.M1P1.host,S=69999,W=69999:2,'
	{ cat "$T/big"; echo; } | put cur '3.M1P1.host,S=70000,W=5:2,'
	printf 'a\n' | put cur '4.M1P1.host,S=2,W=99:2,'
	{ cat "$T/big"; echo; } | put cur '5.M1P1.host,S=70000,W=140001:2,'
	login <<-'E'
		C: LIST
		S~ \+OK .*
		S: 1 70001
		S: 2 70001
		S: 3 70001
		S: 4 3
		S: 5 70001
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "a ,W= that lies is found out by RETR, and right in the next session" {
	python3 -c "print(('y' * 69 + '\n') * 1000, end='')" | put cur '1.M1P1.host,S=70000,W=70001:2,'
	settle
	login <<-'E'
		C: LIST 1
		S: +OK 1 70001
		C: RETR 1
		S~ \+OK .*
		S...
	E
	login <<-'E'
		C: LIST 1
		S: +OK 1 71000
		C: STAT
		S: +OK 1 71000
		C: QUIT
		S~ \+OK .*
	E
}

@test "unique-id: the name up to the colon, whatever its flags (RFC 1939 s.7)" {
	printf 'a\n' | put cur '1600000001.M1P1.host,S=2:2,FRS'
	printf 'b\n' | put new '1600000002.M1P1.host,S=2'
	login <<-'E'
		C: UIDL
		S~ \+OK .*
		S: 1 1600000001.M1P1.host,S=2
		S: 2 1600000002.M1P1.host,S=2
		S: .
		C: QUIT
		S~ \+OK .*
	E
	mv "$MAILDIR/cur/1600000001.M1P1.host,S=2:2,FRS" "$MAILDIR/cur/1600000001.M1P1.host,S=2:2,T"
	login <<-'E'
		C: UIDL
		S~ \+OK .*
		S: 1 1600000001.M1P1.host,S=2
		S: 2 1600000002.M1P1.host,S=2
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "unique-id: 70 octets are taken as they are, 71 and odd octets are hashed" {
	local seventy longer
	seventy=4$(printf 'x%.0s' $(seq 69))
	longer=5$(printf 'x%.0s' $(seq 70))
	printf 'a\n' | put cur "$seventy:2,"
	printf 'b\n' | put cur "$longer:2,"
	printf 'c\n' | put cur "2 space:2,"
	printf 'd\n' | put cur $'3\xff\x01:2,'
	login <<-E
		C: UIDL
		S~ \+OK .*
		S: 1 $(printf '2 space' | sha256sum | cut -c1-32)
		S: 2 $(printf '3\377\001' | sha256sum | cut -c1-32)
		S: 3 $seventy
		S: 4 $(printf %s "$longer" | sha256sum | cut -c1-32)
		S: .
		C: UIDL 2
		S: +OK 2 $(printf '3\377\001' | sha256sum | cut -c1-32)
		C: QUIT
		S~ \+OK .*
	E
}

@test "unique-id: files with the same unique part get different ones, and keep them" {
	printf 'a\n' | put cur '1.M1P1.host:2,'
	printf 'bb\n' | put cur '1.M1P1.host:2,S'
	printf 'ccc\n' | put new '1.M1P1.host'
	answers 'USER joe' 'PASS secret' UIDL LIST QUIT >"$T/one"
	[ "$(sed -n '/^+OK Unique/,/^\.$/p' "$T/one" | sort -u | wc -l)" = 5 ]
	# All seen by another program; nothing is mixed up.
	mv "$MAILDIR/cur/1.M1P1.host:2," "$MAILDIR/cur/1.M1P1.host:2,R"
	answers 'USER joe' 'PASS secret' UIDL LIST QUIT >"$T/two"
	diff <(sed -n '/Unique/,$p' "$T/one") <(sed -n '/Unique/,$p' "$T/two")
}

@test "order: as delivered, by seconds and microseconds, new mail at the end" {
	printf 'a\n' | put new '1600000000.M20P1.host'
	printf 'b\n' | put cur '1600000000.M3P1.host:2,'
	printf 'c\n' | put new '999999999.V1I1M1.host'
	answers 'USER joe' 'PASS secret' UIDL | sed -n 's/^[0-9] //p' >"$T/ids"
	diff "$T/ids" - <<-'E'
		999999999.V1I1M1.host
		1600000000.M3P1.host
		1600000000.M20P1.host
	E
	printf 'd\n' | put new '888888888.M1P1.host'
	[ "$(answers 'USER joe' 'PASS secret' 'UIDL 4' | tail -n 1)" = '+OK 4 888888888.M1P1.host' ]
}

@test "order: names that begin with no time go by the file's" {
	printf 'a\n' | put cur 'b.host:2,'
	printf 'b\n' | put cur 'a.host:2,'
	printf 'c\n' | put cur '1600000000.M1P1.host:2,'
	touch -d @1500000000 "$MAILDIR/cur/b.host:2,"
	touch -d @1700000000 "$MAILDIR/cur/a.host:2,"
	[ "$(answers 'USER joe' 'PASS secret' UIDL | sed -n 's/^[0-9] //p' | tr '\n' ' ')" = 'b.host 1600000000.M1P1.host a.host ' ]
}

@test "QUIT moves what was in new to cur with :2, and marks what was fetched with S" {
	printf 'a\n' | put new 1.a
	printf 'b\n' | put new 2.b
	printf 'c\n' | put cur 3.c:2,
	printf 'd\n' | put cur 4.d:2,FT
	printf 'e\n' | put cur 5.e:2,RS
	printf 'f\n' | put cur 6.f
	printf 'g\n' | put cur 7.g:2,Fa
	printf 'h\n' | put cur 8.h:1,x
	after() {
		[ -z "$(ls "$MAILDIR/new")" ]
		[ "$(ls "$MAILDIR/cur" | tr '\n' ' ')" = \
			'1.a:2,S 2.b:2, 3.c:2,S 4.d:2,FST 5.e:2,RS 6.f:2,S 7.g:2,FSa 8.h:1,x ' ] ||
			fail "$(ls "$MAILDIR/cur")"
	}
	session <<-'E'
		C: RETR 1
		S~ \+OK .*
		S...
		C: TOP 2 0
		S~ \+OK .*
		S...
		C: RETR 3
		S~ \+OK .*
		S...
		C: RETR 4
		S~ \+OK .*
		S...
		C: RETR 5
		S~ \+OK .*
		S...
		C: RETR 6
		S~ \+OK .*
		S...
		C: RETR 7
		S~ \+OK .*
		S...
		C: RETR 8
		S~ \+OK .*
		S...
		C: QUIT
		S~ \+OK .*
	E
}

@test "the move to cur replaces no file that is there" {
	printf 'new\n' | put new 1.a
	printf 'old\n' | put cur 1.a:2,
	login <<-'E'
		C: QUIT
		S: +OK Goodbye (2 messages left)
	E
	[ "$(cat "$MAILDIR/new/1.a" "$MAILDIR/cur/1.a:2,")" = $'new\nold' ]
}

@test "... nor where the file system can't see to that" {
	printf 'new\n' | put new 1.a
	printf 'old\n' | put cur 1.a:2,
	printf 'two\n' | put new 2.a
	LD_PRELOAD=$FAULT FAULT_OLD=1 answers 'USER joe' 'PASS secret' QUIT | grep -q '(3 messages left)'
	[ "$(cat "$MAILDIR/new/1.a" "$MAILDIR/cur/1.a:2,")" = $'new\nold' ]
	[ -e "$MAILDIR/cur/2.a:2," ]
}

@test "a name that has no room for an info suffix stays in new" {
	local long
	long=$(printf 'n%.0s' $(seq 254))
	printf 'new\n' | put new "$long"
	answers 'USER joe' 'PASS secret' 'RETR 1' QUIT | grep -q '(1 messages left)'
	[ -e "$MAILDIR/new/$long" ]
}

@test "flags renamed by another program: the message is found again" {
	rename_two() {
		mv "$MAILDIR/cur/1600000001.M1P1.host:2," "$MAILDIR/cur/1600000001.M1P1.host:2,FS"
		mv "$MAILDIR/new/1600000003.M1P1.host" "$MAILDIR/cur/1600000003.M1P1.host:2,"
	}
	three_messages
	during rename_two <<-'E'
		RETR 1
		RETR 3
		DELE 1
		LIST
		QUIT
	E
	grep -qx '+OK 65 octets' "$T/text"
	grep -qx '+OK 23 octets' "$T/text"
	grep -qx '+OK Goodbye (2 messages left)' "$T/text"
	[ "$(ls "$MAILDIR/cur" | tr '\n' ' ')" = '1600000002.M1P1.host:2,S 1600000003.M1P1.host:2,S ' ]
}

@test "a message that is gone is -ERR [SYS/TEMP] and stays numbered" {
	three_messages
	during rm "$MAILDIR/cur/1600000002.M1P1.host:2,S" <<-'E'
		RETR 2
		TOP 2 0
		LIST
		UIDL 2
		RETR 3
		DELE 2
		QUIT
	E
	diff "$T/text" - <<-'E'
		-ERR [SYS/TEMP] Message 2 was removed by another program
		-ERR [SYS/TEMP] Message 2 was removed by another program
		+OK 3 messages (124 octets)
		1 65
		2 36
		3 23
		.
		+OK 2 1600000002.M1P1.host
		+OK 23 octets
		Subject: three

		end
		.
		+OK Message 2 deleted
		+OK Goodbye (2 messages left)
	E
}

@test "mail that is delivered during a session is there in the next one, and not touched" {
	deliver() { printf 'new\n' | put new 1700000000.M1P1.host; }
	three_messages
	during deliver <<-'E'
		DELE 1
		DELE 2
		DELE 3
		STAT
		RETR 4
		QUIT
	E
	grep -q '^+OK 0 0' "$T/text"
	grep -q '^-ERR No such message, there are 3' "$T/text"
	[ -e "$MAILDIR/new/1700000000.M1P1.host" ]
	[ "$(messages_left)" = 1 ]
	login <<-'E'
		C: UIDL
		S~ \+OK .*
		S: 1 1700000000.M1P1.host
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "a message that has changed its size is -ERR, and right in the next session" {
	add_a_line() { printf 'b\n' >>"$MAILDIR/cur/1:2,"; }
	printf 'a\n' | put cur 1:2,
	settle
	during add_a_line <<-'E'
		RETR 1
		QUIT
	E
	grep -q '^-ERR \[SYS/TEMP\] Message 1 has changed' "$T/text"
	login <<-'E'
		C: STAT
		S: +OK 1 6
		C: RETR 1
		S: +OK 6 octets
		S: a
		S: b
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "a Maildir++ quota file is kept right when messages go" {
	three_messages
	printf 'x\n' | put cur '1600000004.M1P1.host,S=1000:2,'
	printf 'trashed\n' | put cur '1600000005.M1P1.host,S=8:2,T'
	printf '10000000S,1000C\n5000 7\n' >"$MAILDIR/maildirsize"
	own "$MAILDIR/maildirsize"
	after() {
		[ "$(tail -n +2 "$MAILDIR/maildirsize" | awk '{ o += $1; n += $2 } END { print o, n }')" = \
			"$((5000 - 59 - 1000)) 5" ] || fail "$(cat "$MAILDIR/maildirsize")"
	}
	session <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: DELE 4
		S~ \+OK .*
		C: DELE 5
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "where there is no quota file, none is made" {
	three_messages
	login <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	[ ! -e "$MAILDIR/maildirsize" ]
}

@test "only regular files are mail: no folder, FIFO, symbolic link, dot file" {
	printf 'mail\n' | put cur 1:2,
	mkdir "$MAILDIR/cur/directory:2,"
	mkfifo "$MAILDIR/cur/fifo:2,"
	ln -s /etc/passwd "$MAILDIR/cur/link:2,"
	ln -s nowhere "$MAILDIR/new/dangling"
	printf 'hidden\n' | put cur .hidden
	own "$MAILDIR"
	login <<-'E'
		C: UIDL
		S~ \+OK .*
		S: 1 1
		S: .
		C: DELE 1
		S~ \+OK .*
		C: QUIT
		S: +OK Goodbye (maildrop empty)
	E
	[ -L "$MAILDIR/cur/link:2," ] && [ -d "$MAILDIR/cur/directory:2," ] && [ -p "$MAILDIR/cur/fifo:2," ]
}

@test "a message replaced by a symbolic link or a FIFO is not followed and not waited for" {
	local other
	for other in 'ln -s /etc/passwd' mkfifo; do
		rm -f "$MAILDIR"/cur/*
		printf 'mail\n' | put cur 1:2,
		settle
		login <<-'E'
			C: STAT
			S: +OK 1 6
		E
		rm "$MAILDIR/cur/1:2,"
		$other "$MAILDIR/cur/1:2,"
		own "$MAILDIR/cur"
		settle
		answers 'USER joe' 'PASS secret' 'RETR 1' QUIT >"$T/out"
		run ! grep -q root: "$T/out"
		grep -q -e '-ERR' "$T/out"
	done
}

@test "hostile file names: spaces, 8-bit, control characters, 255 octets" {
	local name count=0 retr dele
	mapfile -t retr < <(printf 'RETR %s\n' $(seq 13))
	mapfile -t dele < <(printf 'DELE %s\n' $(seq 13))
	for name in 'a b c' $'tab\there' $'line\nbreak' $'\xff\xfe' $'\x01\x7f' ':2,S' ':' 'a:b:c' \
		'%s%n' '-rf' "$(printf 'n%.0s' $(seq 255))" "$(printf 'm%.0s' $(seq 251)):2,"; do
		printf 'mail %s\n' "$count" >"$MAILDIR/cur/$name"
		count=$((count + 1))
	done
	printf 'new\n' >"$MAILDIR/new/$(printf 'o%.0s' $(seq 255))"
	own "$MAILDIR"
	answers 'USER joe' 'PASS secret' UIDL "${retr[@]}" QUIT >"$T/out"
	run ! grep -q -e -ERR "$T/out"
	[ "$(sed -n '/^+OK Unique/,/^\.$/p' "$T/out" | sort -u -k2 | wc -l)" = 15 ]
	run ! grep -P '[^\x20-\x7e]' <(sed -n '/^+OK Unique/,/^\.$/p' "$T/out")
	[ "$(messages_left)" = 13 ]
	answers 'USER joe' 'PASS secret' "${dele[@]}" QUIT >"$T/out"
	grep -qx '+OK Goodbye (maildrop empty)' "$T/out"
	[ "$(messages_left)" = 0 ]
}

@test "a file that can't be read is left out, logged, and does no harm to the others" {
	[ "$(id -u)" != 0 ] || [ -n "$MAIL_UID" ]
	three_messages
	chmod 000 "$MAILDIR/cur/1600000002.M1P1.host:2,S"
	settle
	login <<-'E'
		C: STAT
		S: +OK 2 88
		C: QUIT
		S~ \+OK .*
	E
	grep -q '1 files can.t be read, such as 1600000002.M1P1.host:2,S: Permission denied' "$LOG"
	chmod 600 "$MAILDIR/cur/1600000002.M1P1.host:2,S"
	settle
	login <<-'E'
		C: STAT
		S: +OK 3 124
		C: QUIT
		S~ \+OK .*
	E
}

# bats test_tags=loads
@test "names of more than 255 octets, as FUSE may have them: left out, logged, and no harm to the others" {
	local long name=1600000002.M1P1.host:2,S
	export LD_PRELOAD=$FAULT FAULT_LONG
	three_messages
	answers 'USER joe' 'PASS secret' UIDL >"$T/before"
	# One that the index has, and one that it does not have: the longest have 256 octets and more.
	mv "$MAILDIR/cur/$name" "$MAILDIR/cur/$name+"
	echo four | put new 1600000004.M1P1.host+
	for FAULT_LONG in 236 300 4000; do
		long=$(grep -c 'can.t be read' "$LOG" || true)
		answers 'USER joe' 'PASS secret' STAT 'RETR 1' >"$T/out"
		grep -qx '+OK 2 88' "$T/out"
		grep -qx 'first line' "$T/out"
		[ "$(grep -c '2 files can.t be read, such as 160000000.*: File name too long' "$LOG")" = $((long + 1)) ]
	done
	# What gets such a name during a session is not there.
	mv "$MAILDIR/cur/$name+" "$MAILDIR/cur/$name"
	answers 'USER joe' 'PASS secret' UIDL >"$T/out"
	[ "$(grep -E '^[1-3] ' "$T/out" | cut -d' ' -f2 | sort)" = "$(grep -E '^[1-3] ' "$T/before" | cut -d' ' -f2 | sort)" ]
	during mv "$MAILDIR/cur/$name" "$MAILDIR/cur/$name+" <<-'E'
		RETR 3
		RETR 1
		QUIT
	E
	grep -q '^-ERR \[SYS/TEMP\] Message 3 ' "$T/text"
	grep -qx 'first line' "$T/text"
	[ "$(messages_left)" = 4 ]
}

@test "a second session is [IN-USE], the first goes on (RFC 2449 s.8.1.2)" {
	three_messages
	start_listening
	connect_and_login
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ -ERR \[IN-USE\] Another session has had the maildrop for [0-9]+ seconds
		S$
	E
	grep -q 'login-refused .*user=joe .*in use' "$LOG"
	printf 'DELE 1\r\nQUIT\r\n' >&9
	cat <&9 >"$T/out"
	exec 9>&-
	grep -q '^+OK Goodbye (2 messages left)' "$T/out"
}

@test "the lock is free once QUIT has been answered" {
	three_messages
	local i
	start_listening
	for i in 1 2 3 4 5 6 7 8 9 10; do
		"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
			A: joe secret
			S~ \+OK .*
			C: QUIT
			S~ \+OK .*
		E
	done
}

@test "a lock of another program's fcntl(2) is honoured" {
	three_messages
	login <<<'C: QUIT
S~ .*'
	python3 -c 'import fcntl, sys, time
f = open(sys.argv[1], "r+")
fcntl.lockf(f, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()' "$MAILDIR/pop3d.lock" < <(sleep 20) >"$T/locked" 3>&- &
	local locker=$!
	wait_for grep -q locked "$T/locked"
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ -ERR \[IN-USE\] .*
		S$
	E
	kill "$locker"
}

@test "the lock file's time is that of the last login" {
	login <<<'C: QUIT
S~ .*'
	touch -d '1 hour ago' "$MAILDIR/pop3d.lock"
	login <<<'C: QUIT
S~ .*'
	[ -n "$(find "$MAILDIR/pop3d.lock" -mmin -5)" ]
}

@test "no Maildir yet: an empty maildrop, nothing made, and a log line" {
	rmdir "$MAILDIR"/* "$MAILDIR"
	login <<-'E'
		C: STAT
		S: +OK 0 0
		C: UIDL
		S~ \+OK .*
		S: .
		C: QUIT
		S: +OK Goodbye (maildrop empty)
	E
	[ ! -e "$MAILDIR" ]
	grep -q 'not there yet, taken as empty' "$LOG"
}

@test "no Maildir and no place for it: [SYS/TEMP], a file system may be missing" {
	configure "maildir $T/not/mounted"
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S: -ERR [SYS/TEMP] The maildrop can't be opened now, try later
		S$
	E
}

@test "something else than a Maildir: [SYS/PERM]" {
	rmdir "$MAILDIR"/*
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S: -ERR [SYS/PERM] The maildrop can't be opened, tell the administrator
		S$
	E
	rm -r "$MAILDIR"
	echo >"$MAILDIR"
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ -ERR \[SYS/PERM\] .*
		S$
	E
}

@test "a Maildir without new, or without cur, gets it" {
	local folder
	for folder in new cur; do
		rm -rf "${MAILDIR:?}"
		make_maildir "$MAILDIR"
		three_messages
		rm -r "${MAILDIR:?}/$folder"
		login <<-'E'
			C: QUIT
			S~ \+OK .*
		E
		[ -d "$MAILDIR/$folder" ] || fail "$folder"
	done
	rmdir "$MAILDIR/tmp"
	login <<<'C: QUIT
S~ \+OK .*'
}

@test "a Maildir whose cur is a symbolic link is not followed" {
	three_messages
	mv "$MAILDIR/cur" "$T/elsewhere"
	ln -s "$T/elsewhere" "$MAILDIR/cur"
	own "$MAILDIR/cur"
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ -ERR \[SYS/PERM\] .*
		S$
	E
}

# bats test_tags=loads
@test "QUIT says how many messages could not be removed, and why is in the log" {
	three_messages
	export FAULT_FAIL=unlink:13:1600000002 LD_PRELOAD=$FAULT
	login <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: DELE 2
		S~ \+OK .*
		C: DELE 3
		S~ \+OK .*
		C: QUIT
		S: -ERR [SYS/TEMP] 1 of 3 messages not removed
		S$
	E
	unset FAULT_FAIL LD_PRELOAD
	grep -q 'not-removed .*user=joe messages=1: Permission denied' "$LOG"
	grep -q 'end .*deleted=2 deleted_octets=88 left=1 left_octets=36' "$LOG"
	login <<-'E'
		C: UIDL
		S~ \+OK .*
		S: 1 1600000002.M1P1.host
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "a message that another program removed counts as removed; a renamed one is removed" {
	three_messages
	settle
	login <<<'C: NOOP
S~ .*'
	# The first change of a session is the lock's time, the second here the first removal.
	export LD_PRELOAD=$FAULT
	export FAULT_RUN="2:rm '$MAILDIR/cur/1600000002.M1P1.host:2,S';\
mv '$MAILDIR/new/1600000003.M1P1.host' '$MAILDIR/cur/1600000003.M1P1.host:2,F'"
	login <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: DELE 2
		S~ \+OK .*
		C: DELE 3
		S~ \+OK .*
		C: QUIT
		S: +OK Goodbye (maildrop empty)
		S$
	E
	[ "$(messages_left)" = 0 ]
}
