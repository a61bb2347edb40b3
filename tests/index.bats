# pop3d.index: what it saves, and that nothing depends on it.

load helper

# What a client sees of the maildrop.
listing() {
	answers 'USER joe' 'PASS secret' STAT LIST UIDL QUIT | sed '1,3d;$d'
}

# System calls of the monitor for login, STAT and QUIT: one a line in $T/calls.
count_calls() {
	rm -f "$T"/trace.*
	strace -ff -o "$T/trace" "$POP3D" -f "$CONF" \
		< <(printf 'USER joe\r\nPASS secret\r\nSTAT\r\nQUIT\r\n') >"$T/out" 2>>"$LOG"
	sed -n '/recvmsg/,$p' "$(grep -L 'USER joe' "$T"/trace.* | head -n 1)" >"$T/calls"
	grep -q '^+OK Goodbye' "$T/out"
}

many_messages() {
	python3 - "$MAILDIR" "$1" "$2" <<-'E'
		import os, sys
		maildir, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
		flags = ":2," if folder == "cur" else ""
		for i in range(count):
		    with open(f"{maildir}/{folder}/{1500000000 + i}.M1P1.host{flags}", "w") as f:
		        f.write(f"Subject: {i}\n\nmessage {i}\n")
	E
	own "$MAILDIR"
}

# settled_maildrop SIZE: its index is as good as it gets.
settled_maildrop() {
	rm -rf "${MAILDIR:?}"
	make_maildir "$MAILDIR"
	many_messages cur "$1"
	settle
	listing >/dev/null
}

all_equal() {
	[ "$(printf '%s\n' "$@" | sort -u | wc -l)" = 1 ] || fail "system calls: $*"
}

# bats test_tags=calls
@test "an unchanged maildrop: no directory and no message is read, whatever its size" {
	local size calls
	for size in 10 20000; do
		settled_maildrop "$size"
		count_calls
		run ! grep -E 'getdents|openat.*host' "$T/calls"
		grep -q "^+OK $size " "$T/out"
		calls="$calls $(wc -l <"$T/calls")"
	done
	all_equal $calls
}

# coarsen TIME: pop3d.index has it, as on a file system whose times are even seconds (FAT; ext3 has seconds).
coarsen() {
	touch -d "@$(($1 / 2 * 2))" "$MAILDIR/pop3d.index"
}

# bats test_tags=calls
@test "... also where times are coarse; who has written to the index at the same time is noticed" {
	settled_maildrop 10
	coarsen "$(stat -c %Y "$MAILDIR/pop3d.index")"
	count_calls
	run ! grep -E 'getdents|openat.*host' "$T/calls"
	rm "$MAILDIR/pop3d.index"
	listing >"$T/one"
	# The octets of the first message.
	printf x | dd of="$MAILDIR/pop3d.index" bs=1 seek=256 conv=notrunc status=none
	coarsen "$(stat -c %Y "$MAILDIR/pop3d.index")"
	listing >"$T/two"
	diff "$T/one" "$T/two"
}

# bats test_tags=calls
@test "new mail only: the old messages are neither listed nor read" {
	local i size calls
	for size in 10 20000; do
		settled_maildrop "$size"
		for i in 1 2 3; do printf 'new\n' | put new "160000000$i.M1P1.host"; done
		settle
		count_calls
		[ "$(grep -c 'openat.*host' "$T/calls")" = 3 ]
		[ "$(grep -c 'openat([0-9]*, "\.",' "$T/calls")" = 1 ]
		calls="$calls $(wc -l <"$T/calls")"
	done
	all_equal $calls
}

# bats test_tags=calls
@test "a size once computed holds: messages are read once, though the folders change" {
	many_messages cur 100
	listing >"$T/one"
	for i in 1500000010 1500000020; do mv "$MAILDIR/cur/$i.M1P1.host:2," "$MAILDIR/cur/$i.M1P1.host:2,S"; done
	count_calls
	run ! grep -E 'openat.*host' "$T/calls"
	listing >"$T/two"
	diff "$T/one" "$T/two"
}

@test "few descriptors: messages are read all the same, fewer at a time" {
	many_messages cur 100
	listing >"$T/one"
	rm "$MAILDIR/pop3d.index"
	unless_others_have_more listing >"$T/two"
	diff "$T/one" "$T/two"
	# And when they are fetched, by a session that was to have more.
	{ echo 'USER joe'; echo 'PASS secret'; printf 'RETR %s\n' {1..100}; echo QUIT; } >"$T/lines"
	unless_others_have_more fetch >"$T/out"
	[ "$(grep -c '^+OK 2[57] octets' "$T/out")" = 100 ]
	run ! grep -E "unreadable|Too many" "$LOG"
}

fetch() {
	"$POP3D" -f "$CONF" <"$T/lines" 2>>"$LOG"
}

# unless_others_have_more COMMAND: with 33 descriptors.  Once more where other tests, whose user id is the same, have
# as many on their way between two processes, which the kernel counts together.
unless_others_have_more() {
	for _ in 1 2 3 4 5; do
		: >"$LOG"
		(ulimit -n 33 && "$@") >"$T/tried"
		grep -q 'Too many references' "$LOG" || break
	done
	cat "$T/tried"
}

@test "lost: the index is made again, and says the same" {
	three_messages
	many_messages cur 50
	listing >"$T/one"
	rm "$MAILDIR/pop3d.index"
	listing >"$T/two"
	diff "$T/one" "$T/two"
	[ -s "$MAILDIR/pop3d.index" ]
}

@test "full of random octets, empty, cut off anywhere: made again" {
	local size i
	three_messages
	settle
	listing >"$T/one"
	size=$(stat -c %s "$MAILDIR/pop3d.index")
	cp "$MAILDIR/pop3d.index" "$T/good"
	for i in 1 2 3; do
		head -c "$size" /dev/urandom >"$MAILDIR/pop3d.index"
		listing >"$T/two"
		diff "$T/one" "$T/two" || fail random
	done
	for i in 0 1 7 8 100 255 256 300 2000 $((size - 1)) $((size - 20)) $((size - 60)); do
		head -c "$i" "$T/good" >"$MAILDIR/pop3d.index"
		listing >"$T/two"
		diff "$T/one" "$T/two" || fail "cut at $i"
	done
}

@test "an octet changed anywhere by another program is noticed" {
	local size at
	three_messages
	settle
	listing >"$T/one"
	cp -p "$MAILDIR/pop3d.index" "$T/good"
	for at in $(seq 0 9 375) $(seq 2810 3 2880); do
		cp -p "$T/good" "$MAILDIR/pop3d.index"
		python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); c = f.read(1)
    f.seek(int(sys.argv[2])); f.write(bytes([c[0] ^ 0x55]) if c else b"x")' "$MAILDIR/pop3d.index" "$at"
		own "$MAILDIR/pop3d.index"
		settle
		listing >"$T/two"
		diff "$T/one" "$T/two" || fail "octet $at"
	done
}

@test "of another byte order, record size or version: made again" {
	local change
	three_messages
	settle
	listing >"$T/one"
	for change in 'h["byte_order"] = 0x04030201' 'h["record_size"] = 48' \
		'h["magic"] = b"pop3d\0\0\2"'; do
		"$TESTS/index_tool.py" "$MAILDIR/pop3d.index" forge "$change"
		listing >"$T/two"
		diff "$T/one" "$T/two" || fail "$change"
		settle
		listing >/dev/null
	done
}

# bats test_tags=calls
@test "after another start of the system, the whole of it is checked and the folders are read" {
	three_messages
	settle
	listing >"$T/one"
	"$TESTS/index_tool.py" "$MAILDIR/pop3d.index" forge 'h["boot"] = b"another"'
	count_calls
	[ "$(grep -c 'openat([0-9]*, "\.",' "$T/calls")" = 2 ]
	run ! grep -E 'openat.*host' "$T/calls"
	listing >"$T/two"
	diff "$T/one" "$T/two"
}

# Forged with all checks right, as the Maildir's owner could.
@test "forged: lies about counts, places and names lead nowhere but to one's own mail" {
	local change
	three_messages
	printf 'PRIVATE\n' >"$T/private"
	own "$T/private"
	for change in 'h["count"] = 2**40' 'h["count"] = 2**64 - 1' 'h["capacity"] = 2**63' \
		'h["count"] = 60' 'r[0]["name_at"] = 2**63' 'r[0]["name_at"] = 2**64 - 1' \
		'r[0]["name_length"] = 65535' 'r[0]["name_length"] = 0' 'r[1]["unique_length"] = 65535' \
		'r[1]["unique_length"] = 0' 'r[0]["flags"] = 65535' 'r[0]["octets"] = 2**64 - 1' \
		'h["octets"] = 2**64 - 1' 'h["first_new"] = 2**64 - 1' 'names[0:1] = b"/"' \
		'names[0:13] = b"../../private"; r[0]["name_length"] = 13; r[0]["unique_length"] = 13' \
		'names[0:13] = b"x/../../../pr"; r[0]["name_length"] = 13; r[0]["unique_length"] = 13' \
		'names[0:1] = b"\0"' 'names[0:1] = b"\n"' 'names[0:1] = b"\xff"'; do
		rm -f "$MAILDIR/pop3d.index"
		settle
		listing >/dev/null
		"$TESTS/index_tool.py" "$MAILDIR/pop3d.index" forge "$change"
		own "$MAILDIR/pop3d.index"
		timeout 20 "$POP3D" -f "$CONF" 2>>"$LOG" >"$T/out" \
			< <(printf '%s\r\n' 'USER joe' 'PASS secret' STAT LIST UIDL 'RETR 1' 'RETR 2' 'RETR 3' \
				'DELE 9' 'TOP 1 0' QUIT) || fail "$change: status $?"
		run ! grep -aq PRIVATE "$T/out"
		run ! grep -a $'[\x80-\xff]' "$T/out"
		run ! grep -aE 'reason=(signal|status|violation)' "$LOG"
		[ "$(messages_left)" = 3 ]
	done
	[ -e "$T/private" ]
}

@test "forged, and trusted: a record that makes no sense has the index made again" {
	local change command
	three_messages
	for command in LIST UIDL 'RETR 2' 'UIDL 2'; do
		change='r[1]["name_length"] = 0'
		settle
		listing >/dev/null
		settle
		listing >/dev/null
		"$TESTS/index_tool.py" "$MAILDIR/pop3d.index" forge "$change"
		own "$MAILDIR/pop3d.index"
		answers 'USER joe' 'PASS secret' "$command" QUIT >"$T/out"
		run ! grep -q '^2 ' "$T/out"
		[ "$(answers 'USER joe' 'PASS secret' LIST UIDL QUIT | grep -cE '^[0-9]+ ')" = 6 ]
	done
}

@test "forged sums, and touched: made again" {
	three_messages
	listing >"$T/one"
	"$TESTS/index_tool.py" "$MAILDIR/pop3d.index" forge 'h["octets"] = 5'
	own "$MAILDIR/pop3d.index"
	touch "$MAILDIR/pop3d.index"
	listing >"$T/two"
	diff "$T/one" "$T/two"
}

@test "a symbolic link to another index is not followed" {
	three_messages
	listing >"$T/one"
	mv "$MAILDIR/pop3d.index" "$T/other.index"
	cp -p "$T/other.index" "$T/copy"
	ln -s "$T/other.index" "$MAILDIR/pop3d.index"
	printf 'more\n' | put new 1600000009.M1P1.host
	listing >"$T/two"
	[ ! -L "$MAILDIR/pop3d.index" ]
	cmp "$T/other.index" "$T/copy"
}

@test "something else under its name: a directory, a FIFO, a symbolic link" {
	local other
	three_messages
	listing >"$T/one"
	for other in mkdir mkfifo "ln -s $T/target"; do
		rm -rf "$MAILDIR/pop3d.index"
		$other "$MAILDIR/pop3d.index"
		own "$MAILDIR"
		listing >"$T/two"
		diff "$T/one" "$T/two" || fail "$other"
	done
	[ ! -e "$T/target" ]
}

@test "the same for the lock file" {
	local other
	three_messages
	listing >"$T/one"
	for other in mkdir mkfifo "ln -s $T/target"; do
		rm -rf "$MAILDIR/pop3d.lock"
		$other "$MAILDIR/pop3d.lock"
		own "$MAILDIR"
		listing >"$T/two"
		diff "$T/one" "$T/two" || fail "$other"
	done
	[ ! -e "$T/target" ]
}

@test "a Maildir that can't be written to is served without an index" {
	three_messages
	chmod 555 "$MAILDIR" "$MAILDIR/cur" "$MAILDIR/new"
	login <<-'E'
		C: STAT
		S: +OK 3 124
		C: RETR 1
		S: +OK 65 octets
		S...
		C: DELE 1
		S~ \+OK .*
		C: QUIT
		S: -ERR [SYS/TEMP] 1 of 1 messages not removed
		S$
	E
	chmod 755 "$MAILDIR" "$MAILDIR/cur" "$MAILDIR/new"
	grep -q 'pop3d.index: Permission denied: done without' "$LOG"
	grep -q 'pop3d.lock: Permission denied: locked on this host only' "$LOG"
	[ "$(ls "$MAILDIR" | tr '\n' ' ')" = 'cur new tmp ' ]
	[ "$(messages_left)" = 3 ]
}

@test "two sessions on a Maildir that can't be written to: the second is [IN-USE]" {
	three_messages
	chmod 555 "$MAILDIR" "$MAILDIR/cur" "$MAILDIR/new"
	second() { answers 'USER joe' 'PASS secret' QUIT >"$T/second"; }
	during second <<<QUIT
	chmod 755 "$MAILDIR" "$MAILDIR/cur" "$MAILDIR/new"
	grep -q '^-ERR \[IN-USE\]' "$T/second"
}

@test "... also where it can be written to meanwhile, or where a lock file can't be opened any more" {
	three_messages
	chmod 500 "$MAILDIR"
	become_writable() {
		chmod 700 "$MAILDIR"
		answers 'USER joe' 'PASS secret' 'DELE 1' QUIT >"$T/second"
		answers 'USER joe' 'PASS secret' 'DELE 1' QUIT >"$T/third"
	}
	during become_writable < <(printf 'DELE 2\nQUIT\n')
	grep -q '^-ERR \[IN-USE\] .* for 0 seconds' "$T/second"
	grep -q '^-ERR \[IN-USE\] .* for 0 seconds' "$T/third"
	grep -q '^+OK Goodbye (2 messages' "$T/text"
	lose_lock() {
		chmod 0 "$MAILDIR/pop3d.lock"
		answers 'USER joe' 'PASS secret' QUIT >"$T/second"
		chmod 600 "$MAILDIR/pop3d.lock"
	}
	during lose_lock <<<QUIT
	grep -q '^-ERR \[IN-USE\]' "$T/second"
	answers 'USER joe' 'PASS secret' STAT QUIT | grep -q '^+OK 2 '
}

# bats test_tags=loads
@test "a full disk while the index is written: the session does without, mail can be deleted" {
	local call
	for call in pwrite ftruncate; do
		rm -f "$MAILDIR"/cur/* "$MAILDIR/pop3d.index"
		three_messages
		LD_PRELOAD=$FAULT FAULT_FAIL="$call:28:$MAILDIR/pop3d.index" login <<-'E'
			C: STAT
			S: +OK 3 124
			C: RETR 3
			S~ \+OK .*
			S...
			C: DELE 1
			S~ \+OK .*
			C: QUIT
			S: +OK Goodbye (2 messages left)
			S$
		E
		[ "$(messages_left)" = 2 ]
		[ ! -e "$MAILDIR/pop3d.index.new" ] && [ ! -e "$MAILDIR/pop3d.index" ]
		grep -q 'pop3d.index: No space left on device: done without' "$LOG"
		login <<-'E'
			C: STAT
			S: +OK 2 59
		E
	done
}

@test "a full disk while the index is added to in place: the session does without" {
	three_messages
	settle
	listing >/dev/null
	printf 'new\n' | put new 1700000000.M1P1.host
	LD_PRELOAD=$FAULT FAULT_FAIL="pwrite:28:$MAILDIR/pop3d.index" login <<-'E'
		C: STAT
		S: +OK 4 129
		C: RETR 4
		S~ \+OK .*
		S...
		C: DELE 4
		S~ \+OK .*
		C: QUIT
		S: +OK Goodbye (3 messages left)
		S$
	E
	login <<-'E'
		C: STAT
		S: +OK 3 124
	E
}

# bats test_tags=loads
@test "neither disk nor memory for an index: [SYS/TEMP]" {
	three_messages
	LD_PRELOAD=$FAULT FAULT_FAIL="pwrite:28" answers 'USER joe' 'PASS secret' QUIT >"$T/out"
	grep -q '^-ERR \[SYS/TEMP\]' "$T/out"
	grep -q 'login-refused .*No space left on device' "$LOG"
}

@test "mail that comes between two logins is always seen, however quickly" {
	local i
	for ((i = 1; i <= 25; i++)); do
		printf 'a\n' >"$MAILDIR/new/160000000$i.M1P1.host"
		[[ $(answers 'USER joe' 'PASS secret' STAT | tail -n 1) = "+OK $((2 * i - 1)) "* ]]
		printf 'a\n' >"$MAILDIR/cur/160000000$i.M2P1.host:2,"
		[[ $(answers 'USER joe' 'PASS secret' STAT | tail -n 1) = "+OK $((2 * i)) "* ]]
	done
}

@test "added, renamed and removed in any order: the index agrees with one made anew" {
	local round i
	many_messages cur 30
	RANDOM=4
	for ((round = 0; round < 25; round++)); do
		for ((i = 0; i < 3; i++)); do
			printf 'round %s\n' "$round" | put new "16$(printf %03d%05d $round $i).M1P1.host"
		done
		# Another program removes one and marks one.
		set -- "$MAILDIR"/cur/*
		[ $# -lt 3 ] || rm "${@:RANDOM % $# + 1:1}"
		set -- "$MAILDIR"/cur/*:2,
		[ ! -e "$1" ] || mv "$1" "$1F"
		# The client fetches one and deletes one.
		answers 'USER joe' 'PASS secret' 'RETR 2' 'DELE 1' "DELE $((RANDOM % 20 + 2))" QUIT >/dev/null
		[ $((round % 5)) != 4 ] || settle
		listing >"$T/one"
		mv "$MAILDIR/pop3d.index" "$T/kept"
		listing | sort -k2 >"$T/two"
		mv "$T/kept" "$MAILDIR/pop3d.index"
		diff <(grep -c . "$T/one") <(grep -c . "$T/two")
		diff <(grep host "$T/one" | cut -d' ' -f2 | sort) <(grep host "$T/two" | cut -d' ' -f2 | sort)
		diff <(head -n 1 "$T/one") <(grep -F "$(head -n 1 "$T/one")" "$T/two" | head -n 1)
	done
}

@test "the order of messages stays, also when names change" {
	many_messages cur 20
	listing >"$T/one"
	for name in "$MAILDIR"/cur/*; do mv "$name" "${name}RS"; done
	listing >"$T/two"
	diff "$T/one" "$T/two"
}

@test "an index does not grow without end by renaming" {
	local i size
	many_messages cur 20
	for ((i = 0; i < 60; i++)); do
		for name in "$MAILDIR"/cur/*; do
			case $name in *:2,) mv "$name" "${name}S" ;; *) mv "$name" "${name%S}" ;; esac
		done
		answers 'USER joe' 'PASS secret' QUIT >/dev/null
	done
	[ "$(stat -c %s "$MAILDIR/pop3d.index")" -lt 200000 ]
}

@test "20,000 messages: all are listed, fetched by number and deleted" {
	many_messages cur 20000
	answers 'USER joe' 'PASS secret' LIST UIDL 'RETR 12345' 'TOP 20000 1' QUIT >"$T/out"
	[ "$(grep -c '^[0-9]* 15000[0-9]*\.M1P1\.host$' "$T/out")" = 20000 ]
	grep -qx 'Subject: 12344' "$T/out"
	grep -qx 'message 19999' "$T/out"
	{
		printf 'USER joe\r\nPASS secret\r\n'
		seq -f $'DELE %.0f\r' 2 20000
		printf 'QUIT\r\n'
	} | "$POP3D" -f "$CONF" 2>>"$LOG" | tail -n 1 | grep -q '(1 messages left)'
	[ "$(messages_left)" = 1 ]
}
