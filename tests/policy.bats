# What a site announces and enforces: who may connect, LOGIN-DELAY, EXPIRE, what becomes of what is
# deleted, and of a session whose client is dead.

load helper

# greeting ADDRESS: what a client from that address of the loopback network is told first.
greeting() {
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.bind((sys.argv[1], 0))
s.connect(("::1" if ":" in sys.argv[1] else "127.0.0.1", int(sys.argv[2])))
print(s.makefile().readline().strip())' "$1" "$PORT"
}

NOT_HERE='-ERR [SYS/PERM] This address is not served'

@test "allow, deny: the first network that a client is in decides, before the greeting" {
	configure 'deny 127.0.0.8/29' 'allow 127.0.0.0/28' 'deny 127.0.0.3' 'allow 127.0.1.1'
	start_listening
	[[ $(greeting 127.0.0.1) == '+OK'* ]]
	[[ $(greeting 127.0.0.3) == '+OK'* ]]
	[[ $(greeting 127.0.0.7) == '+OK'* ]]
	[ "$(greeting 127.0.0.8)" = "$NOT_HERE" ]
	[ "$(greeting 127.0.0.15)" = "$NOT_HERE" ]
	# Where some are named, others are not.
	[ "$(greeting 127.0.0.16)" = "$NOT_HERE" ]
	[[ $(greeting 127.0.1.1) == '+OK'* ]]
	grep -q 'refused address=127.0.0.8 reason=deny' "$T/listening"
}

@test "deny alone: everybody else may connect; SIGHUP reads it anew" {
	configure 'deny 127.0.0.2'
	start_listening
	[[ $(greeting 127.0.0.1) == '+OK'* ]]
	[ "$(greeting 127.0.0.2)" = "$NOT_HERE" ]
	configure 'deny local'
	kill -HUP "$SERVER"
	wait_for grep -q 'configuration reloaded' "$T/listening"
	[ "$(greeting 127.0.0.1)" = "$NOT_HERE" ]
}

@test "allow, deny: IPv6, and IPv4 over an IPv6 socket" {
	configure 'allow ::1' 'deny all'
	start_listening -l '[::1]:0'
	PORT=$(sed -n 's/.*listening address=::1 port=//p' "$T/listening")
	[[ $(greeting ::1) == '+OK'* ]]
	stop_listening
	configure 'deny ::/1'
	start_listening -l '[::1]:0'
	PORT=$(sed -n 's/.*listening address=::1 port=//p' "$T/listening")
	[ "$(greeting ::1)" = "$NOT_HERE" ]
	stop_listening
	# A socket for both families, as a super server may have it.
	configure 'deny 127.0.0.1/32'
	PORT=$(free_port)
	python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", int(sys.argv[1])))
s.listen()
os.dup2(s.fileno(), 0)
os.execv(sys.argv[2], sys.argv[2:])' "$PORT" "$POP3D" -f "$CONF" 2>>"$LOG" 3>&- &
	PIDS="$PIDS $!"
	wait_for is_connectable "$PORT"
	[ "$(greeting 127.0.0.1)" = "$NOT_HERE" ]
	[[ $(greeting 127.0.0.2) == '+OK'* ]]
}

@test "deny: a connection that a super server brings, and a pipe" {
	configure 'deny local'
	[ "$(answers QUIT)" = "$NOT_HERE" ]
	[ "$(python3 -c '
import socket, subprocess, sys
a, b = socket.socketpair()
p = subprocess.Popen(sys.argv[1:], stdin=b, stdout=b)
b.close()
print(a.makefile().read().strip())
p.wait()' "$POP3D" -f "$CONF" 2>>"$LOG")" = "$NOT_HERE" ]
	# Where TLS is expected, nothing is said in the clear.
	make_certificates
	configure_tls rsa -- 'deny local'
	[ -z "$("$POP3D" -T -f "$CONF" </dev/null 2>>"$LOG")" ]
}

@test "allow, deny: what is no network is a mistake" {
	local value
	for value in 127.0.0.0/33 127.0.0.1/ 127.0.0.1/x 127.0.0.1/-1 127.0.0 localhost ::/129 1.2.3.4/8 \
		2001:db8::1/64 '0x7f.0.0.1' '127.0.0.1/0008' '/8' '[::1]' '10.0.0.0/8,all'; do
		configure "deny $value"
		run -78 "$POP3D" -t -f "$CONF"
		[[ $output == "$CONF:5: deny: "* ]] || fail "$value: $output"
	done
	# More than there is room for.
	# shellcheck disable=SC2046
	configure "allow $(printf '10.0.0.%s ' $(seq 65))"
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == *'too many networks' ]]
}

@test "plaintext by network" {
	configure 'plaintext 127.0.0.2 127.0.1.0/24'
	start_listening
	python3 - "$PORT" <<-'E'
		import socket, sys
		def offers(address):
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), source_address=(address, 0))
		    f = s.makefile("rw", newline="")
		    f.readline()
		    f.write("CAPA\r\nUSER joe\r\nQUIT\r\n")
		    f.flush()
		    answers = f.read()
		    assert ("\r\nUSER\r\n" in answers) == ("\r\n+OK Send" in answers), answers
		    assert ("PLAIN" in answers) == ("\r\nUSER\r\n" in answers), answers
		    return "\r\nUSER\r\n" in answers
		assert not offers("127.0.0.1")
		assert offers("127.0.0.2")
		assert not offers("127.0.0.3")
		assert offers("127.0.1.77")
	E
	run ! grep -qx USER <(answers CAPA QUIT)
	configure 'plaintext local 192.0.2.0/24'
	answers CAPA QUIT | grep -qx USER
}

# LOGIN-DELAY.

LOCK_FILE() { echo "$MAILDIR/pop3d.lock"; }

# capability NAME [COMMAND...]: its line in CAPA, after the commands.
capability() {
	local name=$1
	shift
	answers "$@" CAPA QUIT | grep -E "^$name( |$)"
}

JOE=('USER joe' 'PASS secret')

# last_reply COMMAND...: what a session says last, and that is not QUIT's.
verdict() {
	answers "$@" | sed -n "$(($# + 1))p"
}

user_with() {
	printf '%s:{PLAIN}secret:%s:%s::%s:%s:%s\n' "$1" "$MAIL_UID" "$MAIL_GID" "$T" '' "$2" >>"$USERS"
}

@test "LOGIN-DELAY: none is none; for all it is the same before the login and after (RFC 2449 s.6.5)" {
	run ! capability LOGIN-DELAY
	configure 'login_delay 30'
	[ "$(capability LOGIN-DELAY)" = 'LOGIN-DELAY 30' ]
	[ "$(capability LOGIN-DELAY "${JOE[@]}")" = 'LOGIN-DELAY 30' ]
}

@test "LOGIN-DELAY: by user, the largest and USER before the login, after it the user's own" {
	: >"$USERS"
	user_with joe ''
	user_with ann 'x=1 login_delay=900'
	user_with bob 'login_delay=0'
	configure 'login_delay 60' "maildir $T/%u"
	make_maildir "$T/joe"; make_maildir "$T/ann"; make_maildir "$T/bob"
	[ "$(capability LOGIN-DELAY)" = 'LOGIN-DELAY 900 USER' ]
	[ "$(capability LOGIN-DELAY "${JOE[@]}")" = 'LOGIN-DELAY 60' ]
	[ "$(capability LOGIN-DELAY 'USER ann' 'PASS secret')" = 'LOGIN-DELAY 900' ]
	[ "$(capability LOGIN-DELAY 'USER bob' 'PASS secret')" = 'LOGIN-DELAY 0' ]
	[[ $(verdict 'USER bob' 'PASS secret') == '+OK'* ]]
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'* ]]
	[[ $(verdict 'USER ann' 'PASS secret') == '-ERR [LOGIN-DELAY]'* ]]
}

@test "LOGIN-DELAY: only after a right password, not on USER; whatever the method" {
	configure 'login_delay 300'
	[[ $(verdict "${JOE[@]}") == '+OK'* ]]
	[ "$(verdict 'USER joe')" = '+OK Send the password' ]
	[[ $(verdict 'USER joe' 'PASS wrong') == '-ERR [AUTH]'* ]]
	dialog <<-'E'
		A: joe secret
		S~ -ERR \[LOGIN-DELAY\] You have logged in recently, come again in (300|2[0-9][0-9]) seconds
		S$
	E
	dialog <<-'E'
		C: AUTH PLAIN AGpvZQBzZWNyZXQ=
		S~ -ERR \[LOGIN-DELAY\] .*
		S$
	E
	start_listening
	PYTHONPATH=$TESTS PYTHONDONTWRITEBYTECODE=1 python3 -c '
from sasl import *
import sys
assert b"[LOGIN-DELAY]" in cram_md5(Client(sys.argv[1]), "joe", "secret")
assert b"[LOGIN-DELAY]" in Scram(Client(sys.argv[1]), "SCRAM-SHA-256", "joe", "secret").run()' "$PORT"
	grep -q 'login-refused address=.* user=joe method=CRAM-MD5 reason=login_delay: [0-9]* seconds too soon' "$T/listening"
}

@test "LOGIN-DELAY: counts from the last login that was let in, by the lock file's time" {
	configure 'login_delay 60'
	[[ $(verdict "${JOE[@]}") == '+OK'* ]]
	touch -d '40 seconds ago' "$(LOCK_FILE)"
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY] You have logged in recently, come again in '[12]?' seconds' ]]
	# Who is refused does not begin anew.
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY] You have logged in recently, come again in '[12]?' seconds' ]]
	touch -d '61 seconds ago' "$(LOCK_FILE)"
	[[ $(verdict "${JOE[@]}") == '+OK'* ]]
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'*' '[56]?' seconds' ]]
	# A clock that went wrong shuts nobody out.
	touch -d 'tomorrow' "$(LOCK_FILE)"
	[[ $(verdict "${JOE[@]}") == '+OK'* ]]
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'* ]]
	# The first login has none before it.
	rm "$(LOCK_FILE)"
	[[ $(verdict "${JOE[@]}") == '+OK'* ]]
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'* ]]
}

@test "login_delay_burst: so many more come before their time, and it fills up again" {
	configure 'login_delay 100' 'login_delay_burst 2'
	local i
	for i in 1 2 3; do [[ $(verdict "${JOE[@]}") == '+OK'* ]] || fail "$i"; done
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'* ]]
	# A hundred seconds later there is one.
	touch -d '101 seconds ago' "$(LOCK_FILE)"
	[[ $(verdict "${JOE[@]}") == '+OK'* ]]
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'* ]]
	# And never more than there may be.
	touch -d '1 year ago' "$(LOCK_FILE)"
	for i in 1 2 3; do [[ $(verdict "${JOE[@]}") == '+OK'* ]] || fail "$i"; done
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'* ]]
}

@test "login_delay, expire, deleted: what is none is a mistake, in the users file too" {
	local line
	for line in 'login_delay -1' 'login_delay 604801' 'login_delay 1m' 'expire 36501' 'expire Never' 'expire -1' \
		'login_delay_burst 1001' 'deleted' 'deleted move' 'deleted move .Trash' 'deleted move a..b' 'deleted move a.' \
		'deleted move a/b' 'deleted rm' "deleted move $(printf %0201d 0)"; do
		configure "$line"
		run -78 "$POP3D" -t -f "$CONF"
		[[ $output == "$CONF:5: ${line%% *}: "* ]] || fail "$line: $output"
	done
	configure
	user_with ann 'expire=soon'
	run -78 "$POP3D" -t -f "$CONF"
	[ "$output" = "$USERS:2: must be \`never\` or a number of days from 0 to 36500" ]
	[[ $(verdict 'USER ann' 'PASS secret') == '-ERR [SYS/PERM]'* ]]
}

# EXPIRE.

# old DAYS FOLDER NAME: a message of that age, by its file and, without a NAME, by its name.
old() {
	local name=${3:-$(date -d "$1 days ago" +%s).M$RANDOM$RANDOM.host}
	[ "$2" = new ] || [ -n "${3:-}" ] || name=$name:2,S
	printf 'Subject: %s days\n\ntext\n' "$1" | put "$2" "$name"
	touch -d "$1 days ago" "$MAILDIR/$2/$name"
}

# What is in the maildrop, by its subjects.
days_left() {
	cat "$MAILDIR"/{cur,new}/* 2>/dev/null | sed -n 's/^Subject: \(.*\) days/\1/p' | sort -n | xargs
}

@test "EXPIRE: NEVER, a number of days, 0; by user the smallest and USER (RFC 2449 s.6.7)" {
	[ "$(capability EXPIRE)" = 'EXPIRE NEVER' ]
	configure 'expire 30'
	[ "$(capability EXPIRE)" = 'EXPIRE 30' ]
	[ "$(capability EXPIRE "${JOE[@]}")" = 'EXPIRE 30' ]
	configure 'expire 0'
	[ "$(capability EXPIRE)" = 'EXPIRE 0' ]
	configure "maildir $T/%u"
	make_maildir "$T/joe"; make_maildir "$T/ann"
	user_with ann 'expire=14 maildir=/nowhere'
	[ "$(capability EXPIRE)" = 'EXPIRE 14 USER' ]
	[ "$(capability EXPIRE "${JOE[@]}")" = 'EXPIRE NEVER' ]
	configure "maildir $T/%u" 'expire 7'
	[ "$(capability EXPIRE)" = 'EXPIRE 7 USER' ]
}

@test "expire: at QUIT what is older goes, read or not, and nothing else" {
	old 1 cur; old 29 cur; old 31 cur; old 31 new; old 400 cur; old 2 new
	configure 'expire 30'
	session <<-'E'
		C: STAT
		S~ \+OK 6 .*
		C: QUIT
		S: +OK Goodbye (3 messages left)
	E
	[ "$(days_left)" = '1 2 29' ]
	grep -q 'expired address=.* user=joe messages=3 octets=[0-9]* days=30$' "$LOG"
	# The next session counts on an index that is right.
	session <<-'E'
		C: STAT
		S~ \+OK 3 .*
		C: DELE 1
		S~ \+OK .*
		C: QUIT
		S: +OK Goodbye (2 messages left)
	E
}

@test "expire: a session that ends without QUIT removes nothing" {
	old 31 cur
	configure 'expire 30'
	answers "${JOE[@]}" STAT >/dev/null
	[ "$(days_left)" = 31 ]
}

@test "expire: by name and by file, whichever is younger" {
	# A backup that was put back, and an old message that was put in today.
	old 100 cur "$(date +%s).M1.host:2,S"
	printf 'Subject: 0 days\n' | put cur "$(date -d '100 days ago' +%s).M2.host:2,S"
	# A name that has no time.
	old 100 cur 'note:2,'
	old 3 cur 'other:2,'
	configure 'expire 30'
	session <<-'E'
		C: QUIT
		S: +OK Goodbye (3 messages left)
	E
	[ "$(days_left)" = '0 3 100' ]
	[ ! -e "$MAILDIR/cur/note:2," ]
}

@test "expire 0: what RETR has sent in full goes at QUIT, TOP's and what a RSET spared too" {
	old 1 cur; old 2 cur; old 3 cur
	configure 'expire 0'
	session <<-'E'
		C: RETR 1
		S~ \+OK .*
		S...
		C: TOP 2 100
		S~ \+OK .*
		S...
		C: RETR 3
		S~ \+OK .*
		S...
		C: RSET
		S~ \+OK .*
		C: QUIT
		S: +OK Goodbye (1 messages left)
	E
	[ "$(days_left)" = 2 ]
}

@test "expire 0: without QUIT nothing goes" {
	old 1 cur
	configure 'expire 0'
	answers "${JOE[@]}" 'RETR 1' >/dev/null
	[ "$(days_left)" = 1 ]
}

@test "-x: every user's old messages, by their own terms, but for maildrops in use" {
	configure 'expire 30' "maildir $T/%u"
	: >"$USERS"
	local user
	for user in joe ann bob sue none; do
		make_maildir "$T/$user"
		MAILDIR=$T/$user
		old 10 cur; old 20 new; old 40 cur
	done
	user_with joe ''
	user_with ann 'expire=15'
	user_with bob 'expire=never'
	user_with sue 'expire=0'
	user_with away ''
	printf 'bad:{PLAIN}x:nobody\n' >>"$USERS"
	printf 'Subject: 5 days\n' >"$T/joe/cur/x"
	own "$T/joe/cur/x"
	touch -d '5 days ago' "$T/joe/cur/x"
	rm -rf "$T/none"
	run -75 "$POP3D" -x -f "$CONF"
	[[ $output == *'expired user=joe messages=1 octets='*' days=30'* ]] || fail "$output"
	[[ $output == *'expired user=ann messages=2 octets='*' days=15'* ]] || fail "$output"
	[[ $output == *'not-expired user=bad: the uid is not a number'* ]] || fail "$output"
	[[ $output != *away* && $output != *bob* && $output != *sue* ]] || fail "$output"
	sed -i '/^bad/d' "$USERS"
	run -0 "$POP3D" -x -f "$CONF"
	MAILDIR=$T/joe; [ "$(days_left)" = '5 10 20' ]
	MAILDIR=$T/ann; [ "$(days_left)" = 10 ]
	MAILDIR=$T/bob; [ "$(days_left)" = '10 20 40' ]
	MAILDIR=$T/sue; [ "$(days_left)" = '10 20 40' ]
	# What stays is as it was: new mail is new.
	[ "$(find "$T/joe/new" -type f | wc -l)" = 1 ]
	[ ! -e "$T/away" ]
	# Nobody has logged in by that.
	configure 'expire 30' "maildir $T/%u" 'login_delay 60'
	[[ $(verdict "${JOE[@]}") == '+OK'* ]]
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'* ]]
	run -0 "$POP3D" -x -f "$CONF"
	[[ $(verdict "${JOE[@]}") == '-ERR [LOGIN-DELAY]'* ]]
}

@test "-x leaves a maildrop that is in use alone" {
	old 40 cur
	configure 'expire 30'
	start_listening
	connect_and_login
	run -0 "$POP3D" -x -f "$CONF"
	[[ $output == *'not-expired user=joe: in use'* ]]
	[ "$(days_left)" = 40 ]
	printf 'QUIT\r\n' >&9
	cat <&9 >/dev/null
	exec 9>&-
	[ -z "$(days_left)" ]
}

# deleted move.

@test "deleted move: what a client deletes is in the folder, under its name and flags" {
	three_messages
	configure 'deleted move Trash'
	after() {
		[ -f "$MAILDIR/.Trash/cur/1600000001.M1P1.host:2,S" ] &&
			[ -f "$MAILDIR/.Trash/cur/1600000003.M1P1.host:2," ] &&
			[ -f "$MAILDIR/.Trash/maildirfolder" ] && [ -d "$MAILDIR/.Trash/tmp" ] && [ -d "$MAILDIR/.Trash/new" ] &&
			[ "$(messages_left)" = 1 ]
	}
	session <<-'E'
		C: RETR 1
		S~ \+OK .*
		S...
		C: DELE 1
		S~ \+OK .*
		C: DELE 3
		S~ \+OK .*
		C: QUIT
		S: +OK Goodbye (1 messages left)
	E
}

@test "deleted move: no folder where nothing is deleted; what expires is gone" {
	old 40 cur; old 1 cur
	configure 'deleted move Old Mail' 'expire 30'
	session <<-'E'
		C: QUIT
		S~ \+OK .*
	E
	[ "$(days_left)" = 1 ]
	[ ! -e "$MAILDIR/.Old Mail" ]
}

@test "deleted move: where there can be no folder, or a file has the name, all stays" {
	three_messages
	configure 'deleted move Trash'
	: >"$MAILDIR/.Trash"
	session <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: DELE 2
		S~ \+OK .*
		C: QUIT
		S: -ERR [SYS/TEMP] 2 of 2 messages not removed
	E
	[ "$(messages_left)" = 3 ]
	rm "$MAILDIR/.Trash"
	mkdir -p "$MAILDIR/.Trash/cur"
	: >"$MAILDIR/.Trash/cur/1600000001.M1P1.host:2,"
	own "$MAILDIR/.Trash"
	session <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: DELE 2
		S~ \+OK .*
		C: QUIT
		S: -ERR [SYS/TEMP] 1 of 2 messages not removed
	E
	[ "$(messages_left)" = 2 ]
	[ -s "$MAILDIR/.Trash/cur/1600000002.M1P1.host:2,S" ]
}

@test "deleted move: the quota counts another folder, and not Trash (Maildir++)" {
	local folder expected
	for folder in Trash Kept; do
		rm -rf "$MAILDIR"
		make_maildir "$MAILDIR"
		printf 'abc\n' | put cur '1.M1.host,S=4:2,S'
		printf '1000000S,1000C\n4 1\n' >"$MAILDIR/maildirsize"
		own "$MAILDIR"
		configure "deleted move $folder"
		answers "${JOE[@]}" 'DELE 1' QUIT >/dev/null
		expected=4
		[ "$folder" = Kept ] || expected=0
		[ "$(tail -n +2 "$MAILDIR/maildirsize" | awk '{ s += $1 } END { print s }')" = "$expected" ]
	done
}

# Takeover.

# holder [SECONDS]: a client that has logged in and, with SECONDS, says NOOP so often; PID and, in
# $T/holder, what it is told at last.
holder() {
	: >"$T/holder"
	python3 -u -c '
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
f = s.makefile("rb")
f.readline()
s.sendall(b"USER joe\r\nPASS secret\r\nDELE 1\r\n")
for _ in range(3):
    assert f.readline().startswith(b"+OK")
print("in", flush=True)
if len(sys.argv) > 2:
    while True:
        s.sendall(b"NOOP\r\n")
        if not f.readline():
            break
        time.sleep(float(sys.argv[2]))
else:
    f.readline()
print("out")' "$PORT" "$@" >>"$T/holder" 3>&- &
	PID=$!
	PIDS="$PIDS $PID"
	wait_for grep -q in "$T/holder"
}


lets_next_in() {
	printf 'USER joe\r\nPASS secret\r\nQUIT\r\n' | timeout 20 python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(sys.stdin.buffer.read())
sys.exit("Maildrop has" not in s.makefile().read())' "$PORT"
}

@test "takeover: a client that is silent makes way, and what it has marked stays" {
	three_messages
	configure 'takeover 1'
	start_listening
	holder
	wait_for lets_next_in
	wait_for grep -q out "$T/holder"
	wait_for grep -q 'end address=127.0.0.1 user=joe reason=takeover .*deleted=0 ' "$T/listening"
	[ "$(messages_left)" = 3 ]
	run ! grep -E 'reason=(signal|lost|violation)' "$T/listening"
}

@test "takeover: a client stopped by SIGSTOP makes way, one that says something does not" {
	three_messages
	configure 'takeover 2'
	start_listening
	holder 0.1
	local i
	for i in 1 2 3; do
		run ! lets_next_in
	done
	run ! grep -q out "$T/holder"
	kill -STOP "$PID"
	wait_for lets_next_in
	wait_for grep -q 'reason=takeover' "$T/listening"
	kill -CONT "$PID"
	wait_for grep -q out "$T/holder"
	[ "$(messages_left)" = 3 ]
}

@test "takeover: a client stopped in the middle of a message makes way, though its system answers" {
	configure 'takeover 1'
	head -c 30000000 /dev/zero | tr '\0' 'x' | fold -w 70 | put cur 1600000001.M1P1.host:2,
	start_listening
	python3 -u -c '
import socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
s.connect(("127.0.0.1", int(sys.argv[1])))
f = s.makefile("rb")
f.readline()
s.sendall(b"USER joe\r\nPASS secret\r\nRETR 1\r\n")
for _ in range(3):
    assert f.readline().startswith(b"+OK")
print("in", flush=True)
time.sleep(600)' "$PORT" >"$T/holder" 3>&- &
	PIDS="$PIDS $!"
	wait_for grep -q in "$T/holder"
	wait_for lets_next_in
	wait_for grep -q 'reason=takeover' "$T/listening"
}

@test "takeover 0, and another silence than it takes: [IN-USE], and for how long" {
	three_messages
	local seconds
	for seconds in 0 3600; do
		configure "takeover $seconds"
		start_listening
		holder
		touch -a -d '100 seconds ago' "$MAILDIR/pop3d.lock"
		"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
			C: USER joe
			S~ \+OK .*
			C: PASS secret
			S~ -ERR \[IN-USE\] Another session has had the maildrop for 1[0-9][0-9] seconds
			S$
		E
		kill "$PID"
		wait_for grep -q 'reason=closed' "$T/listening"
		stop_listening
	done
}

@test "takeover: nobody makes way for who would be refused for LOGIN-DELAY" {
	three_messages
	configure 'takeover 1' 'login_delay 600'
	start_listening
	holder
	sleep 2
	run ! lets_next_in
	run ! lets_next_in
	run ! grep -q out "$T/holder"
	touch -d '11 minutes ago' "$MAILDIR/pop3d.lock"
	wait_for lets_next_in
	wait_for grep -q out "$T/holder"
}

@test "takeover: SIGURG from who does not want the maildrop is nothing, nor a lock without it" {
	three_messages
	configure 'takeover 1'
	start_listening
	connect_and_login
	sleep 2
	kill -URG "${monitor:?}"
	python3 -c '
import fcntl, sys, time
f = open(sys.argv[1], "r+b")
fcntl.lockf(f, fcntl.LOCK_EX, 1, 1)
time.sleep(0.5)' "$MAILDIR/pop3d.lock"
	printf 'STAT\r\nQUIT\r\n' >&9
	[ "$(tr -d '\r' <&9 | head -n 1)" = '+OK 3 124' ]
	exec 9>&-
}

# bats test_tags=calls
@test "TCP keep-alives and a limit for what is not acknowledged, on connections by every way" {
	local options='TCP_NODELAY|SO_KEEPALIVE|TCP_KEEPIDLE|TCP_KEEPINTVL|TCP_KEEPCNT|TCP_USER_TIMEOUT'
	strace -f -o "$T/trace" -e trace=setsockopt,listen,accept4 "$POP3D" -f "$CONF" -l 127.0.0.1:0 2>"$T/listening" 3>&- &
	PIDS="$PIDS $!"
	wait_for grep -q 'listening address' "$T/listening"
	[ "$(grep -oE "$options" "$T/trace" | sort -u | wc -l)" = 6 ]
	pkill -TERM -P "${PIDS##* }"
	python3 -c '
import socket, subprocess, sys
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
s = l.accept()[0]
c.sendall(b"QUIT\r\n")
subprocess.run(sys.argv[1:], stdin=s, stdout=s, check=True)' strace -f -o "$T/trace" -e trace=setsockopt "$POP3D" -f "$CONF" 2>>"$LOG"
	[ "$(grep -oE "$options" "$T/trace" | sort -u | wc -l)" = 6 ]
}
