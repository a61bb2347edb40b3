# users system, syslog, and disks: in mount namespaces of their own.

load ../helper
load ../system

setup() {
	common_setup
	start_system
	system_user jane "$HASH"
	system_user expired "$HASH" "$TODAY:0:99999:7::$((TODAY - 1)):"
	system_user expiretoday "$HASH" "$TODAY:0:99999:7::$TODAY:"
	system_user lastday "$HASH" "$((TODAY - 90)):0:90:7:::"
	system_user expired0 "$HASH" "$TODAY:0:99999:7::0:"
	system_user fresh "$HASH" "$TODAY:0:90:7:30:$((TODAY + 1)):"
	system_user oldpass "$HASH" "$((TODAY - 91)):0:90:7:::"
	system_user mustchange "$HASH" '0:0:99999:7:::'
	system_user lockeduser "!$HASH"
	system_user nohash '*'
	system_user toor "$HASH" '' 0
	printf 'users system\nlog stderr\n' >"$CONF"
}

talk_system() {
	with_users "$TESTS/talk" "$POP3D" -f "$CONF" 2>>"$LOG"
}

@test "users system: passwd and shadow, the mail at ~/Maildir" {
	printf 'a\n' | put new 1
	talk_system <<-'E'
		C: USER jane
		S~ \+OK .*
		C: PASS secret
		S: +OK Maildrop has 1 messages (3 octets)
		C: QUIT
		S~ \+OK .*
	E
	talk_system <<-'E'
		C: USER fresh
		S~ \+OK .*
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "users system: wrong, locked, expired, unknown, uid 0: the same words, each its reason" {
	local pair
	for pair in jane:wrong:password lockeduser:secret:locked nohash:secret:locked \
		expired:secret:account-expired expired0:secret:account-expired \
		expiretoday:secret:account-expired expired:wrong:password oldpass:secret:password-expired \
		mustchange:secret:password-must-be-changed toor:secret:unknown-user \
		root:secret:unknown-user no-such-user:secret:unknown-user; do
		: >"$LOG"
		talk_system <<-E
			C: USER ${pair%%:*}
			S: +OK Send the password
			C: PASS $(cut -d: -f2 <<<"$pair")
			S: -ERR [AUTH] Wrong user name or password
			C: QUIT
			S~ \+OK .*
		E
		grep -q "login-failed address=unix user=${pair%%:*} method=PASS reason=${pair##*:}\$" "$LOG" ||
			fail "$pair: $(cat "$LOG")"
	done
}

@test "users system: the supplementary groups are the user's" {
	PORT=$(free_port)
	with_users "$POP3D" -f "$CONF" -l "127.0.0.1:$PORT" 2>>"$LOG" 3>&- &
	wait_for is_connectable "$PORT"
	SERVER=$(pgrep -o -f "pop3d -f $CONF -l")
	connect_and_login jane
	local groups
	groups=$(sed -n 's/^Groups:\s*//p' "/proc/$(pgrep -n -P "$SERVER")/status")
	[ "$(sed -n 's/^Uid:\s*\([0-9]*\).*/\1/p' "/proc/$(pgrep -n -P "$SERVER")/status")" = 47110 ]
	[[ " $groups " == *' 47199 '* ]] && [[ " $groups " != *' 0 '* ]]
	exec 9>&-
}

@test "users system: no APOP is offered" {
	run ! grep -q '<' <(with_users "$POP3D" -f "$CONF" <<<QUIT 2>>"$LOG")
}

@test "users system, not root: SYS/PERM for every name, and -t warns" {
	local name
	for name in jane root no-such-user; do
		with_users setpriv --reuid 47110 --regid 47110 --clear-groups "$POP3D" -f "$CONF" \
			>"$T/out" 2>>"$LOG" < <(printf 'USER %s\r\nPASS secret\r\nQUIT\r\n' "$name")
		grep -q '^-ERR \[SYS/PERM\]' "$T/out" || fail "$name: $(cat "$T/out")"
	done
	grep -q 'reason=/etc/shadow: Permission denied' "$LOG"
	run setpriv --reuid 47110 --regid 47110 --clear-groups "$POP3D" -t -f "$CONF"
	[ "$status" = 0 ]
	[[ $output == *'only root can read the passwords'* ]]
}

@test "syslog: LOG_MAIL, with the program's name and process id" {
	printf 'users file %s\nmaildir %s\n' "$USERS" "$MAILDIR" >"$CONF"
	printf 'joe:{PLAIN}secret:47110:47110\n' >"$USERS"
	printf 'USER joe\r\nPASS secret\r\nQUIT\r\n' >"$T/in"
	with_syslog "$POP3D" -f "$CONF"
	grep -q '^+OK Goodbye' "$T/out"
	# LOG_MAIL | LOG_INFO is 22.
	grep -qE '^<22>.* pop3d\[[0-9]+\]: login address=pipe user=joe method=PASS tls=- messages=0' "$T/syslog"
	grep -qE '^<22>.* pop3d\[[0-9]+\]: end address=pipe user=joe reason=quit' "$T/syslog"
}

@test "descriptors: while the kernel lets no more be on their way to a user, messages wait, and then it is SYS/TEMP" {
	local n
	for n in {1..9}; do printf 'message %s\n' "$n" | put cur "160000000$n.M1P1.host:2,"; done
	# 300 of them, sent and not received, by another process of the user.
	cat >"$T/hold" <<-'E'
		import os, socket, sys, time
		os.setgid(47110)
		os.setuid(47110)
		ends = socket.socketpair()
		for _ in range(3):
		    socket.send_fds(ends[0], [b"x"], [0] * 100)
		print("held", flush=True)
		time.sleep(float(sys.argv[1]))
	E
	hold() { # for so many seconds
		rm -f "$T/held"
		python3 "$T/hold" "$1" >"$T/held" 3>&- &
		HOLDER=$!
		wait_for grep -q held "$T/held"
	}
	session() { (ulimit -n 128 && with_users "$POP3D" -f "$CONF" 2>>"$LOG"); }
	hold 1
	printf 'USER jane\r\nPASS secret\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nQUIT\r\n' | session >"$T/out"
	[ "$(grep -c '^message' "$T/out")" = 3 ]
	run ! grep 'unreadable\|refused' "$LOG"
	# For longer than that: from before the login, and from after it.
	hold 15
	printf 'USER jane\r\nPASS secret\r\nSTAT\r\nQUIT\r\n' | session >"$T/out"
	kill "$HOLDER"
	grep -q '^-ERR \[SYS/TEMP\]' "$T/out"
	grep -q 'login-refused .*reason=Too many' "$LOG"
	mkfifo "$T/in"
	session <"$T/in" >"$T/out" 3>&- &
	exec 9>"$T/in"
	printf 'USER jane\r\nPASS secret\r\n' >&9
	wait_for grep -q 'Maildrop has' "$T/out"
	hold 15
	printf 'RETR 1\r\nRETR 2\r\nQUIT\r\n' >&9
	exec 9>&-
	wait_for grep -q 'reason=quit fetched=0' "$LOG"
	kill "$HOLDER"
	[ "$(grep -c '^-ERR \[SYS/TEMP\]' "$T/out")" = 2 ]
	[ "$(grep -c 'unreadable .* message=[12]: Too many' "$LOG")" = 2 ]
}

@test "a full disk: mail is fetched and deleted, and the index comes back with the room" {
	rm -rf "$MAILDIR"
	mkdir "$T/disk"
	MAILDIR=$T/disk/Maildir
	unshare --mount --propagation private bash -c '
		set -e
		. "$1/before"
		mount -t tmpfs -o size=256k,mode=755 tmpfs "$T/disk"
		make_maildir "$MAILDIR"
		three_messages
		dd if=/dev/zero of="$T/disk/fill" bs=4k 2>/dev/null || true
		printf "%s\r\n" "USER joe" "PASS secret" STAT "RETR 1" "DELE 1" QUIT | "$POP3D" -f "$CONF" 2>>"$LOG" >"$T/full"
		messages_left >"$T/left"
		rm "$T/disk/fill"
		printf "%s\r\n" "USER joe" "PASS secret" STAT QUIT | "$POP3D" -f "$CONF" 2>>"$LOG" >"$T/room"
		ls "$MAILDIR" >"$T/ls-room"
	' full "$(printf 'users file %s\nmaildir %s\nlog stderr\n' "$USERS" "$MAILDIR" >"$CONF"
		printf 'joe:{PLAIN}secret:47110:47110\n' >"$USERS"
		declare -p T MAILDIR CONF LOG POP3D MAIL_UID MAIL_GID >"$T/before"
		declare -f make_maildir own put three_messages messages_left >>"$T/before"
		echo "$T")"
	grep -q '^+OK 3 124' "$T/full"
	grep -q '^+OK 65 octets' "$T/full"
	grep -q '^+OK Goodbye (2 messages left)' "$T/full"
	[ "$(cat "$T/left")" = 2 ]
	grep -q 'No space left on device' "$LOG"
	grep -q '^+OK 2 59' "$T/room"
	grep -qx 'pop3d.index' "$T/ls-room"
}

@test "a read-only file system: mail is fetched, deleting is refused truthfully, one at a time" {
	printf 'users file %s\nmaildir %s\nlog stderr\n' "$USERS" "$MAILDIR" >"$CONF"
	printf 'joe:{PLAIN}secret:47110:47110\n' >"$USERS"
	three_messages
	unshare --mount --propagation private bash -c '
		set -e
		T=$1 MAILDIR=$2; shift 2
		mount --bind "$MAILDIR" "$MAILDIR"
		mount -o remount,ro,bind "$MAILDIR"
		printf "%s\r\n" "USER joe" "PASS secret" "RETR 1" "DELE 1" QUIT | "$@" >"$T/out"
	' read-only "$T" "$MAILDIR" "$POP3D" -f "$CONF" 2>>"$LOG"
	grep -q '^+OK 65 octets' "$T/out"
	grep -q '^-ERR \[SYS/TEMP\] 1 of 1 messages not removed' "$T/out"
	grep -q 'not-removed .*: Read-only file system' "$LOG"
	[ "$(messages_left)" = 3 ]
}

@test "users system: EXTERNAL: * lets in, locked and expired accounts and uid 0 do not" {
	# shellcheck disable=SC2034 # CA is for certify
	local pair name ec='-algorithm EC -pkeyopt ec_paramgen_curve:P-256' CA=ca
	make_certificates
	PORT=$(free_port)
	printf '%s\n' "tls_certificate $PKI/ec.pem" "tls_key $PKI/ec.key" "tls_client_ca $PKI/ca.pem" \
		'tls_client_user subject-cn' >>"$CONF"
	with_users "$POP3D" -f "$CONF" -l "127.0.0.1:$PORT,tls" 2>>"$LOG" 3>&- &
	wait_for is_connectable "$PORT"
	SERVER=$(pgrep -o -f "pop3d -f $CONF -l")
	for pair in jane:in nohash:in fresh:in lockeduser:locked expired:account-expired oldpass:password-expired \
		mustchange:password-must-be-changed toor:unknown-user root:unknown-user; do
		name=${pair%:*}
		# shellcheck disable=SC2086
		certify "system-$name" "/CN=$name" 'extendedKeyUsage=clientAuth\n' $ec 2>>"$T/openssl"
		printf 'AUTH EXTERNAL =\r\nQUIT\r\n' | timeout 60 openssl s_client -connect "127.0.0.1:$PORT" -ign_eof \
			-cert "$PKI/system-$name.pem" -key "$PKI/system-$name.key" >"$T/client" 2>&1 || true
		if [ "${pair#*:}" = in ]; then
			grep -q "login address=127.0.0.1 user=$name method=EXTERNAL" "$LOG" || fail "$name: $(cat "$LOG")"
		else
			grep -q '^-ERR \[AUTH\] Wrong user name or password' "$T/client"
			grep -q "login-failed address=127.0.0.1 user=$name method=EXTERNAL reason=${pair#*:}\$" "$LOG" ||
				fail "$name: $(cat "$LOG")"
		fi
	done
}
