# Users, passwords, APOP, and what a client can't learn from a failed login.

load helper

# A line of the users file for joe with this password field.
user_with() {
	printf 'joe:%s:%s:%s::%s\n' "$1" "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
}

accepts() {
	dialog <<-E
		C: USER joe
		S~ \+OK .*
		C: PASS $1
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

refuses() {
	talk <<-E
		C: USER joe
		S~ \+OK .*
		C: PASS $1
		S: -ERR [AUTH] Wrong user name or password
		C: QUIT
		S~ \+OK .*
	E
}

# crypt METHOD PASSWORD, by a library that is not crypt(3)'s caller here.
hash() {
	mkpasswd -m "$1" "$2"
}

@test "crypt(3): yescrypt, sha512crypt, sha256crypt, bcrypt and md5crypt" {
	local method
	for method in yescrypt sha512crypt sha256crypt bcrypt md5crypt; do
		user_with "$(hash "$method" 'open sesame')"
		accepts 'open sesame' || fail "$method"
	done
}

@test "crypt(3): a wrong password is refused, as are its beginnings and continuations" {
	user_with "$(hash sha512crypt secret)"
	refuses Secret
	refuses secre
	refuses secrets
}

@test "{CRYPT} before a hash, {PLAIN} and {CLEARTEXT} before a secret, in any case" {
	user_with "{CRYPT}$(hash sha512crypt secret)"
	accepts secret
	user_with '{plain}secret'
	accepts secret
	user_with '{ClearText}secret'
	accepts secret
	refuses '{ClearText}secret'
}

@test "a locked password is never right: *, !, !hash, none, an unknown scheme" {
	local field hash
	hash=$(hash sha512crypt secret)
	for field in '*' '!' "!$hash" "*$hash" '' '{PLAIN}' '{SSHA}secret' '{CRYPT}' "{CRYPT}!$hash"; do
		user_with "$field"
		refuses secret || fail "field: $field"
	done
}

@test "a hash is not a password, and a broken hash is no hash" {
	local hash
	hash=$(hash sha512crypt secret)
	user_with "$hash"
	refuses "$hash"
	user_with '$6$'
	refuses secret
	user_with 'xx'
	refuses secret
}

@test "Dovecot's names for hashes: {SHA512-CRYPT}, {BLF-CRYPT} and so on" {
	local scheme
	for scheme in SHA512-CRYPT:sha512crypt SHA256-CRYPT:sha256crypt MD5-CRYPT:md5crypt BLF-CRYPT:bcrypt; do
		printf 'joe:{%s}%s:%s:%s::%s\n' "${scheme%:*}" "$(mkpasswd -m "${scheme#*:}" secret)" \
			"$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
		accepts secret
	done
	refuses other
}

@test "comments, empty lines and a user further down" {
	{
		echo '# joe:{PLAIN}comment:'
		echo
		echo 'jo:{PLAIN}x:'
		echo 'joey:{PLAIN}y:'
		cat "$USERS"
	} >"$T/new" && cat "$T/new" >"$USERS"
	accepts secret
	refuses comment
}

@test "the first of two lines with the same name counts" {
	printf 'joe:{PLAIN}other:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
	accepts secret
	refuses other
}

@test "the last line of the users file needs no line end" {
	printf 'joe:{PLAIN}secret:%s:%s::%s' "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	accepts secret
}

@test "maildir= of a user, over the maildir of the configuration" {
	configure "maildir /nowhere"
	printf 'joe:{PLAIN}secret:%s:%s::%s::a=b maildir=~/Maildir c=d\n' "$MAIL_UID" "$MAIL_GID" \
		"$T" >"$USERS"
	three_messages
	session <<-'E'
		C: STAT
		S: +OK 3 124
		C: QUIT
		S~ \+OK .*
	E
}

@test "a user without a home can't have a maildir in it: SYS/PERM, and the log says why" {
	configure "maildir ~/Maildir"
	printf 'joe:{PLAIN}secret:%s:%s\n' "$MAIL_UID" "$MAIL_GID" >"$USERS"
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S: -ERR [SYS/PERM] The maildrop can't be opened, tell the administrator
		S$
	E
	grep -q 'login-refused .*user=joe .*reason=maildir: the user has no home directory' "$LOG"
}

@test "a line of the users file that can't work is known to who knows the password alone" {
	printf 'joe:{PLAIN}secret:abc:%s::%s\n' "$MAIL_GID" "$T" >"$USERS"
	refuses wrong
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S: -ERR [SYS/PERM] The maildrop can't be opened, tell the administrator
		S$
	E
	grep -qF "reason=$USERS:1: the uid is not a number" "$LOG"
}

@test "nobody is served as root: uid 0 (and no uid, where pop3d runs as root)" {
	printf 'joe:{PLAIN}secret:0:0::%s\n' "$T" >"$USERS"
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ -ERR \[SYS/PERM\] .*
		S$
	E
	grep -q 'no mail is served as root' "$LOG"
}

@test "a users file that can't be read is SYS/PERM for every name" {
	local name
	rm "$USERS"
	for name in joe someone; do
		talk <<-E
			C: USER $name
			S~ \+OK .*
			C: PASS secret
			S~ -ERR \[SYS/PERM\] .*
			S$
		E
	done
	grep -qF "reason=$USERS: No such file or directory" "$LOG"
}

@test "a wrong password, an unknown and a locked user: the same words (RFC 3206 AUTH)" {
	printf 'locked:*:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
	talk <<-'E'
		C: USER joe
		S: +OK Send the password
		C: PASS wrong
		S: -ERR [AUTH] Wrong user name or password
		C: USER someone
		S: +OK Send the password
		C: PASS wrong
		S: -ERR [AUTH] Wrong user name or password
		C: QUIT
		S: +OK Goodbye
	E
	talk <<-'E'
		C: USER locked
		S: +OK Send the password
		C: PASS wrong
		S: -ERR [AUTH] Wrong user name or password
		C: APOP someone 0123456789abcdef0123456789abcdef
		S: -ERR [AUTH] Wrong user name or password
		C: QUIT
		S: +OK Goodbye
	E
}

@test "the answer to a failed login waits for 1, 2 and 4 s, whatever it is for" {
	# A lower bound only: a busy machine may take longer.
	local start=$EPOCHREALTIME
	talk <<-'E'
		C: USER someone
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
		C: USER joe
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
		C: QUIT
		S~ \+OK .*
	E
	[ "$((${EPOCHREALTIME/./} - ${start/./}))" -ge 3000000 ]
}

@test "after three failed logins the session ends" {
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
		C: USER joe
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
		C: USER joe
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
		S$
	E
	grep -q 'end .*reason=denied' "$LOG"
	[ "$(grep -c login-failed "$LOG")" = 3 ]
}

@test "three failed logins pipelined end the session too, and a right one after them is lost" {
	"$TESTS/talk" --pipelined "$POP3D" -f "$CONF" 2>>"$LOG" <<-'E'
		A: joe wrong
		C: USER joe
		C: PASS wrong
		A: someone wrong
		C: USER joe
		C: PASS secret
		S~ -ERR \[AUTH\] .*
		S~ \+OK .*
		S~ -ERR \[AUTH\] .*
		S~ -ERR \[AUTH\] .*
		S$
	E
	run ! grep -q 'login address' "$LOG"
}

@test "after a failed PASS another USER is wanted; a right login is possible" {
	dialog <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
		C: PASS secret
		S: -ERR Send USER first
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "APOP: wrong digests, upper case, other lengths, and users with a hash are refused" {
	printf 'hashed:%s:%s:%s::%s\n' "$(hash sha512crypt secret)" "$MAIL_UID" "$MAIL_GID" "$T" \
		>>"$USERS"
	configure 'mechanisms USER APOP'
	talk <<-'E'
		A: joe wrong
		S: -ERR [AUTH] Wrong user name or password
		A: hashed secret
		S: -ERR [AUTH] Wrong user name or password
		C: QUIT
		S~ \+OK .*
	E
	talk <<-'E'
		C: APOP joe 0123456789ABCDEF0123456789ABCDEF
		S: -ERR [AUTH] Wrong user name or password
		C: APOP joe 0123
		S: -ERR [AUTH] Wrong user name or password
		C: QUIT
		S~ \+OK .*
	E
}

@test "APOP: who has no secret has no empty one, known or not" {
	printf 'hashed:%s:%s:%s::%s\nnone::%s:%s::%s\nempty:{PLAIN}:%s:%s::%s\n' "$(hash md5crypt x)" \
		"$MAIL_UID" "$MAIL_GID" "$T" "$MAIL_UID" "$MAIL_GID" "$T" "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
	local user
	configure 'mechanisms USER APOP'
	for user in hashed none empty nobody-knows; do
		talk <<-E
			A: $user 
			S: -ERR [AUTH] Wrong user name or password
			C: QUIT
			S~ \+OK .*
		E
	done
}

@test "APOP between USER and PASS: USER is forgotten" {
	talk <<-'E'
		C: USER joe
		S~ \+OK .*
		A: joe wrong
		S~ -ERR \[AUTH\] .*
		C: PASS secret
		S: -ERR Send USER first
		C: QUIT
		S~ \+OK .*
	E
}

@test "{PLAIN}: beginnings and continuations are refused" {
	local password
	for password in secre secrets Secret; do refuses "$password"; done
	accepts secret
}

@test "names: no control characters; the last @ counts; a comment is no user" {
	printf '#joe:{PLAIN}secret:%s:%s::%s\na\001b:{PLAIN}secret:%s:%s::%s\nx@.y@z:{PLAIN}secret:%s:%s::%s\nx@y@.z:{PLAIN}secret:%s:%s::%s\n' \
		"$MAIL_UID" "$MAIL_GID" "$T" "$MAIL_UID" "$MAIL_GID" "$T" "$MAIL_UID" "$MAIL_GID" "$T" \
		"$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	local name
	for name in '#joe' $'a\001b' 'x@y@.z'; do
		answers "USER $name" 'PASS secret' QUIT | grep -q '^-ERR \[AUTH\]'
	done
	answers 'USER x@.y@z' 'PASS secret' QUIT | grep -q '^+OK Maildrop'
}

@test "names: the beginning of a line with its colons is no name" {
	printf 'joe:{PLAIN}a:b:secret:%s:%s::%s\njoe:{PLAIN}a:{PLAIN}secret:%s:%s::%s\n' \
		"$MAIL_UID" "$MAIL_GID" "$T" "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	answers 'USER joe:{PLAIN}a' 'PASS {PLAIN}a' QUIT | grep -q '^-ERR \[AUTH\]'
	grep -q 'reason=unknown-user' "$LOG"
}

@test "APOP: a digest made for another greeting is refused (RFC 1939 s.7)" {
	talk <<-E
		C: APOP joe $(printf '<1.2.3@pop.example.org>secret' | md5sum | cut -c1-32)
		S: -ERR [AUTH] Wrong user name or password
		C: QUIT
		S~ \+OK .*
	E
}

@test "APOP is -ERR where no greeting offered it" {
	user_with "$(hash sha512crypt secret)"
	dialog <<-'E'
		C: APOP joe 0123456789abcdef0123456789abcdef
		S: -ERR APOP is not available
		C: QUIT
		S~ \+OK .*
	E
}

# bats test_tags=calls
@test "names that could leave the mail tree are refused before they touch a path" {
	local name
	configure "maildir $T/mail/%d/%n"
	mkdir -p "$T/mail"
	for name in '../Maildir' '.' '..' 'a/b' 'a@..' 'a@../x' '.hidden' 'a@.b' '/etc'; do
		printf '%s:{PLAIN}secret:%s:%s::%s\n' "$name" "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
		strace -f -o "$T/trace" -e trace=openat,open "$POP3D" -f "$CONF" \
			< <(printf 'USER %s\r\nPASS secret\r\nQUIT\r\n' "$name") >"$T/out" 2>>"$LOG"
		grep -q '^-ERR \[AUTH\]' "$T/out" || fail "accepted: $name"
		run ! grep -qF "\"$T/mail" "$T/trace"
	done
}

@test "%u, %n and %d of a name in the maildir" {
	configure "maildir $T/mail/%d/%n/%u%%"
	printf 'joe@example.org:{PLAIN}secret:%s:%s\n' "$MAIL_UID" "$MAIL_GID" >"$USERS"
	mkdir -p "$T/mail/example.org/joe"
	make_maildir "$T/mail/example.org/joe/joe@example.org%"
	printf 'x\n' >"$T/mail/example.org/joe/joe@example.org%/new/1"
	own "$T/mail"
	dialog <<-'E'
		C: USER joe@example.org
		S~ \+OK .*
		C: PASS secret
		S: +OK Maildrop has 1 messages (3 octets)
		C: QUIT
		S~ \+OK .*
	E
}

@test "plaintext never: USER and PASS are neither announced nor accepted" {
	configure 'plaintext never'
	run ! grep -qx USER <(answers CAPA QUIT)
	dialog <<-'E'
		C: USER joe
		S: -ERR No password is taken without TLS here: use STLS, or the port for TLS
		C: PASS secret
		S: -ERR No password is taken without TLS here: use STLS, or the port for TLS
		A: joe secret
		S~ \+OK .*
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: SASL SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5
		S: RESP-CODES
		S: PIPELINING
		S: EXPIRE NEVER
		S: UIDL
		S~ IMPLEMENTATION .*
		S: AUTH-RESP-CODE
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "plaintext local: the loopback, a Unix socket and a pipe are local" {
	configure 'plaintext local'
	start_listening
	"$TESTS/talk" --connect "127.0.0.1:$PORT" <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	session <<-'E'
		C: QUIT
		S~ \+OK .*
	E
}

# bats test_tags=calls
@test "the session's process opens nothing once it has started, the monitor does" {
	three_messages
	strace -ff -o "$T/trace" -e trace=%file,%network,%process,read "$POP3D" -f "$CONF" \
		< <(printf '%s\r\n' 'USER joe' 'PASS secret' LIST UIDL 'RETR 1' 'TOP 2 1' 'DELE 1' QUIT) \
		>"$T/out" 2>>"$LOG"
	grep -q '^+OK Goodbye' "$T/out"
	local session monitor
	# (Only root sees what the session reads: it can't be looked into.)
	session=$(grep -l '^read(0, ' "$T"/trace.*)
	monitor=$(grep -L '^read(0, ' "$T"/trace.* | head -n 1)
	[ "$(wc -w <<<"$session")" = 1 ]
	grep -q 'pop3d.index' "$monitor"
	# From its first read of the client on: no path, no socket, no process.
	sed '1,/^read(0, /d' "$session" >"$T/after"
	# (statx(2) with an empty path is 32-bit fstat(3).)
	sed -i '/^statx([0-9]*, "", /d' "$T/after"
	run ! grep -E '^(open|openat|stat|socket|connect|bind|accept|execve|clone|fork|unlink|rename|link|mkdir)' "$T/after"
}
