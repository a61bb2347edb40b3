# TLS: STLS (RFC 2595) and TLS from the first octet (RFC 8314).  Mail programs that use it are
# in tls_clients.bats, what only root can look at is in root/tls.bats.

# shellcheck disable=SC2034 # MODES is for dialog
load helper

setup() {
	common_setup
	make_certificates
	configure_tls rsa ec
}

# Dialogs that follow are held in each of these ways, over STLS and over TLS
# from the start, in lock step and pipelined.
over_tls() {
	MODES=('--stls' '--stls --pipelined --pipes' '--tls' '--tls --pipelined --pipes')
}

# s_client PORT [ARGUMENT...]: what OpenSSL's client tells of a session; SAID, or QUIT alone, is
# what it says.
s_client() {
	local port=$1
	shift
	printf '%b' "${SAID:-QUIT\r\n}" | timeout 60 openssl s_client -connect "127.0.0.1:$port" \
		-CAfile "$PKI/ca.pem" -ign_eof "$@" 2>&1 | tr -d '\r' >"$T/client"
}

shows() {
	grep -qE -- "$1" "$T/client" || fail "the client does not show: $1
$(cat "$T/client")"
}

# fails REASON PORT ARGUMENT...: the client gets no session, and the log tells why.
fails() {
	local reason=$1 before
	shift
	before=$(grep -c "tls-failed address=127.0.0.1: $reason\$" "$T/listening") || true
	s_client "$@"
	run ! grep -q '^+OK' <(sed '/^+OK Begin TLS/d' "$T/client")
	more() {
		[ "$(grep -c "tls-failed address=127.0.0.1: $reason\$" "$T/listening")" -gt "$before" ]
	}
	wait_for more || fail "$(cat "$T/listening")"
	ended() {
		[ "$(grep -c 'end address=127.0.0.1 user=- reason=tls ' "$T/listening")" = \
			"$(grep -c 'tls-failed' "$T/listening")" ]
	}
	wait_for ended
}

# The server with the clock set, on PORT and TLS_PORT.
start_at() {
	stop_listening
	TZ=UTC LD_PRELOAD=$FAKETIME_LIB FAKETIME="@$1" start_listening_tls
}

# reload TEXT: SIGHUP, until the log says this.
reload() {
	kill -HUP "$SERVER"
	wait_for grep -qF "$1" "$T/listening"
}

# STLS, and what it changes.

@test "STLS is announced before TLS and the login, and not after either (RFC 2595 s.4)" {
	dialog <<-'E'
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: USER
		S~ SASL .*PLAIN LOGIN
		S: RESP-CODES
		S: PIPELINING
		S: EXPIRE NEVER
		S: UIDL
		S~ IMPLEMENTATION .*
		S: STLS
		S: AUTH-RESP-CODE
		S: .
		T:
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: USER
		S~ SASL .*PLAIN LOGIN
		S: RESP-CODES
		S: PIPELINING
		S: EXPIRE NEVER
		S: UIDL
		S~ IMPLEMENTATION .*
		S: AUTH-RESP-CODE
		S: .
		C: QUIT
		S~ \+OK .*
		S$
	E
	session <<-'E'
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: USER
		S~ SASL .*PLAIN LOGIN
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
	MODES=('--tls' '--tls --pipelined --pipes')
	dialog <<-'E'
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: USER
		S~ SASL .*PLAIN LOGIN
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

@test "STLS is -ERR after the login, with TLS on, without a certificate, and with an argument" {
	dialog <<-'E'
		C: STLS now
		S: -ERR Too many arguments, or spaces
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ \+OK .*
		C: STLS
		S: -ERR You are logged in already
		C: NOOP
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	configure
	dialog <<-'E'
		C: STLS
		S: -ERR TLS is not available, or on already
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: USER
		S~ SASL .*PLAIN LOGIN
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
	configure_tls rsa
	over_tls
	dialog <<-'E'
		C: STLS
		S: -ERR TLS is not available, or on already
		A: joe secret
		S~ \+OK .*
		C: STLS
		S: -ERR You are logged in already
		C: QUIT
		S~ \+OK .*
		S$
	E
}

@test "STLS: no second greeting, and the greeting's timestamp holds for APOP (RFC 2595 s.4)" {
	three_messages
	dialog <<-'E'
		T:
		C: NOOP
		S: -ERR Log in first
		A: joe secret
		S: +OK Maildrop has 3 messages (124 octets)
		C: QUIT
		S~ \+OK .*
	E
	[ "$(grep -c 'login .*method=APOP tls=1.3 ' "$LOG")" = 2 ]
}

@test "a whole session over STLS and over TLS: lists, messages, deletion, UPDATE" {
	three_messages
	over_tls
	after() {
		[ "$(messages_left)" = 2 ] && [ -e "$MAILDIR/cur/1600000003.M1P1.host:2," ]
	}
	session <<-'E'
		C: STAT
		S: +OK 3 124
		C: LIST
		S~ \+OK .*
		S: 1 65
		S: 2 36
		S: 3 23
		S: .
		C: RETR 1
		S: +OK 65 octets
		S: From: one@example.org
		S: Subject: one
		S:
		S: first line
		S: ..dot
		S: ...dots
		S: .
		C: TOP 2 1
		S~ \+OK .*
		S: Subject: two
		S:
		S: CR LF line
		S: .
		C: DELE 1
		S~ \+OK .*
		C: QUIT
		S: +OK Goodbye (2 messages left)
		S$
	E
	[ "$(grep -c 'login .*user=joe method=PASS tls=1.3 messages=3' "$LOG")" = 4 ]
	[ "$(grep -c 'end .*user=joe reason=quit fetched=1 .*deleted=1' "$LOG")" = 4 ]
}

@test "STLS: with anything behind it in the same packet the session ends unanswered (RFC 2595 s.4)" {
	start_listening
	python3 - "$PORT" <<-'E'
		import socket, sys
		def say(what):
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		    text = s.makefile("rb")
		    assert text.readline().startswith(b"+OK ")
		    s.sendall(what)
		    return text.read()
		for behind in (b"x", b"\n", b"\r\n", b"CAPA\r\n", b"USER joe\r\nPASS secret\r\n", b"STLS\r\n", b"\x16\x03\x01\x02"):
		    assert say(b"STLS\r\n" + behind) == b"", behind
		# What came before it is answered.
		text = say(b"CAPA\r\nSTLS\r\nCAPA\r\n")
		assert text.count(b"+OK") == 1 and text.endswith(b"\r\n.\r\n"), text
	E
	wait_for eval '[ "$(grep -c "end address=127.0.0.1 user=- reason=injection " "$T/listening")" = 8 ]'
	run ! grep -q 'tls-failed' "$T/listening"
}

@test "STLS: what was said before it is forgotten (RFC 2595 s.2.4)" {
	dialog <<-'E'
		C: USER joe
		S~ \+OK .*
		T:
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

@test "STLS: failed logins before it count towards the three" {
	dialog <<-'E'
		A: joe wrong
		S~ -ERR \[AUTH\] .*
		C: USER joe
		S~ \+OK .*
		C: PASS wrong
		S~ -ERR \[AUTH\] .*
		T:
		A: joe wrong
		S~ -ERR \[AUTH\] .*
		S$
	E
	[ "$(grep -c 'end .*reason=denied' "$LOG")" = 2 ]
}

@test "STLS where the certificate has gone since: -ERR [SYS/PERM], and the session goes on" {
	configure "tls_certificate $T/none.pem" "tls_key $T/none.key"
	talk <<-'E'
		C: STLS
		S: -ERR [SYS/PERM] TLS can't be used, tell the administrator
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	grep -q "tls_certificate $T/none.pem: No such file or directory" "$LOG"
}

@test "plaintext never: USER appears with STLS, what refuses it before that names TLS" {
	configure_tls rsa -- 'plaintext never'
	dialog <<-'E'
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: SASL SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5
		S: RESP-CODES
		S: PIPELINING
		S: EXPIRE NEVER
		S: UIDL
		S~ IMPLEMENTATION .*
		S: STLS
		S: AUTH-RESP-CODE
		S: .
		C: USER joe
		S: -ERR No password is taken without TLS here: use STLS, or the port for TLS
		T:
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: USER
		S~ SASL .*PLAIN LOGIN
		S: RESP-CODES
		S: PIPELINING
		S: EXPIRE NEVER
		S: UIDL
		S~ IMPLEMENTATION .*
		S: AUTH-RESP-CODE
		S: .
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	MODES=('--tls')
	session <<<'C: QUIT'
}

@test "plaintext local and always: USER over TLS and, from the loopback, without" {
	local choice
	for choice in local always; do
		configure_tls rsa -- "plaintext $choice"
		MODES=('' '--pipelined --pipes' '--stls' '--tls')
		session <<<'C: QUIT'
	done
}

# Handshakes that fail.

@test "garbage and plain text on the port for TLS: no word, tls-failed, reason=tls" {
	start_listening_tls
	python3 - "$TLS_PORT" <<-'E'
		import socket, sys
		for said in (b"CAPA\r\n", b"USER joe\r\nPASS secret\r\n" * 50, bytes(range(1, 250)), b"\x00" * 100):
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		    s.sendall(said)
		    data = b""
		    try:
		        while part := s.recv(4096):
		            data += part
		    except ConnectionResetError:
		        pass
		    # An alert is no answer.
		    assert len(data) <= 7 and (not data or data[0] == 21), (said, data)
	E
	wait_for eval '[ "$(grep -c "tls-failed address=127.0.0.1: [a-z]" "$T/listening")" = 4 ]'
	wait_for eval '[ "$(grep -c "end address=127.0.0.1 user=- reason=tls " "$T/listening")" = 4 ]'
	run ! grep -qi 'pass\|user joe' "$T/listening"
}

@test "plain text instead of a handshake after STLS: tls-failed, reason=tls" {
	start_listening
	connect
	printf 'STLS\r\n' >&9
	read -r -u 9 line
	[[ $line == '+OK Begin TLS'* ]]
	printf 'USER joe\r\nPASS secret\r\n' >&9
	run cat <&9
	exec 9>&-
	[ -z "$output" ]
	wait_for grep -q 'end address=127.0.0.1 user=- reason=tls ' "$T/listening"
	grep -q 'tls-failed address=127.0.0.1: ' "$T/listening"
}

@test "a client that goes within the handshake: tls-failed says so" {
	start_listening_tls
	is_connectable "$TLS_PORT"
	wait_for grep -q 'tls-failed address=127.0.0.1: the client closed the connection$' "$T/listening"
	wait_for grep -q 'end address=127.0.0.1 user=- reason=tls ' "$T/listening"
}

@test "TLS 1.0 and 1.1 are refused, whatever is offered with them (RFC 8996)" {
	start_listening_tls
	local version
	for version in -tls1 -tls1_1; do
		fails 'unsupported protocol' "$TLS_PORT" "$version" -cipher DEFAULT@SECLEVEL=0
		fails 'unsupported protocol' "$PORT" -starttls pop3 "$version" -cipher DEFAULT@SECLEVEL=0
	done
}

@test "tls_min 1.3 refuses TLS 1.2, the default does not" {
	start_listening_tls
	s_client "$TLS_PORT" -tls1_2
	shows '^New, TLSv1.2, Cipher is'
	s_client "$PORT" -starttls pop3 -tls1_2
	shows '^New, TLSv1.2, Cipher is'
	stop_listening
	configure_tls rsa ec -- 'tls_min 1.3'
	start_listening_tls
	fails 'unsupported protocol' "$TLS_PORT" -tls1_2
	fails 'unsupported protocol' "$PORT" -starttls pop3 -tls1_2
	s_client "$TLS_PORT" -tls1_3
	shows '^New, TLSv1.3, Cipher is'
}

@test "TLS 1.2: ECDHE with AEAD, and nothing else (RFC 9325 s.4.2)" {
	start_listening_tls
	local cipher
	for cipher in ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256 \
		ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305; do
		s_client "$TLS_PORT" -tls1_2 -cipher "$cipher"
		shows "^New, TLSv1.2, Cipher is $cipher\$"
	done
	# All others that there are, at once.
	fails 'no shared cipher' "$TLS_PORT" -tls1_2 \
		-cipher 'ALL:COMPLEMENTOFALL:!ECDHE+AESGCM:!ECDHE+CHACHA20:@SECLEVEL=0'
	# None of these is by an own mistake of the line above.
	for cipher in AES128-GCM-SHA256 DHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-SHA ECDHE-ECDSA-AES256-CCM; do
		fails 'no shared cipher' "$TLS_PORT" -tls1_2 -cipher "$cipher:@SECLEVEL=0"
	done
}

@test "a client that knows no group of ours, no signature of ours: refused" {
	start_listening_tls
	fails 'no suitable key share' "$TLS_PORT" -tls1_3 -groups X448
	fails 'no suitable signature algorithm' "$TLS_PORT" -tls1_3 -sigalgs ed25519
	# A group that has to be asked for, with a HelloRetryRequest (RFC 8446 s.4.1.4).
	s_client "$TLS_PORT" -tls1_3 -groups X448:P-384
	shows '^New, TLSv1.3'
}

@test "ALPN: pop3 is selected, none is fine, others only are refused (RFC 7301 s.3.2)" {
	start_listening_tls
	local port
	for port in "$TLS_PORT" "$PORT -starttls pop3"; do
		# shellcheck disable=SC2086
		s_client $port -alpn imap,pop3,http/1.1
		shows '^ALPN protocol: pop3$'
		shows '\+OK Goodbye'
		# shellcheck disable=SC2086
		s_client $port
		shows '^No ALPN negotiated'
		shows '\+OK Goodbye'
		# shellcheck disable=SC2086
		fails 'no application protocol' $port -alpn imap,pop
	done
}

@test "a client that does not trust the certificate: its alert is in the log" {
	start_listening_tls
	fails 'tlsv1 alert unknown ca' "$TLS_PORT" -tls1_2 -CAfile "$PKI/foreign.pem" -verify_return_error
	fails 'tlsv1 alert unknown ca' "$TLS_PORT" -tls1_3 -CAfile "$PKI/foreign.pem" -verify_return_error
	fails 'tlsv1 alert unknown ca' "$PORT" -starttls pop3 -CAfile "$PKI/foreign.pem" -verify_return_error
}

# bats test_tags=clock
@test "auth_timeout: a client that is silent in the handshake is ended without a word" {
	configure_tls rsa -- 'auth_timeout 60'
	LD_PRELOAD=$FAKETIME_LIB FAKETIME='+0 x30' start_listening_tls
	exec 9<>"/dev/tcp/127.0.0.1/$TLS_PORT"
	run cat <&9
	exec 9>&-
	[ -z "$output" ]
	connect
	printf 'STLS\r\n' >&9
	run cat <&9
	exec 9>&-
	[[ $output == '+OK Begin TLS negotiation'* ]] && [ "${#lines[@]}" = 1 ]
	wait_for eval '[ "$(grep -cE "user=- reason=timeout .*seconds=([5-9]|1[0-4])[0-9]\\." "$T/listening")" = 2 ]' || fail "$(cat "$T/listening")"
}

# bats test_tags=clock
@test "auth_timeout: a handshake in single octets is no help" {
	configure_tls rsa -- 'auth_timeout 60'
	LD_PRELOAD=$FAKETIME_LIB FAKETIME='+0 x30' start_listening_tls
	python3 - "$TLS_PORT" <<-'E'
		import socket, ssl, sys, time
		came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		tls = context.wrap_bio(came, goes, server_hostname="pop.example.org")
		try:
		    tls.do_handshake()
		except ssl.SSLWantReadError:
		    pass
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		try:
		    for octet in goes.read():
		        s.sendall(bytes([octet]))
		        time.sleep(0.05)
		    sys.exit("it was let through")
		except (BrokenPipeError, ConnectionResetError):
		    pass
	E
	wait_for grep -qE 'user=- reason=timeout .*seconds=([5-9]|1[0-4])[0-9]\.' "$T/listening" || fail "$(cat "$T/listening")"
}

@test "no renegotiation in TLS 1.2: it is refused, and no compression (RFC 9325 s.3.3, s.3.5)" {
	start_listening_tls
	mkfifo "$T/fifo"
	timeout 60 openssl s_client -tls1_2 -connect "127.0.0.1:$TLS_PORT" <"$T/fifo" >"$T/client" 2>&1 3>&- &
	exec 9>"$T/fifo"
	wait_for grep -q '^+OK' "$T/client"
	echo R >&9
	wait_for grep -q 'no renegotiation' "$T/client"
	exec 9>&-
	grep -q '^Compression: NONE' "$T/client"
	# (Secure renegotiation, RFC 5746, is something else, and is announced.)
	grep -q '^Secure Renegotiation IS supported' "$T/client"
	s_client "$TLS_PORT" -tls1_2 -comp
	shows '^Compression: NONE'
}

@test "a handshake, and lines, in single octets are put together" {
	start_listening_tls
	python3 - "$TLS_PORT" <<-'E'
		import socket, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
		tls = context.wrap_bio(came, goes)
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		def run(call, *values):
		    while True:
		        try:
		            return call(*values)
		        except ssl.SSLWantReadError:
		            for octet in goes.read():
		                s.sendall(bytes([octet]))
		            came.write(s.recv(1))
		run(tls.do_handshake)
		tls.write(b"CAPA\r\nQUIT\r\n")
		text = b""
		while not text.endswith(b"Goodbye\r\n"):
		    text += run(tls.read, 100)
		assert text.startswith(b"+OK") and b"\r\nUIDL\r\n" in text
	E
}

@test "key updates of TLS 1.3 are followed (RFC 8446 s.4.6.3)" {
	start_listening_tls
	mkfifo "$T/fifo"
	timeout 60 openssl s_client -tls1_3 -connect "127.0.0.1:$TLS_PORT" <"$T/fifo" >"$T/client" 2>&1 3>&- &
	exec 9>"$T/fifo"
	wait_for grep -q '^+OK' "$T/client"
	local letter
	# `k` is the client's own key, `K` asks for the server's too.
	for letter in k K K; do
		echo "$letter" >&9
		wait_for grep -q KEYUPDATE "$T/client"
		: >"$T/client"
		printf 'UIDL\r\n' >&9
		wait_for grep -aq 'ERR Log in first' "$T/client"
	done
	exec 9>&-
}

# Certificates.

# shown SUBJECT ARGUMENT...: the certificate that a client gets to see is of this name and kind.
shown() {
	local name=$1 kind=$2
	shift 2
	s_client "$TLS_PORT" "$@"
	[[ $(sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' "$T/client" | openssl x509 -noout -subject) == *"CN = $name" ]] ||
		fail "$name $kind: $(cat "$T/client")"
	shows "^Peer signature type: $kind"
}

@test "certificates by name: RSA and ECDSA side by side, wildcards, the first for all else (RFC 6066 s.3)" {
	configure_tls rsa ec net-rsa wild net-ec
	start_listening_tls
	local version name
	for version in -tls1_2 -tls1_3; do
		for name in '-noservername' '-servername pop.example.org' '-servername nobody.example' \
			'-servername example.com' '-servername a.b.example.com'; do
			# shellcheck disable=SC2086
			shown pop.example.org RSA $version $name -sigalgs RSA-PSS+SHA256:RSA+SHA256
			# shellcheck disable=SC2086
			shown pop.example.org ECDSA $version $name -sigalgs ECDSA+SHA256
		done
		shown pop.example.net RSA "$version" -servername pop.example.net -sigalgs RSA-PSS+SHA256:RSA+SHA256
		shown pop.example.net ECDSA "$version" -servername pop.example.net -sigalgs ECDSA+SHA256
		shown pop.example.net ECDSA "$version" -servername POP.Example.NET -sigalgs ECDSA+SHA256
		shown wild ECDSA "$version" -servername any.example.com
		# A client that can do both.
		shown pop.example.org ECDSA "$version" -servername pop.example.org
	done
	# Not another name's key where there is none of the kind.
	fails 'no suitable signature algorithm' "$TLS_PORT" -tls1_3 -servername any.example.com -sigalgs RSA-PSS+SHA256
}

@test "by name after STLS too" {
	configure_tls rsa net-ec
	start_listening_tls
	TLS_PORT=$PORT shown pop.example.net ECDSA -starttls pop3 -servername pop.example.net
	TLS_PORT=$PORT shown pop.example.org RSA -starttls pop3 -servername pop.example.org
}

@test "the first certificate is the default, whichever it is" {
	configure_tls wild rsa ec
	start_listening_tls
	shown wild ECDSA -noservername
	shown pop.example.org RSA -servername localhost -sigalgs RSA-PSS+SHA256
	stop_listening
	# One of another kind that has other names is no part of it.
	configure_tls rsa wild
	start_listening_tls
	shown pop.example.org RSA -noservername
	shown pop.example.org RSA -servername nobody.example
}

@test "of two certificates of one kind that have the name the first is shown" {
	configure_tls ec expired
	start_listening_tls
	s_client "$TLS_PORT"
	shows '^ *Verify return code: 0 \(ok\)'
	stop_listening
	configure_tls expired ec
	start_listening_tls
	s_client "$TLS_PORT"
	shows '^ *Verify return code: 10 \(certificate has expired\)'
}

@test "chains are sent whole, and verify by the root alone" {
	start_listening_tls
	local kind
	for kind in RSA-PSS+SHA256 ECDSA+SHA256; do
		s_client "$TLS_PORT" -showcerts -verify_return_error -verify_hostname localhost -sigalgs "$kind"
		[ "$(grep -c 'BEGIN CERTIFICATE' "$T/client")" = 2 ]
		shows '^ *Verify return code: 0 \(ok\)'
		s_client "$PORT" -starttls pop3 -showcerts -verify_return_error -sigalgs "$kind"
		[ "$(grep -c 'BEGIN CERTIFICATE' "$T/client")" = 2 ]
	done
}

@test "tls_certificate without tls_key: the key is in the same file" {
	cat "$PKI/rsa.pem" "$PKI/rsa.key" >"$T/both.pem"
	cat "$PKI/ec.key" "$PKI/ec.pem" >"$T/both-ec.pem"
	configure "tls_certificate $T/both.pem" "tls_certificate $T/both-ec.pem"
	start_listening_tls
	shown pop.example.org RSA -sigalgs RSA-PSS+SHA256
	shown pop.example.org ECDSA -sigalgs ECDSA+SHA256
}

@test "keys: RSA of 2048 and 4096 bits, P-256, P-384 and P-521, in both forms of PEM" {
	local kind
	for kind in '-algorithm RSA -pkeyopt rsa_keygen_bits:4096' \
		'-algorithm EC -pkeyopt ec_paramgen_curve:P-384' '-algorithm EC -pkeyopt ec_paramgen_curve:P-521'; do
		# shellcheck disable=SC2086
		openssl genpkey $kind -out "$T/key" 2>/dev/null
		openssl req -x509 -key "$T/key" -subj /CN=any -days 30 -out "$T/pem"
		openssl pkey -in "$T/key" -traditional -out "$T/old.key"
		configure "tls_certificate $T/pem" "tls_key $T/old.key"
		start_listening_tls
		s_client "$TLS_PORT" -tls1_2
		shows '\+OK Goodbye'
		s_client "$TLS_PORT" -tls1_3
		shows '\+OK Goodbye'
		stop_listening
	done
}

@test "RSA signatures: PSS and, in TLS 1.2, PKCS 1, with all digests" {
	configure_tls rsa
	start_listening_tls
	local digest
	for digest in SHA256 SHA384 SHA512; do
		s_client "$TLS_PORT" -tls1_2 -sigalgs "RSA+$digest"
		shows '\+OK Goodbye'
		s_client "$TLS_PORT" -tls1_2 -sigalgs "RSA-PSS+$digest"
		shows '\+OK Goodbye'
		s_client "$TLS_PORT" -tls1_3 -sigalgs "RSA-PSS+$digest"
		shows '\+OK Goodbye'
	done
}

# Client certificates.

# subject NAME ARGUMENT...: what the log says of a client with this certificate; it is served.
subject_of() {
	local name=$1 lines
	shift
	lines=$(wc -l <"$T/listening")
	s_client "$@" -cert "$PKI/$name.pem" -key "$PKI/$name.key"
	shows '\+OK Goodbye'
	quit() { tail -n "+$((lines + 1))" "$T/listening" | grep -q 'end .* reason=quit '; }
	wait_for quit
	tail -n "+$((lines + 1))" "$T/listening" | sed -n 's/.*certificate address=127.0.0.1 subject=//p'
}

@test "client certificates: the log has the subject of one that tls_client_ca has signed, resumed or not" {
	configure_tls rsa ec -- "tls_client_ca $PKI/ca.pem"
	start_listening_tls
	local version port
	for version in -tls1_2 -tls1_3; do
		for port in "$TLS_PORT" "$PORT -starttls pop3"; do
			# shellcheck disable=SC2086
			[ "$(subject_of joe $port $version -sess_out "$T/session")" = 'CN\x3Djoe,O\x3Dpop3d\x20tests' ] ||
				fail "$(cat "$T/listening")"
			shows '^Acceptable client certificate CA names'
			shows '^O = pop3d tests, CN = root'
			# shellcheck disable=SC2086
			[ "$(subject_of joe $port $version -sess_in "$T/session")" = 'CN\x3Djoe,O\x3Dpop3d\x20tests' ]
			shows '^Reused, '
		done
	done
}

@test "client certificates: foreign, expired or none: the session goes on, the log has no subject" {
	configure_tls rsa -- "tls_client_ca $PKI/ca.pem"
	start_listening_tls
	local version name
	for version in -tls1_2 -tls1_3; do
		for name in foreign late; do
			[ -z "$(subject_of "$name" "$TLS_PORT" "$version" -sess_out "$T/session")" ]
			[ -z "$(subject_of "$name" "$TLS_PORT" "$version" -sess_in "$T/session")" ]
			shows '^Reused, '
			[ -z "$(subject_of "$name" "$PORT" -starttls pop3 "$version")" ]
		done
		s_client "$TLS_PORT" "$version"
		shows '\+OK Goodbye'
	done
	run ! grep -q ' certificate ' "$T/listening"
}

@test "client certificates: under tcpserver, where nothing has asked for the time before" {
	configure_tls rsa -- "tls_client_ca $PKI/ca.pem"
	TLS_PORT=$(free_port)
	PORT=$TLS_PORT super tcpserver -HRl0 127.0.0.1 "$TLS_PORT" "$POP3D" -T -f "$CONF"
	local version
	for version in -tls1_2 -tls1_3; do
		s_client "$TLS_PORT" "$version" -cert "$PKI/joe.pem" -key "$PKI/joe.key"
		shows '\+OK Goodbye'
	done
	[ "$(grep -c 'certificate address=127.0.0.1 subject=' "$T/super")" = 2 ] || fail "$(cat "$T/super")"
}

@test "client certificates: none is asked for without tls_client_ca" {
	start_listening_tls
	[ -z "$(subject_of joe "$TLS_PORT")" ]
	shows '^No client certificate CA names sent'
}

@test "client certificates: the authority has left tls_client_ca: no subject any more, resumed or not" {
	local version
	for version in -tls1_2 -tls1_3; do
		configure_tls rsa -- "tls_client_ca $PKI/ca.pem"
		start_listening_tls
		[ -n "$(subject_of joe "$TLS_PORT" "$version" -sess_out "$T/session")" ]
		configure_tls rsa -- "tls_client_ca $PKI/foreign.pem"
		reload 'configuration reloaded'
		[ -z "$(subject_of joe "$TLS_PORT" "$version")" ]
		[ -z "$(subject_of joe "$TLS_PORT" "$version" -sess_in "$T/session")" ]
		stop_listening
	done
}

# Resumption, each connection being a process of its own.

# resumes SAYS ARGUMENT...: what a second connection with the first one's ticket is: Reused or New.
resumes() {
	local says=$1
	shift
	s_client "$@" -sess_out "$T/session"
	shows '^New, '
	s_client "$@" -sess_in "$T/session"
	shows "^$says, "
	shows '\+OK Goodbye'
}

resume_all() {
	local port version
	for port in "$@"; do
		for version in -tls1_2 -tls1_3; do
			# shellcheck disable=SC2086
			resumes Reused $port $version
		done
	done
}

@test "resumption under -l, over STLS and TLS, TLS 1.2 and 1.3 (RFC 5077, RFC 8446 s.2.2)" {
	start_listening_tls
	resume_all "$PORT -starttls pop3" "$TLS_PORT"
	# From one port to the other.
	s_client "$TLS_PORT" -sess_out "$T/session"
	s_client "$PORT" -starttls pop3 -sess_in "$T/session"
	shows '^Reused, '
}

@test "resumption under tcpserver, an execution for each connection" {
	PORT=$(free_port)
	super tcpserver -HRl0 127.0.0.1 "$PORT" "$POP3D" -f "$CONF"
	TLS_PORT=$(free_port)
	PORT=$TLS_PORT super tcpserver -HRl0 127.0.0.1 "$TLS_PORT" "$POP3D" -T -f "$CONF"
	resume_all "$PORT -starttls pop3" "$TLS_PORT"
}

@test "resumption under systemd-socket-activate --accept; Accept=no with FileDescriptorName=pop3s" {
	PORT=$(free_port)
	super systemd-socket-activate --accept -l "127.0.0.1:$PORT" "$POP3D" -f "$CONF"
	resume_all "$PORT -starttls pop3"
	PORT=$(free_port)
	TLS_PORT=$(free_port)
	super systemd-socket-activate --fdname=plain:pop3s -l "127.0.0.1:$PORT" -l "127.0.0.1:$TLS_PORT" \
		"$POP3D" -f "$CONF"
	resume_all "$PORT -starttls pop3" "$TLS_PORT"
}

@test "a TLS 1.3 ticket is good for one use: each resumption brings the next (RFC 8446 C.4)" {
	start_listening_tls
	s_client "$TLS_PORT" -tls1_3 -sess_out "$T/session"
	for _ in 1 2 3; do
		cp "$T/session" "$T/session.before"
		s_client "$TLS_PORT" -tls1_3 -sess_in "$T/session.before" -sess_out "$T/session"
		shows '^Reused, TLSv1.3'
		shows 'Post-Handshake New Session Ticket arrived'
	done
}

@test "gnutls-cli resumes, over STLS and TLS, TLS 1.2 and 1.3" {
	start_listening_tls
	local port priority
	for port in "$TLS_PORT" "$PORT --starttls-proto=pop3"; do
		for priority in NORMAL NORMAL:-VERS-TLS1.3; do
			# shellcheck disable=SC2086
			printf 'QUIT\r\n' | timeout 60 gnutls-cli --resume --waitresumption --priority "$priority" \
				--x509cafile "$PKI/ca.pem" --port $port localhost >"$T/client" 2>&1
			shows 'This is a resumed session'
			shows '^\+OK Goodbye'
		done
	done
}

# The name of the last ticket that the client has got: four octets are the day.
ticket_name() {
	sed -n 's/.*0000 - \([0-9a-f -]*[0-9a-f]\) .*/\1/p' "$T/client" | tail -n 1
}

# bats test_tags=clock
@test "a ticket of yesterday is accepted and replaced, one of today is accepted" {
	local version port old
	for version in -tls1_2 -tls1_3; do
		start_at '2030-01-01 20:00:00'
		s_client "$TLS_PORT" "$version" -sess_out "$T/session"
		old=$(ticket_name)
		# Day 21915 since 1970-01-01.
		[[ $old == '00 00 55 9b '* ]] || fail "$old"
		s_client "$TLS_PORT" "$version" -sess_in "$T/session"
		shows '^Reused, '
		[ "$version" = -tls1_3 ] || [ "$(ticket_name)" = "$old" ] || fail "$old, $(ticket_name)"
		start_at '2030-01-02 04:00:00'
		for port in "$TLS_PORT" "$PORT -starttls pop3"; do
			# shellcheck disable=SC2086
			s_client $port "$version" -sess_in "$T/session"
			shows '^Reused, '
			[[ $(ticket_name) == '00 00 55 9c '* ]] || fail "$(ticket_name)"
		done
	done
}

# bats test_tags=clock
@test "a ticket of the day before yesterday, or of tomorrow, is not accepted; the handshake is a full one" {
	local version when
	for version in -tls1_2 -tls1_3; do
		for when in '2030-01-03 04:00:00' '2030-01-02 21:00:00' '2029-12-31 20:00:00'; do
			start_at '2030-01-01 20:00:00'
			s_client "$TLS_PORT" "$version" -sess_out "$T/session"
			start_at "$when"
			s_client "$TLS_PORT" "$version" -sess_in "$T/session"
			shows '^New, '
			shows '\+OK Goodbye'
		done
	done
}

@test "a ticket is no login: a resumed session has to log in" {
	start_listening_tls
	local version
	for version in -tls1_2 -tls1_3; do
		SAID='USER joe\r\nPASS secret\r\nNOOP\r\nQUIT\r\n' s_client "$TLS_PORT" "$version" -sess_out "$T/session"
		shows '^\+OK Nothing done'
		SAID='NOOP\r\nPASS secret\r\nQUIT\r\n' s_client "$TLS_PORT" "$version" -sess_in "$T/session"
		shows '^Reused, '
		shows '^-ERR Log in first'
		shows '^-ERR Send USER first'
		run ! grep -q 'Nothing done' "$T/client"
	done
}

@test "with another key tickets are not accepted, and the handshake is a full one" {
	local version
	for version in -tls1_2 -tls1_3; do
		configure_tls rsa ec
		start_listening_tls
		s_client "$TLS_PORT" "$version" -sess_out "$T/session"
		s_client "$TLS_PORT" "$version" -sess_in "$T/session"
		shows '^Reused, '
		configure_tls net-rsa ec
		reload 'configuration reloaded'
		s_client "$TLS_PORT" "$version" -sess_in "$T/session"
		shows '^New, '
		shows '\+OK Goodbye'
		stop_listening
	done
}

@test "a ticket that was tampered with is not accepted, and the handshake is a full one" {
	start_listening_tls
	python3 - "$TLS_PORT" "$T/session" <<-'E'
		import subprocess, sys, re
		port, file = sys.argv[1:]
		def client(*arguments):
		    return subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:" + port, "-ign_eof", *arguments],
		                          input=b"QUIT\r\n", capture_output=True, timeout=60).stdout
		for version in "-tls1_2", "-tls1_3":
		    client(version, "-sess_out", file)
		    der = subprocess.run(["openssl", "sess_id", "-in", file, "-outform", "DER"], capture_output=True).stdout
		    # The ticket begins with the day, and is the longest of the octet strings.
		    ticket = re.search(b"\x04\x81(.)\x00\x00", der, re.S)
		    start, length = ticket.end() - 2, ticket.group(1)[0]
		    for at in (0, 3, 5, 15, 16, 31, 32, 60, length - 1):
		        bad = bytearray(der)
		        bad[start + at] ^= 1
		        subprocess.run(["openssl", "sess_id", "-inform", "DER", "-out", file], input=bad, capture_output=True, check=True)
		        said = client(version, "-sess_in", file)
		        assert b"\nNew, TLS" in said and b"+OK Goodbye" in said, (version, at, said)
		    subprocess.run(["openssl", "sess_id", "-inform", "DER", "-out", file], input=der, capture_output=True, check=True)
		    assert b"\nReused, TLS" in client(version, "-sess_in", file), version
	E
}

@test "resumed TLS 1.3 handshakes have a key share of their own: psk_dhe_ke only (RFC 8446 s.4.2.9)" {
	start_listening_tls
	resumes Reused "$TLS_PORT" -tls1_3
	shows '^Server Temp Key: X25519'
	resumes Reused "$TLS_PORT" -tls1_3 -allow_no_dhe_kex
	shows '^Server Temp Key: X25519'
}

@test "no early data is taken (RFC 8446 s.2.3)" {
	start_listening_tls
	printf 'USER joe\r\n' >"$T/early"
	s_client "$TLS_PORT" -tls1_3 -sess_out "$T/session"
	shows 'Max Early Data: 0'
	s_client "$TLS_PORT" -tls1_3 -sess_in "$T/session" -early_data "$T/early"
	shows '^Early data was (not sent|rejected)'
}

# SIGHUP, and settings that can't be had.

@test "SIGHUP: new connections get the new certificate, an old session goes on" {
	cp "$PKI/rsa.pem" "$T/pem"
	cp "$PKI/rsa.key" "$T/key"
	configure "tls_certificate $T/pem" "tls_key $T/key"
	three_messages
	start_listening_tls
	mkfifo "$T/fifo"
	timeout 60 openssl s_client -quiet -connect "127.0.0.1:$TLS_PORT" <"$T/fifo" >"$T/old" 2>&1 3>&- &
	exec 9>"$T/fifo"
	connect_plain() { exec 8<>"/dev/tcp/127.0.0.1/$PORT"; read -r -u 8 _; }
	connect_plain
	wait_for grep -q '^+OK' "$T/old"
	cp "$PKI/net-ec.pem" "$T/pem"
	cp "$PKI/net-ec.key" "$T/key"
	reload 'configuration reloaded'
	shown pop.example.net ECDSA
	printf 'USER joe\r\nPASS secret\r\nSTAT\r\nQUIT\r\n' >&9
	exec 9>&-
	wait_for grep -q '^+OK Goodbye' "$T/old"
	grep -q '^+OK 3 124' "$T/old"
	printf 'QUIT\r\n' >&8
	grep -q '^+OK Goodbye' <&8
	exec 8>&-
}

@test "SIGHUP: a broken certificate or key keeps the old ones, and the log tells why" {
	cp "$PKI/rsa.pem" "$T/pem"
	cp "$PKI/rsa.key" "$T/key"
	configure "tls_certificate $T/pem" "tls_key $T/key"
	start_listening_tls
	cp "$PKI/net-rsa.key" "$T/key"
	reload "tls_key $T/key: the key is not the one of the certificate"
	wait_for grep -q 'configuration not reloaded' "$T/listening"
	shown pop.example.org RSA
	s_client "$PORT" -starttls pop3
	shows '\+OK Goodbye'
	rm "$T/key"
	reload "tls_key $T/key: No such file or directory"
	shown pop.example.org RSA
	cp "$PKI/rsa.key" "$T/key"
	: >"$T/pem"
	reload "tls_certificate $T/pem: "
	shown pop.example.org RSA
	configure
	reload 'listen: tls: there is no tls_certificate'
	shown pop.example.org RSA
	wait_for eval '[ "$(grep -c "configuration not reloaded" "$T/listening")" = 4 ]'
	run ! grep -q 'configuration reloaded' "$T/listening"
}

@test "SIGHUP: a broken certificate keeps the old one where there is only STLS" {
	cp "$PKI/rsa.pem" "$T/pem"
	configure "tls_certificate $T/pem" "tls_key $PKI/rsa.key"
	start_listening
	rm "$T/pem"
	reload "tls_certificate $T/pem: No such file or directory"
	wait_for grep -q 'configuration not reloaded' "$T/listening"
	s_client "$PORT" -starttls pop3
	shows '\+OK Goodbye'
}

@test "SIGHUP: tls_min and the certificates of more names hold for new connections" {
	configure_tls rsa
	start_listening_tls
	configure_tls rsa net-ec -- 'tls_min 1.3'
	reload 'configuration reloaded'
	shown pop.example.net ECDSA -servername pop.example.net
	fails 'unsupported protocol' "$TLS_PORT" -tls1_2
}

@test "a listener with a certificate that can't be loaded does not start, exit status 78" {
	configure "tls_certificate $T/none.pem"
	run -78 "$POP3D" -f "$CONF" -l 127.0.0.1:0
	[[ $output == *"tls_certificate $T/none.pem: No such file or directory"* ]]
}

@test "-T with a certificate that can't be loaded: the client gets no word, exit status 78" {
	configure "tls_certificate $T/none.pem"
	"$TESTS/talk" "$POP3D" -T -f "$CONF" <<<'S$' 2>>"$LOG" || true
	printf 'QUIT\r\n' >"$T/script"
	run -78 "$POP3D" -T -f "$CONF" <"$T/script"
	[[ $output != *+OK* ]] && [[ $output != *-ERR* ]]
	[[ $output == *"tls_certificate $T/none.pem: No such file or directory"* ]]
}

@test "too many connections: on the port for TLS without a word in plain text" {
	configure_tls rsa -- 'max_connections 1'
	start_listening_tls
	connect
	run cat <"/dev/tcp/127.0.0.1/$TLS_PORT"
	[ -z "$output" ]
	wait_for grep -q 'refused address=127.0.0.1 reason=max_connections' "$T/listening"
	exec 9>&-
}

# bats test_tags=calls
@test "a session in the clear does not load OpenSSL where there are certificates" {
	printf '%s\r\n' 'USER joe' 'PASS secret' QUIT |
		strace -f -o "$T/trace" -e trace=openat,open "$POP3D" -f "$CONF" >"$T/out" 2>>"$LOG"
	grep -q '^+OK Goodbye' "$T/out"
	run ! grep -E 'libssl\.so|libcrypto\.so|tls\.so|\.key"' "$T/trace"
	# The check can fail.
	printf 'STLS\r\n' | strace -f -o "$T/trace" -e trace=openat,open "$POP3D" -f "$CONF" >"$T/out" 2>>"$LOG"
	grep -q 'tls\.so' "$T/trace" && grep -q 'libssl' "$T/trace"
}

# Octets.

# Python: client(port, stls), a socket with TLS whose incoming records are counted: records() are
# the texts of each since the last call.
records_client() {
	cat >"$T/records.py" <<-'E'
		import socket, ssl
		class Client:
		    def __init__(self, port, stls=False, version=None):
		        self.socket = socket.create_connection(("127.0.0.1", port), 60)
		        self.raw = b""
		        if stls:
		            text = self.socket.makefile("rb", 0)
		            text.readline()
		            self.socket.sendall(b"STLS\r\n")
		            assert text.readline().startswith(b"+OK ")
		        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		        context.check_hostname = False
		        context.verify_mode = ssl.CERT_NONE
		        if version:
		            context.maximum_version = version
		        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
		        self.tls = context.wrap_bio(self.came, self.goes)
		        while True:
		            try:
		                self.tls.do_handshake()
		                break
		            except ssl.SSLWantReadError:
		                self.send_out()
		                self.came.write(self.record())
		        self.send_out()
		        if not stls:
		            self.until(b"\r\n")
		    def send_out(self):
		        self.socket.sendall(self.goes.read())
		    def record(self):
		        while len(self.raw) < 5 or len(self.raw) < 5 + int.from_bytes(self.raw[3:5], "big"):
		            data = self.socket.recv(65536)
		            assert data, "closed"
		            self.raw += data
		        length = 5 + int.from_bytes(self.raw[3:5], "big")
		        record, self.raw = self.raw[:length], self.raw[length:]
		        return record
		    def say(self, data):
		        self.tls.write(data)
		        self.send_out()
		    def text(self):
		        """The text of the next record that has one."""
		        while True:
		            self.came.write(self.record())
		            try:
		                return self.tls.read(65536)
		            except ssl.SSLWantReadError:
		                pass
		    def until(self, end):
		        """The texts of the records up to the one that ends so."""
		        texts = [self.text()]
		        while not b"".join(texts[-2:]).endswith(end):
		            texts.append(self.text())
		        return texts
		    def login(self):
		        for line in (b"USER joe\r\n", b"PASS secret\r\n"):
		            self.say(line)
		            assert self.until(b"\r\n")[0].startswith(b"+OK")
	E
}

@test "the end of a listing or message is in one TLS record with what stands before it" {
	records_client
	local size
	# 16,384 octets are the most that a record holds, 32,768 what pop3d reads at once, and some 66,000 and
	# 132,000 what it keeps to itself: reply lines and ends at all places around these.
	for size in {16330..16400} {32740..32775} {65450..65550} {114540..114590} {131030..131080}; do
		{
			head -c "$((size - 2))" /dev/zero | tr '\0' x | fold -b -w 998 | head -c "$((size - 2))"
			echo
		} >"$MAILDIR/cur/$size:2,"
	done
	own "$MAILDIR"
	start_listening_tls
	python3 - "$T" "$TLS_PORT" "$PORT" <<-'E'
		import sys
		sys.path.insert(0, sys.argv[1])
		from records import Client
		for port, stls in ((sys.argv[2], False), (sys.argv[3], True)):
		    client = Client(int(port), stls)
		    client.login()
		    client.say(b"STAT\r\n")
		    count = int(client.until(b"\r\n")[0].split()[1])
		    assert count > 200
		    for said in [b"CAPA", b"LIST", b"UIDL"] + [b"RETR %d" % (i + 1) for i in range(count)] + [b"TOP 1 0", b"TOP 2 3"]:
		        client.say(said + b"\r\n")
		        texts = client.until(b"\r\n.\r\n")
		        assert len(texts[-1]) > 5, (said, [len(t) for t in texts])
		    client.say(b"QUIT\r\n")
		    client.until(b"\r\n")
	E
}

# bats test_tags=large
@test "messages of 3 and of 100 MiB arrive whole, TLS 1.2 and 1.3, STLS too (SHA-256)" {
	head -c 2250000 /dev/urandom | base64 -w 76 | put cur 1:2,
	{ head -c 1000000 /dev/urandom | base64 -w 70; head -c 103000000 /dev/zero | tr '\0' x | fold -b -w 900; echo; } | put cur 2:2,
	start_listening_tls
	python3 - "$TLS_PORT" "$PORT" "$MAILDIR" <<-'E'
		import hashlib, poplib, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		def fetch(client, number):
		    digest = hashlib.sha256()
		    client._putcmd("RETR %d" % number)
		    assert client._getresp().startswith(b"+OK")
		    while (line := client.file.readline()) != b".\r\n":
		        assert line, "cut off"
		        line = line[1:] if line.startswith(b".") else line
		        digest.update(line[:-2] + b"\n")
		    return digest.hexdigest()
		for number in 1, 2:
		    with open(f"{sys.argv[3]}/cur/{number}:2,", "rb") as file:
		        want = hashlib.sha256(file.read()).hexdigest()
		    for stls in False, True:
		        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
		            context.minimum_version = ssl.TLSVersion.TLSv1_2
		            context.maximum_version = version
		            if number == 2 and stls and version == ssl.TLSVersion.TLSv1_2:
		                continue
		            if stls:
		                client = poplib.POP3("127.0.0.1", int(sys.argv[2]), timeout=60)
		                client.stls(context)
		            else:
		                client = poplib.POP3_SSL("127.0.0.1", int(sys.argv[1]), timeout=60, context=context)
		            client.user("joe"), client.pass_("secret")
		            assert fetch(client, number) == want, (number, stls, version)
		            client.quit()
	E
}

# bats test_tags=calls
@test "of a large message, and of a listing, each TLS record but the last is full; several go out at once" {
	records_client
	head -c 8000000 /dev/urandom | base64 -w 76 | put cur 1:2,
	for n in {2..3000}; do printf x >"$MAILDIR/cur/$n.M1P1.host:2,"; done
	own "$MAILDIR"
	printf '#!/bin/sh\nexec strace -D -f -o %s -e trace=network %s "$@"\n' "$T/calls" "$POP3D" >"$T/traced"
	chmod +x "$T/traced"
	POP3D=$T/traced start_listening_tls
	python3 - "$T" "$TLS_PORT" <<-'E'
		import sys
		sys.path.insert(0, sys.argv[1])
		from records import Client
		client = Client(int(sys.argv[2]))
		client.login()
		for said, least in (b"RETR 1", 10_000_000), (b"UIDL", 60_000):
		    client.say(said + b"\r\n")
		    sizes = [len(t) for t in client.until(b"\r\n.\r\n")]
		    assert sum(sizes) > least and all(s == 16384 for s in sizes[:-1]), (said, sizes)
	E
	local sent
	sent=$(awk '/send(to)?\(/ && $NF > 16384 { n++; octets += $NF } END { print n, octets }' "$T/calls")
	echo "$sent"
	[ "${sent#* }" -gt 10000000 ]
	[ "${sent% *}" -lt $((${sent#* } / 40000)) ]
}

@test "ten thousand pipelined NOOPs over TLS, in records of all sizes" {
	records_client
	start_listening_tls
	python3 - "$T" "$TLS_PORT" "$PORT" <<-'E'
		import sys, threading
		sys.path.insert(0, sys.argv[1])
		from records import Client
		said = b"USER joe\r\nPASS secret\r\n" + b"NOOP\r\n" * 10000 + b"QUIT\r\n"
		for port, stls, size in ((2, False, len(said)), (2, False, 4097), (3, True, len(said)), (3, True, 7)):
		    client = Client(int(sys.argv[port]), stls)
		    for i in range(0, len(said), size):
		        client.tls.write(said[i:i + size])
		    sender = threading.Thread(target=client.send_out)
		    sender.start()
		    data = b"".join(client.until(b"+OK Goodbye (maildrop empty)\r\n"))
		    sender.join()
		    assert data.count(b"\r\n") == 10000 + 3 and data.count(b"+OK Nothing done\r\n") == 10000, (port, size)
	E
}

@test "a client that reads late is served all the same, over TLS" {
	head -c 5000 /dev/zero | tr '\0' x | put cur 1:2,
	start_listening_tls
	python3 - "$TLS_PORT" <<-'E'
		import socket, ssl, sys, threading, time
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60))
		said = b"USER joe\r\nPASS secret\r\n" + b"RETR 1\r\n" * 4000 + b"QUIT\r\n"
		s.sendall(said)
		time.sleep(1)
		size = 0
		while part := s.recv(1 << 16):
		    size += len(part)
		assert size > 4000 * 5000, size
	E
	wait_for grep -q 'end .*reason=quit fetched=4000 ' "$T/listening"
}

# bats test_tags=clock
@test "idle_timeout: a client that stops reading is ended as stalled, one that is silent as timeout, over TLS" {
	head -c 30000000 /dev/zero | tr '\0' x | fold -b -w 900 | put cur 1:2,
	LD_PRELOAD=$FAKETIME_LIB FAKETIME='+0 x100' start_listening_tls
	cat >"$T/client.py" <<-'E'
		import socket, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60))
		s.sendall(b"USER joe\r\nPASS secret\r\nNOOP\r\n")
		while s.recv(65536):
		    pass
		s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60))
		s.sendall(b"USER joe\r\nPASS secret\r\nRETR 1\r\n")
		sys.stdin.readline()
	E
	mkfifo "$T/fifo"
	python3 "$T/client.py" "$TLS_PORT" <"$T/fifo" 3>&- &
	exec 9>"$T/fifo"
	wait_for grep -qE 'user=joe reason=stalled .*seconds=[5-9][0-9][0-9]\.' "$T/listening"
	exec 9>&-
	wait_for grep -qE 'user=joe reason=timeout .*seconds=[5-9][0-9][0-9]\.' "$T/listening"
}

# bats test_tags=clock
@test "idle_timeout: a client that takes its time over each piece, but reads, is not stalled, over TLS" {
	head -c 100000 /dev/zero | tr '\0' x | fold -b -w 900 | put cur 1:2,
	echo 'auth_timeout 6000' >>"$CONF"
	# Ten minutes are six seconds, in which it reads less than goes out together.
	python3 - "$POP3D" "$CONF" "$FAKETIME_LIB" 2>>"$LOG" <<-'E'
		import os, socket, ssl, subprocess, sys, time
		ours, theirs = socket.socketpair()
		theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
		ours.settimeout(60)
		server = subprocess.Popen([sys.argv[1], "-T", "-f", sys.argv[2]], stdin=theirs, stdout=theirs,
		                          env={**os.environ, "LD_PRELOAD": sys.argv[3], "FAKETIME": "+0 x100"})
		theirs.close()
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
		tls = context.wrap_bio(came, goes)
		def send_out():
		    if data := goes.read():
		        ours.sendall(data)
		def until(what, pause=0):
		    while True:
		        try:
		            if (result := what()) is not None:
		                send_out()
		                return result
		        except ssl.SSLWantReadError:
		            pass
		        send_out()
		        time.sleep(pause)
		        data = ours.recv(2048)
		        assert data, "closed"
		        came.write(data)
		until(lambda: tls.do_handshake() or True)
		for said, end, pause in ((b"", b"\r\n", 0), (b"USER joe\r\n", b"\r\n", 0), (b"PASS secret\r\n", b"\r\n", 0),
		                         (b"RETR 1\r\n", b"\r\n.\r\n", 0.25), (b"QUIT\r\n", b"\r\n", 0)):
		    if said:
		        tls.write(said)
		    text = b""
		    while not text.endswith(end):
		        text += until(lambda: tls.read(65536), pause)
		    assert text.startswith(b"+OK"), text[:80]
		    if pause:
		        assert len(text) > 100000
		assert server.wait() == 0
	E
	grep -q 'reason=quit fetched=1 ' "$LOG"
}

@test "half-close: what was said before it is answered, with and without a close_notify" {
	three_messages
	start_listening_tls
	python3 - "$TLS_PORT" "$T" <<-'E'
		import socket, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		for notify in False, True:
		    raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
		    tls = context.wrap_bio(came, goes)
		    while True:
		        try:
		            tls.do_handshake()
		            break
		        except ssl.SSLWantReadError:
		            raw.sendall(goes.read())
		            came.write(raw.recv(65536))
		    tls.write(b"USER joe\r\nPASS secret\r\nSTAT\r\nRETR 1\r\n")
		    if notify:
		        try:
		            tls.unwrap()
		        except ssl.SSLError:
		            pass
		    raw.sendall(goes.read())
		    raw.shutdown(socket.SHUT_WR)
		    while part := raw.recv(65536):
		        came.write(part)
		    came.write_eof()
		    text = b""
		    try:
		        while part := tls.read(65536):
		            text += part
		    except ssl.SSLError as error:
		        print(notify, error)
		    assert b"+OK 3 124\r\n" in text and text.endswith(b"\r\n.\r\n"), (notify, text)
	E
	wait_for eval '[ "$(grep -c "user=joe reason=closed fetched=1 " "$T/listening")" = 2 ]'
}

@test "the end of a session is a close_notify (RFC 8446 s.6.1), after QUIT and after a timeout" {
	configure_tls rsa -- 'auth_timeout 5'
	start_listening_tls
	python3 - "$TLS_PORT" <<-'E'
		import socket, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		for said in b"QUIT\r\n", b"":
		    s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60),
		                            suppress_ragged_eofs=False)
		    s.sendall(said)
		    while s.recv(65536):
		        pass
	E
}
