# `users`, several of them, and `users checkpassword`: https://cr.yp.to/checkpwd/interface.html.

load helper
load sasl

setup() {
	common_setup
	let_programs_run
}

# A command that knows joe and ann, by the interface; what it has seen is in $T/seen.
make_command() {
	cat >"$T/check" <<-'E'
		#!/usr/bin/python3 -I
		import getopt, hashlib, os, sys
		# As checkpassword-pam does, options are taken wherever they stand.
		options, (home, *rest) = getopt.gnu_getopt(sys.argv[1:], "s:")
		data = b""
		while part := os.read(3, 512):
		    data += part
		name, password, stamp = data.split(b"\0")[:3]
		with open(home + "/seen", "a") as seen:
		    print(data.count(b"\0"), name.decode(), len(password), stamp != b"", os.environ.get("TCPREMOTEIP"), file=seen)
		secret = {b"joe": b"secret", b"ann": b"other"}.get(name)
		if secret is None:
		    sys.exit(1)
		if (hashlib.md5(stamp + secret).hexdigest().encode() if stamp else secret) != password:
		    sys.exit(1)
		if os.getuid() == 0:
		    os.setgroups([])
		    os.setgid(47110)
		    os.setuid(47110)
		os.environ["HOME"] = home
		os.environ["USER"] = name.decode()
		if name == b"ann":
		    os.environ["MAILDIR"] = home + "/100%n"
		os.chdir(home)
		os.execv(rest[0], rest)
	E
	chmod 755 "$T/check"
	: >"$T/seen"
	chmod 666 "$T/seen"
}

# only LINE...: the configuration, with these for users.
only() {
	configure "$@"
	sed -i "\|^users file $USERS\$|d" "$CONF"
	sed -i '/^maildir/d' "$CONF"
}

@test "checkpassword: passwords by USER, PLAIN and LOGIN; home, ids and MAILDIR are the command's" {
	make_command
	only "users checkpassword $T/check $T"
	three_messages
	make_maildir "$T/100%n"
	dialog <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S: +OK Maildrop has 3 messages (124 octets)
		C: QUIT
		S~ \+OK .*
	E
	dialog <<-E
		C: AUTH PLAIN $(base64_of '\0joe\0secret')
		S~ \\+OK .*
		C: QUIT
		S~ \\+OK .*
	E
	dialog <<-E
		C: AUTH LOGIN
		S~ \\+ .*
		C: $(base64_of ann)
		S~ \\+ .*
		C: $(base64_of other)
		S: +OK Maildrop has 0 messages (0 octets)
		C: QUIT
		S~ \\+OK .*
	E
	[ -e "$T/100%n/pop3d.index" ]
	[ "$(sort -u "$T/seen")" = "3 ann 5 False None
3 joe 6 False None" ]
}

@test "checkpassword: wrong, unknown and strange ones are refused, and counted" {
	make_command
	only "users checkpassword $T/check $T"
	dialog <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
		C: USER bob
		S~ \+OK .*
		C: PASS secret
		S~ -ERR \[AUTH\] .*
		C: USER ../joe
		S~ \+OK .*
		C: PASS secret
		S~ -ERR \[AUTH\] .*
		S$
	E
	run ! grep -q '\.\.' "$T/seen"
	[ "$(grep -c 'login-failed .*user=\(joe\|bob\) .*reason=password' "$LOG")" = $((2 * ${#MODES[@]})) ]
	grep -q 'login-failed .*user=../joe .*reason=unknown-user' "$LOG"
}

# Directories let in whoever has a name and no password; and the interface has 512 octets.
@test "checkpassword: an empty password is nobody's; more than the interface can carry is not asked" {
	local long
	make_command
	only "users checkpassword $T/check $T" 'mechanisms USER PLAIN APOP' "hostname $(printf 'h%.0s' {1..200})"
	long=$(head -c 255 /dev/zero | tr '\0' x)
	answers "AUTH PLAIN $(base64_of '\0joe\0')" 'USER joe' 'PASS ' QUIT | grep -c '^-ERR' | grep -qx 2
	[ ! -s "$T/seen" ]
	answers "AUTH PLAIN $(base64_of "\0$long\0$long")" QUIT | grep -q '^-ERR \[AUTH\]'
	answers "APOP $long 0123456789abcdef0123456789abcdef" QUIT | sed -n 2p | grep -q '^-ERR'
	[ ! -s "$T/seen" ] || fail "$(cat "$T/seen")"
	answers "AUTH PLAIN $(base64_of "\0joe\0$long")" QUIT | grep -q '^-ERR \[AUTH\]'
	[ "$(cat "$T/seen")" = '3 joe 255 False None' ]
}

@test "checkpassword: APOP, where mechanisms names it; SCRAM and CRAM-MD5 are not offered" {
	make_command
	only "users checkpassword $T/check $T"
	[ "$(mechanisms)" = 'PLAIN LOGIN' ]
	run ! grep -q '<.*@' <(answers QUIT)
	only "users checkpassword $T/check $T" 'mechanisms USER APOP SCRAM-SHA-256 CRAM-MD5'
	[ -z "$(mechanisms)" ]
	start_listening
	python <<-'P'
		c = Client(PORT)
		stamp = re.search(rb"<.*>", c.greeting)[0]
		assert c.say(b"APOP joe " + hashlib.md5(stamp + b"wrong").hexdigest().encode()).startswith(b"-ERR [AUTH]")
		assert c.say(b"APOP joe " + hashlib.md5(stamp + b"secret").hexdigest().encode()).startswith(b"+OK")
		c.quit()
	P
	grep -q '3 joe 32 True 127.0.0.1' "$T/seen"
	grep -q 'login-failed .*method=APOP reason=digest' "$T/listening"
}

@test "checkpassword: a command that dies, says nothing, or what is none: SYS/TEMP, and why; one that stays root lets nobody in" {
	local what
	for what in 'exit 111' 'exit 2' 'kill -9 $$' 'exit 0' 'echo pop3d-user; exit 0' \
		'printf "pop3d-users\n/\n\n"; exit 0' 'head -c 100000 /dev/zero; exit 0'; do
		printf '#!/bin/sh\n%s\n' "$what" >"$T/check"
		chmod 755 "$T/check"
		only "users checkpassword $T/check $T"
		[[ $(answers 'USER joe' 'PASS secret' QUIT | sed -n 3p) == '-ERR [SYS/TEMP]'* ]] || fail "$what"
		grep -q 'login-refused .*user=joe method=PASS reason=checkpassword: ' "$LOG" || fail "$what"
		: >"$LOG"
	done
	# Root has no mail.
	if [ "$(id -u)" = 0 ]; then
		printf '#!/bin/sh\nexec "$2" "$3" 3>&-\n' >"$T/check"
		[[ $(answers 'USER joe' 'PASS secret' QUIT | sed -n 3p) == '-ERR [AUTH]'* ]]
	fi
	rm "$T/check"
	[[ $(answers 'USER joe' 'PASS secret' QUIT | sed -n 3p) == '-ERR [SYS/TEMP]'* ]]
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == "users: $T/check: No such file or directory"* ]]
}

# bats test_tags=clock
@test "checkpassword: a command has ten seconds, whatever its children do" {
	cat >"$T/check" <<-'E'
		#!/usr/bin/python3 -I
		import os, time
		for i in range(20):
		    if os.fork() == 0:
		        while True: os.write(1, b"x")
		time.sleep(60)
	E
	chmod 755 "$T/check"
	only "users checkpassword $T/check $T"
	local begin=$SECONDS
	answers 'USER joe' 'PASS secret' QUIT | sed -n 3p | grep -q '^-ERR \[SYS/TEMP\]'
	((SECONDS - begin >= 9 && SECONDS - begin < 40)) || fail "$((SECONDS - begin)) s"
	grep -q 'reason=checkpassword: no answer in time' "$LOG"
	run ! pgrep -f "$T/check"
}

@test "checkpassword: what it writes to standard error is logged, but not the password" {
	printf '#!/bin/sh\ncat <&3 >&2\necho >&2\necho hello >&2\nexit 1\n' >"$T/check"
	chmod 755 "$T/check"
	only "users checkpassword $T/check"
	answers 'USER joe' 'PASS q9x7secretw3z' QUIT >/dev/null
	grep -q 'checkpassword: hello' "$LOG"
	run ! grep -q q9x7 "$LOG"
}

# bats test_tags=plain
@test "checkpassword: a program that is replaced while it listens still serves" {
	make_command
	only "users checkpassword $T/check $T"
	three_messages
	mkdir "$T/bin"
	cp "$POP3D" "$T/bin/pop3d"
	chmod 755 "$T" "$T/bin"
	POP3D=$T/bin/pop3d start_listening
	python <<-'P'
		c = Client(PORT)
		c.say(b"USER joe")
		assert c.say(b"PASS secret").startswith(b"+OK")
		c.quit()
	P
	cp "$POP3D" "$T/bin/new"
	mv "$T/bin/new" "$T/bin/pop3d"
	python <<-'P'
		c = Client(PORT)
		c.say(b"USER joe")
		said = c.say(b"PASS secret")
		assert said.startswith(b"+OK"), said
		c.quit()
	P
}

@test "several users lines: pop3d -x goes by the first that knows a name, as a login does" {
	printf 'joe:{PLAIN}a:%s:%s::%s::expire=never\n' "$MAIL_UID" "$MAIL_GID" "$T" >"$T/one"
	printf 'joe:{PLAIN}b:%s:%s::%s\nsue:{PLAIN}b:%s:%s::%s/sue\n' "$MAIL_UID" "$MAIL_GID" "$T" \
		"$MAIL_UID" "$MAIL_GID" "$T" >"$T/two"
	chmod 600 "$T/one" "$T/two"
	only "users file $T/one" "users file $T/two" 'expire 30' 'maildir ~/Maildir'
	make_maildir "$T/sue/Maildir"
	for file in "$T/sue/Maildir/cur/1:2," "$MAILDIR/cur/1:2,"; do
		echo old >"$file"
		own "$file"
		touch -d '40 days ago' "$file"
	done
	[ "$MAILDIR" = "$T/Maildir" ]
	"$POP3D" -x -f "$CONF" 2>>"$LOG"
	[ -e "$MAILDIR/cur/1:2," ] && [ ! -e "$T/sue/Maildir/cur/1:2," ]
}

# Who is let in may have a hand in what the command does from the moment it has become that user.
@test "checkpassword: who it has become is what the kernel says, whatever else is written" {
	cat >"$T/check" <<-'E'
		#!/usr/bin/python3 -I
		import os, sys
		if os.getuid() == 0:
		    os.setgroups([])
		    os.setgid(47110)
		    os.setuid(47110)
		home = sys.argv[1].encode()
		os.write(1, b"welcome\n")
		os.write(1, b"pop3d-user")
		os.write(1, b"pop3d-user\n" + home + b"/\n/dev/null/%d\n0 0 0\n47111\n")
		os.write(1, b"pop3d-user\n/root\n/root\n")
		os._exit(0)
	E
	chmod 755 "$T/check"
	only "users checkpassword $T/check $T" 'maildir ~/Maildir'
	answers 'USER joe' 'PASS secret' QUIT | sed -n 3p | grep -q '^-ERR'
	grep -q 'login-refused .*/dev/null/%d' "$LOG" || fail "$(cat "$LOG")"
	sed -i "s|/dev/null/%d||" "$T/check"
	three_messages
	"$POP3D" -f "$CONF" 2>>"$LOG" < <(printf 'USER joe\r\nPASS secret\r\n'; sleep 2) >"$T/out" &
	wait_for grep -q '+OK Maildrop has 3' "$T/out"
	if [ "$(id -u)" = 0 ]; then
		[ "$(sed -n 's/^\(Uid\|Gid\|Groups\):[[:space:]]*//p' /proc/$!/status | tr -s '\t ' '\n' | sort -u)" = 47110 ]
	fi
	wait $!
}

@test "several users lines are asked in their order; the first that knows a name decides" {
	make_command
	printf 'joe:{PLAIN}first:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >"$T/one"
	printf 'joe:{PLAIN}second:%s:%s::%s\nsue:{PLAIN}sues:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" \
		"$MAIL_UID" "$MAIL_GID" "$T" >"$T/two"
	chmod 600 "$T/one" "$T/two"
	only "users file $T/one" "users file $T/two" "users checkpassword $T/check $T"
	takes() {
		local said
		said=$(answers "USER $1" "PASS $2" QUIT | sed -n 3p)
		[[ $said == '+OK'* ]] || fail "$1 $2: $said"
	}
	takes joe first
	run ! takes joe second
	run ! takes joe secret
	takes sue sues
	mkdir -p "$T/100%n/cur" "$T/100%n/new"
	own "$T/100%n"
	takes ann other
	# In another order the command is asked first, and does not have the last word.
	only "users checkpassword $T/check $T" "users file $T/one"
	takes joe secret
	takes joe first
	run ! takes joe second
	only "users file $T/one" "users file $T/none"
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == *"$T/none: No such file"* ]]
}

@test "users: too many, and what is none" {
	only "users system" "users system" "users system" "users system" "users system" "users system" \
		"users system" "users system" "users system"
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == *'users: too many of these'* ]]
	only 'users checkpassword check'
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == *"users: the command's path must begin with /"* ]]
	only 'users checkpassword'
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == *'users: '* ]]
	# -o goes before all of the file's.
	only "users file $T/none"
	answers QUIT >/dev/null
	printf 'USER joe\r\nPASS secret\r\nQUIT\r\n' |
		"$POP3D" -f "$CONF" -o "users file $USERS" -o "maildir $MAILDIR" 2>>"$LOG" | grep -q 'Maildrop has'
}
