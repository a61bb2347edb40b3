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
	run -64 "$POP3D" -y
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
$CONF:9: plaintext: must be \`never\`, \`always\`, or one or more of \`local\`, addresses and networks such as 192.0.2.0/24 or 2001:db8::/32
$CONF:10: hostname: has no value" ]
}

@test "keys of later versions are refused as unknown" {
	local line
	for line in 'language de' 'proxy_protocol yes'; do
		configure "$line"
		complains "${line%% *}: is not a key that pop3d knows"
	done
	configure 'users ldap'
	complains 'users: must be `system`, `file /path`, `checkpassword /command ...` or `pam`'
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

@test "tls_certificate, tls_key, tls_client_ca: absolute paths; tls_min: 1.2 or 1.3" {
	local key
	make_certificates
	for key in tls_certificate tls_client_ca; do
		configure "$key certificate.pem"
		complains "$CONF:5: $key: the path must begin with /"
		configure "$key"
		complains "$CONF:5: $key: has no value"
	done
	configure_tls rsa -- "tls_client_ca $PKI/ca.pem" 'tls_min 1.3'
	check
	[ "$status" = 0 ] && [ -z "$output" ] || fail "$output"
	configure "tls_certificate $PKI/rsa.pem" 'tls_key rsa.key'
	complains "$CONF:6: tls_key: the path must begin with /"
	for key in 1 1.1 1.4 TLSv1.2; do
		configure "tls_min $key"
		complains "$CONF:5: tls_min: must be \`1.2\` or \`1.3\`"
	done
}

@test "tls_key: after its tls_certificate, and only one for each" {
	make_certificates
	configure "tls_key $PKI/rsa.key" "tls_certificate $PKI/rsa.pem"
	complains "$CONF:5: tls_key: must come after its tls_certificate"
	configure "tls_certificate $PKI/rsa.pem" "tls_key $PKI/rsa.key" "tls_key $PKI/ec.key"
	complains "$CONF:7: tls_key: the tls_certificate before it has a key already"
	configure "tls_certificate $PKI/rsa.pem" "tls_certificate $PKI/ec.pem" "tls_key $PKI/ec.key"
	complains "tls_key $PKI/rsa.pem: "
}

@test "tls_certificate: sixteen, not seventeen" {
	local i keys=()
	make_certificates
	for ((i = 0; i < 16; i++)); do keys+=("tls_certificate $PKI/ec.pem" "tls_key $PKI/ec.key"); done
	configure "${keys[@]}"
	check
	[ "$status" = 0 ] && [ -z "$output" ] || fail "$output"
	configure "${keys[@]}" "tls_certificate $PKI/ec.pem"
	complains "$CONF:37: tls_certificate: too many certificates"
}

@test "-o tls_certificate replaces all those of the file, and their keys" {
	make_certificates
	configure "tls_certificate $T/none.pem" "tls_key $T/none.key" "tls_certificate $T/none2.pem"
	run -0 "$POP3D" -t -f "$CONF" -o "tls_certificate $PKI/rsa.pem" -o "tls_key $PKI/rsa.key"
	[ -z "$output" ]
	run -78 "$POP3D" -t -f "$CONF" -o "tls_key $PKI/rsa.key" -o "tls_certificate $PKI/rsa.pem"
	[[ $output == '-o tls_key: must come after its tls_certificate'* ]] || fail "$output"
	configure_tls rsa -- 'tls_min 1.2'
	run -0 "$POP3D" -t -f "$CONF" -o 'tls_min 1.3'
	run -78 "$POP3D" -t -f "$CONF" -o 'tls_min 1.1'
	[[ $output == '-o tls_min: must be'* ]]
}

@test "TLS that is asked for needs a tls_certificate: -T, -l with ,tls, listen with tls, FileDescriptorName=pop3s" {
	run -78 "$POP3D" -t -T -f "$CONF"
	[ "$output" = '-T: there is no tls_certificate' ]
	run -78 "$POP3D" -T -f "$CONF" </dev/null
	[[ $output == *'-T: there is no tls_certificate' ]]
	run -78 "$POP3D" -f "$CONF" -l 127.0.0.1:0,tls
	[[ $output == *'tls: there is no tls_certificate' ]]
	configure 'listen 127.0.0.1:0 tls'
	complains 'listen: tls: there is no tls_certificate'
	configure
	PORT=$(free_port)
	super systemd-socket-activate --fdname=pop3s -l "127.0.0.1:$PORT" "$POP3D" -f "$CONF"
	wait_for grep -q 'LISTEN_FDNAMES: pop3s: there is no tls_certificate' "$T/super"
}

@test "FileDescriptorName=pop3s of a connection, without a certificate: no session in plain text" {
	cat >"$T/connected.py" <<-'E'
		import os, socket, subprocess, sys
		ours, theirs = socket.socketpair()
		ours.settimeout(60)
		if (child := os.fork()) == 0:
		    os.dup2(os.open("/dev/null", os.O_RDWR), 0)
		    os.dup2(theirs.fileno(), 3)
		    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="pop3s")
		    os.execv(sys.argv[1], sys.argv[1:])
		theirs.close()
		ours.shutdown(socket.SHUT_WR)
		print(ours.recv(4096).decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
	E
	run python3 "$T/connected.py" "$POP3D" -f "$CONF"
	[[ $output != *+OK* ]] || fail "$output"
	[[ $output == *' 78' ]] || fail "$output"
}

@test "-T without a certificate: the client of a super server gets no word in plain text" {
	"$TESTS/talk" "$POP3D" -T -f "$CONF" 2>"$T/err" <<<'S$' || true
	grep -q 'no greeting: None\|the connection is closed' "$T/err" || fail "$(cat "$T/err")"
	grep -q -- '-T: there is no tls_certificate' "$T/err"
}

@test "listen: tls behind the address, and ,tls behind that of -l" {
	make_certificates
	configure_tls rsa -- 'listen 127.0.0.1:0 tls' "$(printf 'listen *:110\t  tls')" 'listen [::1]:110 tls' 'listen localhost:110,tls'
	check
	[ "$status" = 0 ] || fail "$output"
	run -0 "$POP3D" -t -f "$CONF" -l 127.0.0.1:110,tls -l '[::1]:995,tls'
	configure_tls rsa -- 'listen 127.0.0.1:0 ssl'
	complains "$CONF:7: listen: must be \`address:port\`"
	configure_tls rsa -- 'listen tls'
	complains "$CONF:7: listen: must be \`address:port\`"
}

# a_key NAME ARGUMENT...: a key as genpkey(1) makes it, its certificate, and the configuration.
a_key() {
	local name=$T/$1
	shift
	openssl genpkey "$@" -out "$name.key" 2>/dev/null
	openssl req -x509 -new -key "$name.key" -subj /CN=any -days 30 -out "$name.pem"
	configure "tls_certificate $name.pem" "tls_key $name.key"
}

@test "-t: certificates and keys that are not there, not theirs, or no PEM" {
	make_certificates
	configure "tls_certificate $T/none.pem"
	complains "tls_certificate $T/none.pem: No such file or directory"
	configure "tls_certificate $PKI/rsa.pem" "tls_key $T/none.key"
	complains "tls_key $T/none.key: No such file or directory"
	configure "tls_certificate $T"
	complains "tls_certificate $T: Is a directory"
	for key in net-rsa.key ec.key; do
		configure "tls_certificate $PKI/rsa.pem" "tls_key $PKI/$key"
		complains "tls_key $PKI/$key: the key is not the one of the certificate"
	done
	: >"$T/empty"
	configure "tls_certificate $T/empty"
	complains "tls_certificate $T/empty: "
	configure "tls_certificate $PKI/rsa.key"
	complains "tls_certificate $PKI/rsa.key: "
	configure "tls_certificate $PKI/rsa.pem"
	complains "tls_key $PKI/rsa.pem: "
	sed '3d' "$PKI/rsa.pem" >"$T/broken.pem"
	configure "tls_certificate $T/broken.pem" "tls_key $PKI/rsa.key"
	complains "tls_certificate $T/broken.pem: "
	{ cat "$PKI/rsa.pem"; echo '-----BEGIN CERTIFICATE-----'; } >"$T/chain.pem"
	configure "tls_certificate $T/chain.pem" "tls_key $PKI/rsa.key"
	complains "tls_certificate $T/chain.pem: "
	yes '' | head -c 200000 >"$T/large"
	configure "tls_certificate $T/large"
	complains "tls_certificate $T/large: the file is too large"
	# Of two that are wrong both are named.
	configure "tls_certificate $T/none.pem" "tls_certificate $T/none2.pem"
	complains "$T/none.pem"
	complains "$T/none2.pem"
}

@test "-t: an encrypted key is refused, and nobody is asked for a password" {
	make_certificates
	openssl pkey -in "$PKI/rsa.key" -aes128 -passout pass:x -out "$T/new.key"
	openssl pkey -in "$PKI/rsa.key" -aes128 -passout pass:x -traditional -out "$T/old.key"
	local key
	for key in "$T/new.key" "$T/old.key"; do
		configure "tls_certificate $PKI/rsa.pem" "tls_key $key"
		run -78 timeout 20 setsid "$POP3D" -t -f "$CONF" </dev/null
		[[ $output == "tls_key $key: "*encrypted* ]] || fail "$output"
	done
}

@test "-t: keys that are too weak, too long, or of another kind" {
	a_key 1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
	complains "1024.pem: "
	# (Of five primes, which is quicker to make.)
	a_key 8192 -algorithm RSA -pkeyopt rsa_keygen_bits:8192 -pkeyopt rsa_keygen_primes:5
	complains "tls_key $T/8192.key: RSA keys may have 4096 bits, not more"
	a_key ed25519 -algorithm ED25519
	complains "tls_key $T/ed25519.key: the key must be an RSA or an ECDSA key"
	a_key pss -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
	complains "tls_key $T/pss.key: the key must be an RSA or an ECDSA key"
	# No TLS client asks for this curve.
	a_key other -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1
	complains "tls_key $T/other.key: ECDSA keys must be of P-256, P-384 or P-521"
	# A curve that is told by its numbers, not by its name.
	a_key explicit -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit
	complains "tls_key $T/explicit.key: ECDSA keys must be of P-256, P-384 or P-521"
}

# bats test_tags=clock
@test "-t: certificates that have expired, or are not valid yet: warnings, exit status 0" {
	make_certificates
	configure_tls expired
	check
	[ "$status" = 0 ]
	[ "$output" = "tls_certificate $PKI/expired.pem: warning: the certificate has expired" ]
	configure_tls rsa
	run env LD_PRELOAD="$FAKETIME_LIB" FAKETIME='@2020-01-01 00:00:00' "$POP3D" -t -f "$CONF"
	[ "$status" = 0 ]
	[ "$output" = "tls_certificate $PKI/rsa.pem: warning: the certificate is not valid yet" ]
}

@test "-t: warns of a key that all users can read" {
	make_certificates
	cp "$PKI/rsa.key" "$T/open.key"
	chmod 644 "$T/open.key"
	configure "tls_certificate $PKI/rsa.pem" "tls_key $T/open.key"
	check
	[ "$status" = 0 ]
	[ "$output" = "tls_key $T/open.key: warning: all users can read the key" ]
}

@test "-t: tls_client_ca that is not there, or holds no certificate" {
	make_certificates
	configure_tls rsa -- "tls_client_ca $T/none.pem"
	complains "tls_client_ca $T/none.pem: No such file or directory"
	configure_tls rsa -- "tls_client_ca $PKI/rsa.key"
	complains "tls_client_ca $PKI/rsa.key: "
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
		grep -q "S[:~] $word" "$TESTS"/{protocol,stls,policy}.bats ||
			grep -q "= '$word " "$TESTS"/policy.bats || fail "no test expects $word"
	done
	[ "$("$POP3D" -V | wc -w)" -gt 30 ]
}
