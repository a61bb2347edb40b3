# TLS from the first octet (RFC 8314) and after STLS: handshakes, those that fail among them.  Mail programs that use it
# are in tls_clients.bats, what only root can look at is in root/tls.bats.

load tls

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

@test "too many connections: on the port for TLS without a word in plain text" {
	configure_tls rsa -- 'max_connections 1'
	start_listening_tls
	connect
	run cat <"/dev/tcp/127.0.0.1/$TLS_PORT"
	[ -z "$output" ]
	wait_for grep -q 'refused address=127.0.0.1 reason=max_connections' "$T/listening"
	exec 9>&-
}
