# The command line, pop3d.conf and its checker.

load helper

# check: runs -t on $CONF; status and messages are in $status and $output.
check() {
	run "$POP3D" -t -f "$CONF"
}

# complains TEXT: -t ends with 78 and says this.
complains() {
	check
	[ "$status" = 78 ] || fail "status $status"
	[[ $output == *"$1"* ]] || fail "said: $output"
}

@test "-h, -V and wrong usage: exit statuses 0, 0 and 64" {
	run -0 "$POP3D" -h
	[[ ${lines[0]} == 'usage: pop3d '* ]]
	run -0 "$POP3D" -V
	[[ ${lines[0]} =~ ^pop3d\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	run -64 "$POP3D" -x
	run -64 "$POP3D" -X
	run -64 "$POP3D" argument
	[[ $("$POP3D" -h) == *' /etc/pop3d.conf'* ]]
	run -64 "$POP3D" -f
	[[ $output == *'usage: pop3d'* ]]
}

@test "-t: nothing to say of what is right, exit status 0" {
	check
	[ "$status" = 0 ] && [ -z "$output" ]
}

@test "-t: without a file the defaults hold, a file that -f names must be there" {
	run "$POP3D" -t -o "users file $USERS" -o "maildir $MAILDIR"
	[ "$status" = 0 ] || [ -e /etc/pop3d.conf ]
	run -78 "$POP3D" -t -f "$T/none"
	[ "${lines[0]}" = "$T/none: No such file or directory" ]
	run -78 "$POP3D" -t -f "$T"
	[ "${lines[0]}" = "$T: Is a directory" ]
}

@test "-t names file and line of every mistake" {
	configure '# a comment' '' '   # another' 'nonsense 1' 'plaintext sometimes' 'hostname'
	check
	[ "$status" = 78 ]
	[ "$output" = "$CONF:8: nonsense: is not a key that pop3d knows
$CONF:9: plaintext: must be \`never\` or \`local\` or \`always\`
$CONF:10: hostname: has no value" ]
}

@test "keys of later versions are refused as unknown" {
	local line
	for line in 'login_delay 5' 'expire 30' 'takeover 30' 'login_delay_burst 2'; do
		configure "$line"
		complains "${line%% *}: is not a key that pop3d knows"
	done
	configure 'users checkpassword /bin/true'
	complains 'users: must be `system` or `file /path`'
}

@test "users: system, or file and an absolute path" {
	local value
	for value in 'file' 'file relative' 'ldap' 'system x' 'filex'; do
		printf 'users %s\n' "$value" >"$CONF"
		complains "$CONF:1: users:"
	done
	printf 'users system\n' >"$CONF"
	check
	[ "$status" = 0 ]
	printf 'users file\t  %s\n' "$USERS" >"$CONF"
	printf 'maildir %s\n' "$MAILDIR" >>"$CONF"
	check
	[ "$status" = 0 ]
}

@test "maildir: begins with / or ~/, knows %u, %n, %d and %%" {
	local value
	for value in Maildir '~joe/Maildir' './x' '~' '/mail/%x' '/mail/%'; do
		configure "maildir $value"
		complains "$CONF:5: maildir:"
	done
	for value in '/mail/%d/%n' '~/Maildir' '/m/%u/100%%' '~/%n'; do
		configure "maildir $value"
		check
		[ "$status" = 0 ] || fail "$value: $output"
	done
}

@test "a comment behind a value is a mistake, not a part of it" {
	configure 'maildir ~/Maildir # at home'
	complains "$CONF:5: maildir: a comment needs a line of its own"
	configure "$(printf 'auth_timeout 60\t# s')"
	complains "$CONF:5: auth_timeout: a comment needs a line of its own"
	configure 'maildir ~/Mail#dir'
	check
	[ "$status" = 0 ]
}

@test "plaintext, log: one of their words" {
	configure 'plaintext never'; check; [ "$status" = 0 ]
	configure 'plaintext local'; check; [ "$status" = 0 ]
	configure 'plaintext always'; check; [ "$status" = 0 ]
	configure 'plaintext Always'; complains 'plaintext: must be'
	configure 'log syslog'; check; [ "$status" = 0 ]
	configure 'log file'; complains 'log: must be `syslog` or `stderr`'
}

@test "listen: address and port, IPv6 in brackets, all addresses" {
	local value
	for value in 110 localhost '::1:110' '[::1]' 127.0.0.1:x 127.0.0.1:65536 127.0.0.1: \
		127.0.0.1:-1 127.0.0.1:110/tls 127.0.0.1:110tls; do
		configure "listen $value"
		complains "$CONF:5: listen:"
	done
	for value in 127.0.0.1:110 '[::1]:110' '*:110' ':110' localhost:1110 127.0.0.1:0; do
		configure "listen $value"
		check
		[ "$status" = 0 ] || fail "$value: $output"
	done
	mapfile -t lines < <(printf 'listen 127.0.0.1:%s\n' {1..17})
	configure "${lines[@]}"
	complains 'too many addresses'
}

@test "listen, -t: an address that there is not" {
	configure 'listen no-such-host.invalid:1100'
	complains 'listen no-such-host.invalid: '
}

@test "hostname: what can stand in a greeting and a timestamp" {
	local value
	for value in 'a b' 'a<b' 'a>b' 'a@b' '[x' '.x' "$(printf 'x%.0s' $(seq 256))"; do
		configure "hostname $value"
		complains "$CONF:5: hostname:"
	done
	configure 'hostname mail-1.example.org'
	check
	[ "$status" = 0 ]
}

@test "hostname: without one it is the machine's" {
	sed -i '/^hostname/d' "$CONF"
	[[ $(answers QUIT | head -n 1) == "+OK $(hostname) POP3 server ready"* ]]
}

@test "numbers: their limits, and no idle_timeout below ten minutes (RFC 1939 s.3)" {
	local line
	for line in 'auth_timeout 0' 'auth_timeout -1' 'auth_timeout x' 'auth_timeout 1x' \
		'auth_timeout 86401' 'auth_timeout 99999999999' 'idle_timeout 599' 'idle_timeout 0' \
		'max_connections 0' 'max_connections 1000001' 'max_per_address 0'; do
		configure "$line"
		complains "$CONF:5: ${line%% *}: must be a number from"
	done
	configure 'auth_timeout 5' 'idle_timeout 600' 'max_connections 1' 'max_per_address 1'
	check
	[ "$status" = 0 ]
}

@test "session_user: known to the system and not root, where pop3d runs as root" {
	if [ "$(id -u)" = 0 ]; then
		configure 'session_user no-such-user'
		complains 'session_user: there is no such user'
		configure 'session_user root'
		complains 'session_user: must not be root'
	fi
	configure 'session_user nobody'
	check
	[ "$status" = 0 ]
}

@test "-o sets a key over the file; the last one counts" {
	configure 'hostname file.example.org'
	[[ $("$POP3D" -f "$CONF" -o 'hostname a.example.org' -o 'hostname	 b.example.org ' \
		<<<QUIT 2>>"$LOG" | head -n 1) == '+OK b.example.org '* ]]
	run -78 "$POP3D" -t -f "$CONF" -o nonsense
	[ "$output" = '-o nonsense: is not a key that pop3d knows' ]
	run -78 "$POP3D" -t -f "$CONF" -o 'idle_timeout 1'
	[[ $output == '-o idle_timeout: must be a number from 600 to '* ]]
	run -78 "$POP3D" -t -f "$CONF" -l nonsense
	[[ $output == '-l listen: must be `address:port`'* ]]
}

@test "lines: CR LF, a NUL and 5,000 octets are mistakes, a missing last line end is none" {
	printf 'users file %s\r\n' "$USERS" >"$CONF"
	complains "$CONF:1: users: the line ends in CR LF"
	printf 'log st\0derr\n' >"$CONF"
	complains "$CONF:1: log: the line holds a NUL octet"
	printf 'users file %s\n#%s\nnonsense\n' "$USERS" "$(printf 'x%.0s' $(seq 5000))" >"$CONF"
	complains "$CONF:2: -: the line is too long"
	complains "$CONF:3: nonsense: is not a key"
	printf 'maildir %s\nusers file %s' "$MAILDIR" "$USERS" >"$CONF"
	check
	[ "$status" = 0 ]
}

@test "a configuration of random octets is refused and does no harm" {
	local i
	for ((i = 0; i < 20; i++)); do
		head -c 20000 /dev/urandom >"$CONF"
		check
		[ "$status" = 78 ]
	done
}

@test "a wrong configuration: the client learns that there is one, standard error what it is" {
	configure 'nonsense'
	"$TESTS/talk" "$POP3D" -f "$CONF" 2>"$T/err" <<-'E'
		S: -ERR [SYS/PERM] The server is not set up
		S$
	E
	grep -qF "$CONF:5: nonsense: is not a key that pop3d knows" "$T/err"
}

@test "log stderr is refused where descriptor 2 is the client's own socket" {
	python3 - "$POP3D" "$CONF" <<-'E'
		import socket, subprocess, sys
		ours, theirs = socket.socketpair()
		p = subprocess.Popen([sys.argv[1], "-f", sys.argv[2]], stdin=theirs, stdout=theirs, stderr=theirs)
		theirs.close()
		data = b""
		while part := ours.recv(4096):
		    data += part
		assert data == b"-ERR [SYS/PERM] The server is not set up\r\n", data
		assert p.wait() == 78
	E
}

@test "users file, -t: what is wrong with its lines" {
	cat >"$USERS" <<-E
		# comment

		good:{PLAIN}x:1000:1000::/home
		no colon at all
		good:{PLAIN}again:1000:1000::/home
		.dot:{PLAIN}x:1000:1000::/home
		a/b:{PLAIN}x:1000:1000::/home
		:{PLAIN}x:1000:1000::/home
		root:{PLAIN}x:0:0::/home
		badid:{PLAIN}x:one:1000::/home
		badgid:{PLAIN}x:1000:x::/home
		bigid:{PLAIN}x:4294967295:1000::/home
		scheme:{SSHA}abc:1000:1000::/home
		hash:\$9\$x\$y:1000:1000::/home
		maildir:{PLAIN}x:1000:1000::/home::maildir=relative
		locked:*:1000:1000::/home
		locked2:!:1000:1000::/home
	E
	check
	[ "$status" = 78 ]
	diff <(sed 's/^[^:]*:\([0-9]*\): .*/\1/' <<<"$output" | tr '\n' ' ') <(printf '4 5 6 7 8 9 10 11 12 13 14 15 ')
	[[ $output == *"$USERS:5: the name is in the file already: only its first line counts"* ]]
	[[ $output == *"$USERS:9: no mail is served as root: uid 0"* ]]
	[[ $output == *"$USERS:13: pop3d does not know how this password is stored"* ]]
	[[ $output == *"$USERS:14: crypt(3) does not know how this password is hashed"* ]]
}

@test "users file, -t: not there; a home that ~ needs; no uid where pop3d runs as root" {
	configure "users file $T/none"
	complains "$T/none: No such file or directory"
	configure 'maildir ~/Maildir'
	printf 'joe:{PLAIN}x:1000:1000\n' >"$USERS"
	complains "$USERS:1: the user has no home directory"
	if [ "$(id -u)" = 0 ]; then
		printf 'joe:{PLAIN}x::::/home\n' >"$USERS"
		complains "$USERS:1: no uid is given, and pop3d runs as root"
		printf 'joe:{PLAIN}x:1000:::/home\n' >"$USERS"
		complains "$USERS:1: no gid is given, and pop3d runs as root"
	fi
}

@test "users file, -t: warns where others can read it, and still says 0" {
	chmod 644 "$USERS"
	check
	[ "$status" = 0 ]
	[ "$output" = "$USERS: warning: others than its owner have access" ]
}

@test "every key of the program has a test here, and every command and capability elsewhere" {
	local word
	for word in $("$POP3D" -V | sed -n 's/^keys://p'); do
		grep -q "$word" "$TESTS"/*.bats "$TESTS"/root/*.bats || fail "no test has the key $word"
	done
	for word in $("$POP3D" -V | sed -n 's/^commands://p'); do
		grep -q "^@test .*\<$word\>" "$TESTS"/*.bats || fail "no test is named after $word"
	done
	for word in $("$POP3D" -V | sed -n 's/^capabilities://p'); do
		grep -q "S[:~] $word" "$TESTS"/protocol.bats || fail "no test expects $word"
	done
	[ "$("$POP3D" -V | wc -w)" -gt 30 ]
}
