# What is left behind by a process killed at any point: no message lost, the lock free, the
# next session right.

load helper

# How many changes SESSION makes.
count_changes() {
	: >"$T/count"
	own "$T/count"
	LD_PRELOAD=$FAULT FAULT_COUNT=$T/count answers "${SESSION[@]}" >"$T/out"
	cat "$T/count"
}

# Five messages: 1 to 3 in cur, 4 and 5 in new.  $1: "", or "indexed" for an index that
# knows the first three.
prepare() {
	local i
	rm -rf "${MAILDIR:?}"
	make_maildir "$MAILDIR"
	for i in 1 2 3; do printf 'Subject: %s\n\nold\n' "$i" | put cur "160000000$i.M1P1.host:2,"; done
	if [ "${1:-}" = indexed ]; then
		settle
		answers 'USER joe' 'PASS secret' >/dev/null
	fi
	for i in 4 5; do printf 'Subject: %s\n\nnew\n' "$i" | put new "160000000$i.M1P1.host"; done
	printf '1000000S\n500 5\n' >"$MAILDIR/maildirsize"
	own "$MAILDIR/maildirsize"
}

# Fetches 1 and 4, deletes 2 and 5.
SESSION=('USER joe' 'PASS secret' 'RETR 1' 'RETR 4' 'DELE 2' 'DELE 5' QUIT)

# Whether all is well after a session that was killed.
check_left() {
	local i file
	for i in 1 2 3 4 5; do
		file=$(find "$MAILDIR/cur" "$MAILDIR/new" -name "160000000$i.M1P1.host*")
		case $i in
		2 | 5) [ -n "$file" ] || continue ;;
		esac
		[ "$(wc -l <<<"$file")" = 1 ] || fail "message $i: '$file'"
		grep -qx "Subject: $i" "$file" || fail "message $i: octets lost"
	done
	answers 'USER joe' 'PASS secret' STAT LIST UIDL QUIT >"$T/next"
	grep -q 'Goodbye' "$T/next" || fail "next session: $(cat "$T/next")"
	sed -i '1,3d;$d' "$T/next"
	rm "$MAILDIR/pop3d.index"
	answers 'USER joe' 'PASS secret' STAT LIST UIDL QUIT | sed '1,3d;$d' >"$T/anew"
	diff "$T/next" "$T/anew"
	[ ! -e "$MAILDIR/pop3d.index.new" ] || fail "pop3d.index.new is left"
}

# bats test_tags=loads
@test "the monitor killed before each change: nothing is lost, the next session is right" {
	local kind points=0 n changes
	for kind in '' indexed; do
		prepare "$kind"
		changes=$(count_changes)
		grep -q 'Goodbye (3 messages left)' "$T/out"
		for ((n = 1; n <= changes; n++)); do
			prepare "$kind"
			LD_PRELOAD=$FAULT FAULT_KILL=$n answers "${SESSION[@]}" >"$T/out" || true
			run ! grep -q Goodbye "$T/out"
			check_left || fail "killed before change $n of $changes ($kind)"
			points=$((points + 1))
		done
	done
	[ "$points" -ge 20 ] || fail "only $points points"
}

# bats test_tags=loads
@test "the monitor killed before each change: the client is told nothing good" {
	local n changes
	prepare
	changes=$(count_changes)
	[ "$changes" -ge 10 ]
	for ((n = 1; n <= changes; n++)); do
		prepare
		LD_PRELOAD=$FAULT FAULT_KILL=$n answers "${SESSION[@]}" >"$T/out" || true
		case $(tail -n 1 "$T/out") in
		'-ERR [SYS/TEMP] '*) ;;
		*)
			# With one user id for both, the session may be killed with its monitor, before it
			# has said anything.
			[ "$(id -u)" != 0 ] || fail "change $n: $(tail -n 1 "$T/out")"
			run ! grep -q Goodbye "$T/out"
			;;
		esac
	done
}

# bats test_tags=loads
@test "each change fails with EIO: no message is lost and QUIT tells the truth" {
	local call
	for call in rename unlink pwrite ftruncate futimens; do
		prepare
		LD_PRELOAD=$FAULT FAULT_FAIL="$call:5" answers "${SESSION[@]}" >"$T/out"
		case $call in
		unlink) grep -q -- '-ERR \[SYS/TEMP\] 2 of 2 messages not removed' "$T/out" ;;
		rename) grep -q 'Goodbye (3 messages left)' "$T/out" ;;
		*) ;;
		esac
		check_left || fail "$call"
	done
}

# kill_one VICTIM: both processes end, the client gets nothing more.
# shellcheck disable=SC2154
kill_one() {
	if [ "$1" = monitor ]; then kill -9 "$monitor"; else kill -9 "$session"; fi
	wait_for is_gone "$monitor"
	wait_for is_gone "$session"
}

@test "either process killed while the session waits: the other ends, the lock is free" {
	local victim
	for victim in monitor session; do
		prepare
		start_listening
		connect_and_login
		printf 'DELE 1\r\nDELE 4\r\n' >&9
		for _ in 1 2; do read -r -u 9 line; done
		[[ $line == '+OK'* ]]
		kill_one "$victim"
		run cat <&9
		[ -z "$output" ]
		exec 9>&-
		[ "$(messages_left)" = 5 ]
		if [ "$victim" = session ]; then wait_for grep -q 'end .*reason=signal-9' "$T/listening"; fi
		check_left
		stop_listening
	done
}

@test "either process killed while a message is sent: the other ends, the lock is free" {
	local victim
	for victim in monitor session; do
		prepare
		head -c 50000000 /dev/zero | tr '\0' x | put cur 1500000000.M1P1.host:2,
		start_listening
		connect_and_login
		printf 'RETR 1\r\n' >&9
		read -r -u 9 line
		[[ $line == '+OK 50000002 octets'* ]]
		kill_one "$victim"
		exec 9>&-
		rm "$MAILDIR/cur/1500000000.M1P1.host:2,"
		check_left
		stop_listening
	done
}

# bats test_tags=moments
@test "killed at many moments of many sessions, the Maildir stays whole" {
	local i monitor
	# A leak checker that is killed halfway complains.
	export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
	for ((i = 0; i < 40; i++)); do
		prepare
		{
			printf '%s\r\n' "${SESSION[@]}"
			sleep 0.2
		} 2>/dev/null | "$POP3D" -f "$CONF" >/dev/null 2>>"$LOG" 3>&- &
		monitor=$!
		sleep "0.00$((i % 10))$((i / 10))"
		kill -9 "$monitor" 2>/dev/null || true
		wait "$monitor" 2>/dev/null || true
		check_left || fail "round $i"
	done
}

@test "a session that ends any other way than by QUIT deletes nothing (RFC 1939 s.6)" {
	local ending
	for ending in '' 'NOOP' 'XYZZY' "$(printf 'x%.0s' $(seq 300))" 'QUIT now'; do
		prepare
		answers 'USER joe' 'PASS secret' 'DELE 1' 'DELE 4' "$ending" >/dev/null
		[ "$(messages_left)" = 5 ]
		[ "$(ls "$MAILDIR/new" | wc -l)" = 2 ]
	done
}
