# Resumption, each connection being a process of its own.

load tls

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
