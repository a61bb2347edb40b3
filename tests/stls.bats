# STLS (RFC 2595): what it changes, and what it does not.

# shellcheck disable=SC2034 # MODES is for dialog
load tls

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

# bats test_tags=calls,loads
@test "a session in the clear does not load OpenSSL where there are certificates" {
	printf '%s\r\n' 'USER joe' 'PASS secret' QUIT |
		strace -f -o "$T/trace" -e trace=openat,open "$POP3D" -f "$CONF" >"$T/out" 2>>"$LOG"
	grep -q '^+OK Goodbye' "$T/out"
	run ! grep -E 'libssl\.so|libcrypto\.so|tls\.so|\.key"' "$T/trace"
	# The check can fail.
	printf 'STLS\r\n' | strace -f -o "$T/trace" -e trace=openat,open "$POP3D" -f "$CONF" >"$T/out" 2>>"$LOG"
	grep -q 'tls\.so' "$T/trace" && grep -q 'libssl' "$T/trace"
}
