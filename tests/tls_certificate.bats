# Certificates, of the server and of clients; those that can't be had; SIGHUP.

load tls

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

@test "keys: RSA of 2048 to 4096 bits, P-256, P-384 and P-521, in both forms of PEM" {
	local kind
	# (What PSS makes of a digest has one bit less, 2,048 of 2,049: RFC 8017 s.8.1.1.)
	for kind in '-algorithm RSA -pkeyopt rsa_keygen_bits:4096' 2049 '-algorithm RSA -pkeyopt rsa_keygen_bits:2054' \
		'-algorithm EC -pkeyopt ec_paramgen_curve:P-384' '-algorithm EC -pkeyopt ec_paramgen_curve:P-521'; do
		# shellcheck disable=SC2086
		if [ "$kind" = 2049 ]; then
			certtool --generate-privkey --key-type rsa --bits 2049 --outfile "$T/key" 2>/dev/null
		else
			openssl genpkey $kind -out "$T/key" 2>/dev/null
		fi
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

@test "client certificates: signed by each digest that OpenSSL verifies, and not by SHA-1" {
	local digest subject='CN\x3Djoe,O\x3Dpop3d\x20tests'
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=rsa -keyout "$T/ca.key" -out "$T/authority.pem" 2>"$T/openssl"
	configure_tls rsa ec -- "tls_client_ca $T/authority.pem"
	start_listening_tls
	cp "$PKI/joe.key" "$PKI/ca.pem" "$T"
	for digest in sha224 sha256 sha384 sha512 sha3-224 sha3-256 sha3-384 sha3-512 sha1; do
		openssl x509 -req -in "$PKI/joe.csr" -CA "$T/authority.pem" -CAkey "$T/ca.key" -set_serial 1 "-$digest" \
			-out "$T/joe.pem" 2>"$T/openssl" || fail "$digest: $(cat "$T/openssl")"
		if [ "$digest" != sha1 ]; then
			openssl verify -auth_level 2 -CAfile "$T/authority.pem" "$T/joe.pem" >/dev/null
		else
			subject=
		fi
		[ "$(PKI=$T subject_of joe "$TLS_PORT" -cipher DEFAULT@SECLEVEL=0)" = "$subject" ] || fail "$digest"
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
