# What an administrator reads, and what fail2ban does.

load helper

# The log lines of an event, without the program and process id.
lines_of() {
	sed -n "s/^pop3d\[[0-9]*\]: \($1 .*\)/\1/p" "$LOG"
}

@test "a login and the end of its session: one line each" {
	three_messages
	login <<-'E'
		C: RETR 1
		S~ \+OK .*
		S...
		C: RETR 3
		S~ \+OK .*
		S...
		C: TOP 2 0
		S~ \+OK .*
		S...
		C: DELE 1
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	[ "$(wc -l <"$LOG")" = 2 ]
	[ "$(lines_of login)" = 'login address=unix user=joe method=PASS tls=- messages=3 octets=124' ]
	[[ $(lines_of end) =~ ^end\ address=unix\ user=joe\ reason=quit\ fetched=2\ fetched_octets=88\ deleted=1\ deleted_octets=65\ left=2\ left_octets=59\ seconds=[0-9]+\.[0-9]{3}$ ]]
}

@test "a failed login: one line, with its reason; then the end, for no user" {
	printf 'locked:!:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
	talk <<-'E'
		C: USER someone
		S~ \+OK .*
		C: PASS a password
		S~ -ERR \[AUTH\] .*
		C: USER locked
		S~ \+OK .*
		C: PASS another
		S~ -ERR \[AUTH\] .*
		A: joe wrong
		S~ -ERR \[AUTH\] .*
		S$
	E
	diff <(lines_of login-failed) - <<-'E'
		login-failed address=unix user=someone method=PASS reason=unknown-user
		login-failed address=unix user=locked method=PASS reason=locked
		login-failed address=unix user=joe method=APOP reason=digest
	E
	[[ $(lines_of end) == 'end address=unix user=- reason=denied fetched=0 '* ]]
}

@test "a scheme that pop3d does not know, and passwords where plaintext forbids: their reasons" {
	printf 'new:{SSHA}abc:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
	answers 'USER new' 'PASS abc' QUIT >/dev/null
	[ "$(lines_of login-failed)" = 'login-failed address=pipe user=new method=PASS reason=scheme' ]
	: >"$LOG"
	configure 'plaintext never'
	answers CAPA 'USER joe' 'USER joe' 'PASS secret' QUIT >/dev/null
	[ "$(lines_of login-refused)" = 'login-refused address=pipe user=- method=- reason=plaintext' ]
	: >"$LOG"
	answers CAPA QUIT >/dev/null
	[ -z "$(lines_of login-refused)" ]
}

@test "no secret is ever logged, whatever happens to it" {
	answers 'USER joe' 'PASS s3cr3t-one' 'PASS s3cr3t-two' 'APOP joe s3cr3t-three' \
		"USER $(printf 'x%.0s' $(seq 300))s3cr3t-four" 'XYZZY s3cr3t-five' QUIT >/dev/null
	printf 'jim:{PLAIN}s3cr3t-six:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
	answers 'USER jim' 'PASS wrong' 'APOP jim 0123456789abcdef0123456789abcdef' QUIT >/dev/null
	answers 'USER jim' 'PASS s3cr3t-six' QUIT >/dev/null
	grep -q 'login address=pipe user=jim' "$LOG"
	run ! grep -q s3cr3t "$LOG"
	[ -s "$LOG" ]
}

@test "what a client chose is escaped and cut: no line of its own, no field of its own" {
	local name
	talk <<-'E'
		C= USER a\x1b[2J\xff"\\=b\r\n
		S~ \+OK .*
		C: PASS x
		S~ -ERR .*
		C= USER x\rpop3d[1]:\tlogin-failed\taddress=192.0.2.1\r\n
		S~ \+OK .*
		C: PASS x
		S~ -ERR .*
		C: QUIT
		S~ \+OK .*
	E
	[ "$(lines_of login-failed | wc -l)" = 2 ]
	run ! grep -P '[^\x20-\x7e]' "$LOG"
	grep -qF 'user=a\x1B[2J\xFF\x22\x5C\x3Db method' "$LOG"
	grep -qF 'user=x\x0Dpop3d[1]:\x09login-failed\x09address\x3D192.0.2.1 method' "$LOG"
	name=$(printf 'n%.0s' $(seq 200))
	answers "USER $name" 'PASS x' QUIT >/dev/null
	grep -qF "user=$(printf 'n%.0s' $(seq 64))... method" "$LOG"
}

@test "addresses: IPv4, IPv6, and IPv4 over IPv6 as IPv4" {
	cat >"$T/both.py" <<-'E'
		import socket, subprocess, sys
		s = socket.socket(socket.AF_INET6)
		s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
		s.bind(("::", int(sys.argv[1])))
		s.listen()
		subprocess.run(sys.argv[2:], stdin=s, stdout=s)
	E
	PORT=$(free_port)
	python3 "$T/both.py" "$PORT" "$POP3D" -f "$CONF" 2>>"$LOG" 3>&- &
	wait_for is_connectable "$PORT"
	local host
	for host in 127.0.0.1 '[::1]'; do
		"$TESTS/talk" --connect "$host:$PORT" <<-'E'
			A: joe secret
			S~ \+OK .*
			C: QUIT
			S~ \+OK .*
		E
	done
	wait_for grep -q 'end address=::1 user=joe' "$LOG"
	grep -q 'end address=127.0.0.1 user=joe' "$LOG"
	run ! grep -q ffff "$LOG"
}

@test "the fail2ban filter finds the failed logins of the real log, and no others" {
	local fail2ban=$TOP/build/tools/fail2ban
	three_messages
	start_listening
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		C: USER someone
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR .*
		C: AUTH SCRAM-SHA-256 biwsbj1qb2Uscj14
		S~ \+ .*
		C: *
		S~ -ERR .*
		A: joe wrong
		S~ -ERR .*
		C: USER x address=192.0.2.1
		S~ -ERR .*
		A: joe secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	wait_for grep -q 'end address' "$T/listening"
	# As syslog writes it.
	sed 's/^/Nov 21 08:00:00 mail /' "$T/listening" >"$T/mail.log"
	cp -r "$fail2ban/etc/fail2ban" "$T/fail2ban"
	cp "$TOP/dist/fail2ban.conf" "$T/fail2ban/filter.d/pop3d.conf"
	PYTHONPATH=$fail2ban/usr/lib/python3/dist-packages /usr/bin/python3 \
		"$fail2ban/usr/bin/fail2ban-regex" -c "$T/fail2ban" "$T/mail.log" pop3d >"$T/found" 2>&1 ||
		fail "$(cat "$T/found")"
	grep -qE '^Lines: [0-9]+ lines, 0 ignored, 3 matched' "$T/found" || fail "$(cat "$T/found")"
}
