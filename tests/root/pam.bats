# users pam: pam_unix, pam_userdb, and modules that misbehave; in mount namespaces of their own.

load ../helper
load ../sasl
load ../system

setup() {
	common_setup
	start_system
	system_user jane "$HASH"
	system_user late "$HASH" "$TODAY:0:99999:7::$((TODAY - 1)):"
	system_user stale "$HASH" '0:0:99999:7:::'
	system_user gone "!$HASH"
	system_user toor "$HASH" '' 0
	mkdir "$T/pam.d"
	service other 'auth required pam_deny.so' 'account required pam_deny.so'
	service pop3d 'auth required pam_unix.so' 'account required pam_unix.so' \
		"session required pam_exec.so $T/note"
	# What modules see, and as whom.
	printf '#!/bin/sh\necho "$PAM_TYPE user=$PAM_USER uid=$(id -u) rhost=$PAM_RHOST" >>%s/notes\n' "$T" >"$T/note"
	chmod 755 "$T/note"
	: >"$T/notes"
	printf 'users pam\nlog stderr\nhostname host\n' >"$CONF"
}

# service NAME LINE...
service() {
	printf '%s\n' "${@:2}" >"$T/pam.d/$1"
}

# says LINE...: what pop3d answers.
says() {
	printf '%s\r\n' "$@" | with_users "$POP3D" -f "$CONF" 2>>"$LOG" | tr -d '\r'
}

# listen_with_users: as start_listening does.
listen_with_users() {
	: >"$T/listening"
	with_users "$POP3D" -f "$CONF" -l 127.0.0.1:0 2>>"$T/listening" 3>&- &
	export SERVER=$!
	wait_for grep -q 'listening address' "$T/listening"
	PORT=$(sed -n 's/.*listening address=.* port=//p' "$T/listening" | head -n 1)
	# Not the shells around it.
	PIDS="$PIDS $(sed -n 's/^pop3d\[\([0-9]*\)\]: listening.*/\1/p' "$T/listening" | head -n 1)"
}

noted() { # noted TYPE COUNT
	[ "$(grep -c "^$1 " "$T/notes")" = "$2" ]
}

@test "users pam: pam_unix; by USER, PLAIN and LOGIN, and nothing else" {
	printf 'a\n' | put new 1
	says 'USER jane' 'PASS secret' STAT QUIT >"$T/out"
	grep -qx '+OK Maildrop has 1 messages (3 octets)' "$T/out" || fail "$(cat "$T/out" "$LOG")"
	says "AUTH PLAIN $(base64_of '\0jane\0secret')" QUIT | grep -q '^+OK Maildrop'
	says 'AUTH LOGIN' "$(base64_of jane)" "$(base64_of secret)" QUIT | grep -q '^+OK Maildrop'
	says CAPA QUIT | grep -qx 'SASL PLAIN LOGIN'
	says QUIT | head -n 1 | grep -qx '+OK host POP3 server ready'
	noted open_session 3
	noted close_session 3
	grep -qx 'open_session user=jane uid=0 rhost=' "$T/notes"
	[ "$(grep -c 'login address=pipe user=jane method=PASS' "$LOG")" = 1 ]
}

@test "users pam: who is refused, and why" {
	local pair
	for pair in jane,wrong:password nobody-here,secret:unknown-user late,secret:account-expired \
		stale,secret:password-must-be-changed gone,secret:password; do
		local user=${pair%%,*} rest=${pair#*,}
		says "USER $user" "PASS ${rest%:*}" QUIT >"$T/out"
		sed -n 3p "$T/out" | grep -qx -- '-ERR \[AUTH\] Wrong user name or password' || fail "$pair: $(cat "$T/out")"
		grep -q "login-failed address=pipe user=$user method=PASS reason=${rest#*:}\$" "$LOG" || fail "$pair: $(cat "$LOG")"
	done
	says "AUTH PLAIN $(base64_of '\0jane\0')" QUIT | sed -n 2p | grep -q '^-ERR'
	# Root has no mail, and nobody is to learn root's password here.
	says 'USER toor' 'PASS secret' QUIT | sed -n 3p | grep -q '^-ERR \[AUTH\]'
	grep -q 'login-failed .*user=toor .*reason=unknown-user' "$LOG"
	noted open_session 0
}

@test "users pam: a failed login waits for our delay, not for PAM's, and three end the session" {
	service pop3d 'auth optional pam_faildelay.so delay=9000000' 'auth required pam_unix.so' \
		'account required pam_unix.so'
	local begin=$SECONDS
	says 'USER jane' 'PASS a' 'USER jane' 'PASS b' 'USER jane' 'PASS c' NOOP >"$T/out"
	[ "$(grep -c '^-ERR \[AUTH\]' "$T/out")" = 3 ] && [ "$(wc -l <"$T/out")" = 7 ]
	((SECONDS - begin >= 7)) || fail "$((SECONDS - begin)) s"
	grep -q 'reason=denied .*seconds=7\.' "$LOG" || fail "$(cat "$LOG")"
}

@test "users pam: the session is open as long as the client's is, and closed as root however that ends" {
	local number=0 how
	listen_with_users
	for how in quit gone session monitor; do
		number=$((number + 1))
		exec {client}<>"/dev/tcp/127.0.0.1/$PORT"
		printf 'USER jane\r\nPASS secret\r\n' >&"$client"
		grep -q -m 1 'Maildrop has' <&"$client"
		noted open_session $number
		noted close_session $((number - 1))
		pid=$(tail -n 1 "$T/listening" | sed -n 's/^pop3d\[\([0-9]*\)\]: login .*/\1/p')
		grep -q '^Uid:.47110.47110.47110' "/proc/$pid/status"
		[ "$(sed -n 's/^Groups:[[:space:]]*//p' "/proc/$pid/status" | xargs)" = '47110 47199' ]
		run ! grep -q libpam "/proc/$pid/maps"
		# The session, and the keeper, which is still root and has nothing but its socket.
		children=$(pgrep -P "$pid" | wc -l)
		[ "$children" = 2 ] || fail "$children"
		for child in $(pgrep -P "$pid"); do
			if grep -q libpam "/proc/$child/maps"; then keeper=$child; else session=$child; fi
		done
		grep -q '^Uid:.0' "/proc/$keeper/status"
		[ "$(cd "/proc/$keeper/fd" && echo *)" = '0 1 2 3' ]
		case $how in
		quit) printf 'QUIT\r\n' >&"$client" ;;
		gone) ;;
		session) kill -9 "$session" ;;
		monitor) kill -9 "$pid" ;;
		esac
		exec {client}>&-
		wait_for noted close_session $number || fail "$how"
		wait_for is_gone "$keeper"
	done
	grep -qx 'close_session user=jane uid=0 rhost=127.0.0.1' "$T/notes"
	[ "$(sort -u "$T/notes" | wc -l)" = 2 ] || fail "$(cat "$T/notes")"
}

@test "users pam: where all processes are told to end, the session is closed all the same" {
	listen_with_users
	exec {client}<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'USER jane\r\nPASS secret\r\n' >&"$client"
	grep -q -m 1 'Maildrop has' <&"$client"
	pid=$(tail -n 1 "$T/listening" | sed -n 's/^pop3d\[\([0-9]*\)\]: login .*/\1/p')
	# As systemd ends a unit: all of it.
	kill -TERM $(pgrep -P "$pid") "$pid"
	wait_for noted close_session 1
	exec {client}>&-
}

@test "users pam: the maildrop is in use, or the Maildir no good: the session is closed" {
	says 'USER jane' 'PASS secret' QUIT >/dev/null
	listen_with_users
	exec {client}<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'USER jane\r\nPASS secret\r\n' >&"$client"
	grep -q -m 1 'Maildrop has' <&"$client"
	says 'USER jane' 'PASS secret' QUIT | grep -q '^-ERR \[IN-USE\]'
	wait_for noted close_session 2
	noted open_session 3
	exec {client}>&-
	wait_for noted close_session 3
	rm -rf "$MAILDIR"
	: >"$MAILDIR"
	says 'USER jane' 'PASS secret' QUIT | grep -q '^-ERR \[SYS/PERM\]'
	wait_for noted close_session 4
}

@test "users pam SERVICE USER: pam_userdb, whose users the system does not know" {
	printf 'virtual@example.org\nsecret\nother\nhers\n' | db_load -T -t hash "$T/virtual.db" 2>/dev/null ||
		printf 'virtual@example.org\nsecret\nother\nhers\n' | db5.3_load -T -t hash "$T/virtual.db"
	service mail "auth required pam_userdb.so db=$T/virtual" "account required pam_userdb.so db=$T/virtual" \
		'session required pam_permit.so'
	printf 'users pam mail jane\nmaildir %s/mail/%%d/%%n\nlog stderr\n' "$T" >"$CONF"
	mkdir -p "$T/mail/example.org"
	make_maildir "$T/mail/example.org/virtual"
	chown -R 47110:47110 "$T/mail"
	printf 'a\n' >"$T/mail/example.org/virtual/new/1"
	chown 47110 "$T/mail/example.org/virtual/new/1"
	says 'USER virtual@example.org' 'PASS secret' QUIT >"$T/out"
	grep -qx '+OK Maildrop has 1 messages (3 octets)' "$T/out" || fail "$(cat "$T/out" "$LOG")"
	says 'USER virtual@example.org' 'PASS hers' QUIT | sed -n 3p | grep -q '^-ERR \[AUTH\]'
	says 'USER other' 'PASS secret' QUIT | sed -n 3p | grep -q '^-ERR \[AUTH\]'
	says 'USER jane' 'PASS secret' QUIT | sed -n 3p | grep -q '^-ERR \[AUTH\]'
	[ "$(grep -c reason=password "$LOG")" = 2 ] && grep -q 'user=jane .*reason=unknown-user' "$LOG"
}

@test "users pam: modules that die, ask for what a client can't say, are not there or refuse the session: SYS/TEMP, and why" {
	local die="$T/die"
	printf '#!/bin/sh\nkill -9 $PPID\n' >"$die"
	chmod 755 "$die"
	try() { # try REASON
		says 'USER jane' 'PASS secret' QUIT | sed -n 3p | grep -q '^-ERR \[SYS/TEMP\]' || fail "$1"
		grep -q "login-refused .*user=jane method=PASS reason=pam: $1" "$LOG" || fail "$1: $(cat "$LOG")"
		: >"$LOG"
	}
	service pop3d "auth required pam_exec.so $die" 'account required pam_permit.so' 'session required pam_permit.so'
	try 'no answer, but the end: signal-9'
	service pop3d 'auth required pam_not_there.so' 'account required pam_permit.so' 'session required pam_permit.so'
	try 'Module is unknown'
	service pop3d 'auth required pam_unix.so' 'account required pam_permit.so' 'session required pam_exec.so /bin/false'
	try ''
	# Which is not the password's affair, though pam_limits says "permission denied".
	echo 'jane - maxlogins 0' >"$T/limits"
	service pop3d 'auth required pam_unix.so' 'account required pam_permit.so' "session required pam_limits.so conf=$T/limits"
	try ''
	# Where there is no such service, PAM takes `other`.
	rm "$T/pam.d/pop3d"
	says 'USER jane' 'PASS secret' QUIT | sed -n 3p | grep -q '^-ERR \[AUTH\]'
}

# bats test_tags=clock
@test "users pam: a module that hangs is given up after 30 seconds" {
	printf '#!/bin/sh\necho $$ >%s/hanging\nexec sleep 300\n' "$T" >"$T/hang"
	chmod 755 "$T/hang"
	service pop3d "auth required pam_exec.so $T/hang" 'account required pam_permit.so' 'session required pam_permit.so'
	local begin=$SECONDS
	says 'USER jane' 'PASS secret' QUIT | sed -n 3p | grep -q '^-ERR \[SYS/TEMP\]'
	((SECONDS - begin >= 29)) || fail "$((SECONDS - begin)) s"
	grep -q 'reason=pam: no answer in time' "$LOG"
	kill "$(cat "$T/hanging")"
}

@test "users pam: modules write to syslog(3), as pop3d does" {
	service pop3d 'auth required pam_unix.so' 'account required pam_unix.so' 'session required pam_unix.so'
	printf 'users pam\n' >"$CONF"
	printf 'USER jane\r\nPASS wrong\r\nUSER jane\r\nPASS secret\r\nQUIT\r\n' >"$T/in"
	(export -f with_users && export T && with_syslog bash -c 'with_users "$@"' with_users "$POP3D" -f "$CONF")
	grep -q '^+OK Maildrop has 0' "$T/out" || fail "$(cat "$T/out" "$T/syslog")"
	for line in 'authentication failure' 'login-failed .*reason=password' 'session opened for user jane' \
		'login address=pipe user=jane' 'session closed for user jane' 'end address=pipe user=jane reason=quit'; do
		grep -q "$line" "$T/syslog" || fail "$line: $(cat "$T/syslog")"
	done
}

# bats test_tags=plain
@test "users pam: passwords and others' hashes are in neither process that stays" {
	local hash
	hash=$(mkpasswd -m sha512crypt -R 1000 -S bossbossboss xyz)
	printf 'boss:%s:47110:47110::%s\n' "$hash" "$T/home" >"$T/one"
	chmod 600 "$T/one"
	service pop3d 'auth required pam_permit.so' 'account required pam_permit.so' 'session required pam_permit.so'
	printf 'users file %s\nusers pam\nlog stderr\nplaintext always\n' "$T/one" >"$CONF"
	listen_with_users
	exec {client}<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'USER jane\r\nPASS q9x7secretw3z\r\n' >&"$client"
	grep -q -m 1 'Maildrop has' <&"$client"
	pid=$(tail -n 1 "$T/listening" | sed -n 's/^pop3d\[\([0-9]*\)\]: login .*/\1/p')
	python3 - "$pid" $(pgrep -P "$pid") >"$T/found" <<-E
		import sys
		seen = 0
		for pid in sys.argv[1:]:
		    for line in open(f"/proc/{pid}/maps"):
		        if "r" not in line.split()[1] or "[v" in line: continue
		        first, last = (int(x, 16) for x in line.split()[0].split("-"))
		        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
		            memory.seek(first)
		            data = memory.read(last - first)
		        seen += data.count(b"Maildir")
		        for text in b"q9x7secretw3z", b"bossbossboss", b"${hash: -20}":
		            if text in data: print(pid, text, line)
		print("seen" if seen else "nothing")
	E
	[ "$(cat "$T/found")" = seen ] || fail "$(cat "$T/found")"
	exec {client}>&-
}

@test "users pam: among others, in their order" {
	printf 'jane:{PLAIN}first:47110:47110::%s\nsue:{PLAIN}sues:47110:47110::%s\n' "$T/home" "$T/home" >"$T/one"
	chmod 600 "$T/one"
	printf 'users file %s\nusers pam\nlog stderr\n' "$T/one" >"$CONF"
	says 'USER sue' 'PASS sues' QUIT | grep -q '^+OK Maildrop'
	says 'USER jane' 'PASS first' QUIT | grep -q '^+OK Maildrop'
	says 'USER jane' 'PASS secret' QUIT | grep -q '^-ERR \[AUTH\]'
	noted open_session 0
	printf 'users pam\nusers file %s\nlog stderr\n' "$T/one" >"$CONF"
	says 'USER jane' 'PASS secret' QUIT | grep -q '^+OK Maildrop'
	says 'USER jane' 'PASS first' QUIT | grep -q '^+OK Maildrop'
	says 'USER sue' 'PASS sues' QUIT | grep -q '^+OK Maildrop'
	noted open_session 1
}

@test "users pam: what pop3d -t says, and pop3d -x" {
	run with_users "$POP3D" -t -f "$CONF"
	[ "$status" = 0 ] && [ -z "$output" ] || fail "$output"
	run with_users "$POP3D" -t -f "$CONF" -o 'users pam elsewhere'
	[ "$status" = 0 ] && [ "$output" = 'users: warning: there is no /etc/pam.d/elsewhere: PAM takes `other`' ] || fail "$output"
	run -78 with_users "$POP3D" -t -f "$CONF" -o 'users pam pop3d nobody-here' -o "maildir /mail/%n"
	[ "$output" = 'users: there is no user nobody-here who may have mail' ] || fail "$output"
	run -78 with_users "$POP3D" -t -f "$CONF" -o 'users pam pop3d jane'
	[[ $output == *'`maildir` must have %u or %n'* ]] || fail "$output"
	for wrong in 'pam ../x' 'pam Mail' 'pam pop3d jane more' 'pam x.y'; do
		run -78 with_users "$POP3D" -t -f "$CONF" -o "users $wrong" -o 'maildir /mail/%n'
	done
	run -78 with_users "$POP3D" -t -f "$CONF" -o 'users pam pop3d toor' -o "maildir /mail/%n"
	[[ $output == 'users: there is no user toor who may have mail' ]] || fail "$output"
	run -78 with_users "$POP3D" -t -f "$CONF" -o 'users pam pop3d jane' -o 'maildir /mail/%%u'
	printf 'a\n' | put cur 1:2,
	touch -d '40 days ago' "$MAILDIR/cur/1:2,"
	with_users "$POP3D" -x -f "$CONF" -o 'expire 30' 2>>"$LOG"
	grep -q 'expired user=jane messages=1' "$LOG" || fail "$(cat "$LOG")"
}
