# What a process can still do that has been taken over.  The program is built with orders to try
# (proof.h); POP3D_WITHOUT leaves a layer of the jail out, to see what the others hold, and that
# the tries can succeed.

load helper

# try LAYERS WHAT...: in AUTHORIZATION, with these layers left out; prints what became of it.
try() {
	local without=$1 answer
	shift
	answer=$(printf '%s\r\n' "XTRY $*" QUIT | POP3D_WITHOUT=$without "$BUILT/proof/pop3d" -f "$CONF" 2>"$T/said" |
		sed -n '2s/^[+-][OKER]* \(.*\)\r$/\1/p')
	echo "${answer:-$(sed -n 's/.* reason=\([^ ]*\) .*/\1/p' "$T/said")}"
}

# The same after the login, by the monitor.
monitor_try() {
	local without=$1
	shift
	printf '%s\r\n' 'USER joe' 'PASS secret' "XTRY monitor $*" QUIT |
		POP3D_WITHOUT=$without "$BUILT/proof/pop3d" -f "$CONF" 2>"$T/said" |
		sed -n '4s/^[+-][OKER]* \(.*\)\r$/\1/p'
}

# becomes RESULT COMMAND...: what it prints; RESULT is a pattern.
becomes() {
	local expected=$1 result
	shift
	result=$("$@")
	# shellcheck disable=SC2053
	[[ $result == $expected ]] || fail "$*: $result, not $expected"
}

is_root() {
	[ "$(id -u)" = 0 ]
}

# Someone else's Maildir, of the same user id.
make_other() {
	rm -rf "$T/other"
	mkdir -p "$T/other/cur"
	echo private >"$T/other/cur/1"
	own "$T/other"
}

@test "the filters say of each system call what the tables say" {
	[ -x "$BUILT/filter" ]
	run "$BUILT/filter"
	[ "$status" = 0 ] || fail "$output"
	[[ $output == *'20480 checks, 0 mistakes' ]]
}

@test "what is released has no orders to break out" {
	run ! grep -q XTRY "$BUILT/pop3d"
	grep -q XTRY "$BUILT/proof/pop3d"
	answers 'XTRY open /etc/passwd' QUIT | grep -qx -e '-ERR Unknown command'
}

# bats test_tags=plain
@test "session: whatever it tries is its end (SIGSYS)" {
	local what
	for what in 'open /etc/passwd' 'open .' 'create /tmp/x' 'list /' 'stat /etc/passwd' \
		'unlink /tmp/x' 'rename /tmp/x /tmp/y' 'truncate /tmp/x' 'connect 80' unix 'exec /bin/sh' fork \
		ptrace peek kill "kill $$" root code 'memory 100000' dump; do
		case $what in
		memory*) becomes ENOMEM try '' "$what" ;;
		*) becomes signal-31 try '' "$what" ;;
		esac
	done
}

# bats test_tags=plain
@test "session: its end is seen where who started pop3d ignores SIGCHLD" {
	trap '' CHLD
	becomes signal-31 try '' 'open /etc/passwd'
}

# bats test_tags=plain
@test "session: the system calls of other architectures are its end too" {
	readelf -h "$BUILT/pop3d" | grep -q 'Machine:.*X86-64' || return 0
	becomes signal-31 try '' foreign i386
	becomes signal-31 try '' foreign x32
	# With one user id for both, the session may be killed with its monitor, before it has said so.
	local gone=ESRCH
	is_root || gone='@(ESRCH|)'
	becomes "$gone" monitor_try '' foreign i386
	becomes "$gone" monitor_try '' foreign x32
	# (They can be made: without a filter it is another story.)
	becomes 'done' try seccomp foreign i386
}

# bats test_tags=plain
@test "session: without seccomp, user ids, the empty root and limits hold" {
	becomes EAGAIN try seccomp fork
	becomes EPERM try seccomp root
	becomes ENOMEM try seccomp memory 300
	becomes 'done' try seccomp memory 100
	if is_root; then
		becomes EPERM try seccomp ptrace
		becomes EPERM try seccomp peek
		becomes EPERM try seccomp kill
		becomes EACCES try seccomp open /etc/passwd
		becomes EACCES try seccomp exec /bin/sh
		# And they are what holds.
		becomes 'done' try seccomp,chroot open /etc/passwd
	else
		becomes 'done' try seccomp open /etc/passwd
	fi
}

# bats test_tags=plain
@test "monitor, logged in: one Maildir, no programs, no sockets, no other processes" {
	make_other
	local what
	echo x | put cur 1600000001.M1P1.host:2,
	becomes 'done' monitor_try '' open "$MAILDIR/cur/1600000001.M1P1.host:2,"
	for what in 'open /etc/passwd' "open $USERS" "open $T/other/cur/1" "list $T/other/cur" \
		"list $T" "create $T/other/cur/2" "open $MAILDIR/../other/cur/1"; do
		becomes EACCES monitor_try '' "$what"
	done
	for what in "unlink $T/other/cur/1" "truncate $T/other/cur/1" \
		"rename $T/other/cur/1 $MAILDIR/cur/2" "rename $MAILDIR/cur/1600000001.M1P1.host:2, $T/other/cur/3" \
		'connect 80' unix 'exec /bin/sh' fork ptrace peek kill root code; do
		becomes EPERM monitor_try '' "$what"
	done
	[ "$(cat "$T/other/cur/1")" = private ]
	[ "$(ls "$T/other/cur")" = 1 ]
	[ "$(messages_left)" = 1 ]
}

# bats test_tags=plain
@test "monitor, logged in: without seccomp, Landlock holds" {
	make_other
	local what
	for what in "open $T/other/cur/1" "unlink $T/other/cur/1" "truncate $T/other/cur/1" \
		"rename $T/other/cur/1 $MAILDIR/cur/2" 'exec /bin/sh' 'open /etc/passwd'; do
		becomes EACCES monitor_try seccomp "$what"
	done
	becomes EAGAIN monitor_try seccomp fork
	becomes EPERM monitor_try seccomp root
	# And it is what holds: for user ids do not, where they are the same.
	becomes 'done' monitor_try landlock open "$T/other/cur/1"
	becomes 'done' monitor_try seccomp,landlock unlink "$T/other/cur/1"
}

# bats test_tags=plain
@test "monitor: a Maildir that is not there, a symbolic link: nothing beyond it either" {
	make_other
	configure "maildir $T/none"
	becomes EACCES monitor_try '' open "$T/other/cur/1"
	mv "$MAILDIR" "$T/real"
	ln -s "$T/real" "$MAILDIR"
	configure
	becomes EACCES monitor_try '' open "$T/other/cur/1"
	becomes 'done' monitor_try '' list "$T/real/cur"
}

# bats test_tags=plain
@test "monitor, before the login: no programs, no looking into others" {
	local what
	for what in 'exec /bin/sh' ptrace peek; do
		becomes EPERM try '' "monitor $what"
	done
}

# bats test_tags=plain
@test "oauth: the monitor may run a program before the login, and nobody else, nor at another time" {
	local what
	printf '#!/bin/sh\n: >"%s/ran"\n' "$T" >"$T/program"
	chmod 755 "$T/program"
	configure 'oauth /bin/true'
	# It has become that, and answers no more.
	[ "$(for_programs)" ] || {
		try '' monitor exec "$T/program"
		wait_for test -e "$T/ran"
	}
	rm -f "$T/ran"
	for what in ptrace peek; do
		becomes EPERM try '' "monitor $what"
	done
	becomes signal-31 try '' exec "$T/program"
	becomes EPERM monitor_try '' exec "$T/program"
	becomes EACCES monitor_try seccomp exec "$T/program"
	# Without that key there is no program to run.
	configure 'oauth_timeout 10' 'mechanisms USER OAUTHBEARER'
	becomes EPERM try '' monitor exec "$T/program"
	[ ! -e "$T/ran" ]
}

# status FIELD PID: of /proc/PID/status.
status_of() {
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$2/status"
}

limit_of() {
	sed -n "s/^$1  *\([^ ]*\) .*/\1/p" "/proc/$2/limits"
}

# bats test_tags=plain
@test "session: filter, no_new_privs and limits are on before the greeting; not dumpable" {
	start_listening
	connect
	monitor=$(pgrep -P "$SERVER")
	session=$(pgrep -P "$monitor")
	[ "$(status_of Seccomp "$session")" = 2 ]
	[ "$(status_of NoNewPrivs "$session")" = 1 ]
	[ "$(status_of Seccomp "$monitor")" = 2 ]
	[ "$(status_of NoNewPrivs "$monitor")" = 1 ]
	[ "$(limit_of 'Max processes' "$session")" = 0 ]
	[ "$(limit_of 'Max file size' "$session")" = 0 ]
	[ "$(limit_of 'Max core file size' "$session")" = 0 ]
	[ "$(limit_of 'Max open files' "$session")" = 80 ]
	[ "$(limit_of 'Max address space' "$session")" = 268435456 ]
	[ "$(limit_of 'Max core file size' "$monitor")" = 0 ]
	# Files in /proc of who is not dumpable are root's.
	[ "$(stat -c %u "/proc/$session/environ")" = 0 ]
	if is_root; then
		[[ $(readlink "/proc/$session/root") == *'(deleted)' ]] ||
			[ -z "$(ls -A "/proc/$session/root/")" ]
		[ "$(stat -c %u "/proc/$monitor/environ")" = 0 ]
	fi
	exec 9>&-
}

# bats test_tags=plain
@test "monitor, logged in: limits are on" {
	start_listening
	connect_and_login
	[ "$(limit_of 'Max processes' "$monitor")" = 0 ]
	[ "$(limit_of 'Max core file size' "$monitor")" = 0 ]
	[ "$(limit_of 'Max cpu time' "$monitor")" = 3600 ]
	exec 9>&-
}

# bats test_tags=plain
@test "monitor: a maildrop that takes more time than there is ends it, and the lock is free" {
	truncate -s 100G "$MAILDIR/cur/1600000001.M1P1.host:2,"
	own "$MAILDIR/cur"
	(
		ulimit -t 2
		printf '%s\r\n' 'USER joe' 'PASS secret' | timeout 60 "$POP3D" -f "$CONF" >"$T/out" 2>>"$LOG"
	) || true
	run ! grep -q '^+OK Maildrop' "$T/out"
	rm "$MAILDIR/cur/1600000001.M1P1.host:2,"
	answers 'USER joe' 'PASS secret' STAT QUIT | grep -q '^+OK 0 0$'
}

# bats test_tags=plain
@test "no empty directory is left behind" {
	answers QUIT >/dev/null
	start_listening
	answers QUIT >/dev/null
	[ -z "$(find /run /tmp -maxdepth 1 -name 'pop3d.??????' -newer "$CONF" 2>/dev/null)" ]
}

# bats test_tags=plain
@test "a session that is stopped is killed with its monitor" {
	start_listening
	connect_and_login
	kill -STOP "$session"
	kill -KILL "$monitor"
	wait_for is_gone "$session"
	exec 9>&-
}

# bats test_tags=plain
@test "a kernel without seccomp or Landlock: a log line, and mail" {
	three_messages
	local lacking
	for lacking in seccomp landlock seccomp,landlock; do
		"$BUILT/without" $lacking "$POP3D" -f "$CONF" \
			< <(printf '%s\r\n' 'USER joe' 'PASS secret' 'RETR 1' QUIT) >"$T/out" 2>"$T/said"
		grep -q '^+OK Goodbye' "$T/out"
		[ "$(grep -c 'sandbox: this system lacks' "$T/said")" = 1 ]
	done
	grep -q 'sandbox: this system lacks seccomp Landlock$' "$T/said"
	answers QUIT >/dev/null
	run ! grep -q "this system lacks" "$LOG"
}

# bats test_tags=plain
@test "sandbox require: no service on a kernel without seccomp or Landlock, exit status 69" {
	local lacking
	configure 'sandbox require'
	answers 'USER joe' 'PASS secret' QUIT | grep -q '^+OK Maildrop'
	for lacking in seccomp landlock; do
		run -69 "$BUILT/without" $lacking "$POP3D" -f "$CONF" <<<$'QUIT\r'
		[[ $output == *"sandbox: this system lacks"* ]]
		run -69 "$BUILT/without" $lacking "$POP3D" -f "$CONF" -l 127.0.0.1:0
	done
	"$TESTS/talk" "$BUILT/without" seccomp "$POP3D" -f "$CONF" 2>>"$LOG" <<-'E' || true
		S: -ERR [SYS/PERM] The server is not set up
		S$
	E
	configure 'sandbox sometimes'
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == *'sandbox: must be `try` or `require`' ]]
}

@test "the monitor, asked by a session that has been taken over" {
	local i
	for i in {100..199}; do printf 'message %s\n' "$i" | put cur "1600000$i.M1P1.host:2,"; done
	make_certificates
	printf '#!/bin/sh\n[ "$(cat <&3)" = good ] && echo joe\n' >"$T/verify"
	chmod 755 "$T/verify"
	configure 'auth_timeout 2' "tls_certificate $PKI/rsa.pem" "tls_key $PKI/rsa.key" "oauth $T/verify"
	$(for_programs) "$BUILT/monitor" "$CONF" >"$T/tap" 2>"$T/errors" || true
	cat "$T/errors"
	grep -v '^ok' "$T/tap" || true
	run ! grep -q '^not ok' "$T/tap"
	[ "$(grep -c '^ok' "$T/tap")" = "$(sed -n 's/^1\.\.//p' "$T/tap")" ]
	[ "$(messages_left)" = 100 ]
}
