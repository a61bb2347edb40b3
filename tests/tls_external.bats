# EXTERNAL (RFC 4422 appendix A, RFC 5034) over client certificates.  What can be forged is in
# external.c and external_asked.c.

# shellcheck disable=SC2034 # MODES is for dialog
load helper

setup() {
	common_setup
	make_certificates
	make_clients
	configure_external
}

# configure_external [LINE...]
configure_external() {
	configure_tls ec rsa -- "tls_client_ca $PKI/ca.pem" "tls_client_user ${NAME:-subject-cn}" "$@"
}

# Beside joe, late and foreign: joe's with other keys, and by sub; ann's; the names that say joe-...
# are files' only.
make_clients() {
	local CA=ca use='extendedKeyUsage=clientAuth\n' rsa='-algorithm RSA -pkeyopt rsa_keygen_bits:2048'
	local ec='-algorithm EC -pkeyopt ec_paramgen_curve:P-256' i
	# shellcheck disable=SC2086
	(
		set -e
		flock 9
		[ ! -e "$PKI/clients" ] || exit 0
		certify joe-rsa /CN=joe "$use" $rsa
		certify joe-pss /CN=joe "$use" -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
		certify joe-ed25519 /CN=joe "$use" -algorithm ed25519
		certify joe-p384 /CN=joe "$use" -algorithm EC -pkeyopt ec_paramgen_curve:P-384
		certify joe-p521 /CN=joe "$use" -algorithm EC -pkeyopt ec_paramgen_curve:P-521
		certify ann /O=tests/CN=ann "$use" $ec
		certify server /CN=joe 'extendedKeyUsage=serverAuth\n' $ec
		certify two /CN=joe/CN=joe "$use" $ec
		certify none /O=joe "$use" $ec
		certify slash '/CN=..\/joe' "$use" $ec
		certify colon '/CN=joe:{PLAIN}secret' "$use" $ec
		certify stranger /CN=stranger "$use" $ec
		certify mail '/CN=Joe of Example' "subjectAltName=email:joe@example.org,DNS:joe\n$use" $ec
		certify mails /CN=joe "subjectAltName=email:joe@example.org,email:ann@example.org\n$use" $ec
		# The server's key in a certificate for another name, as long as its own.
		openssl req -new -key "$PKI/ec.key" -subj /CN=pop.example.xyz -out "$PKI/elsewhere.csr"
		size() { openssl x509 -in "$PKI/$1.pem" -outform DER | wc -c; }
		until [ -e "$PKI/elsewhere.pem" ] && [ "$(size elsewhere)" = "$(size ec)" ]; do
			openssl x509 -req -in "$PKI/elsewhere.csr" -CA "$PKI/sub.pem" -CAkey "$PKI/sub.key" -days 30 \
				-set_serial "0x$(openssl rand -hex 8)" -out "$PKI/elsewhere.pem" \
				-extfile <(printf 'subjectAltName=DNS:pop.example.xyz,DNS:localhost,IP:127.0.0.1\n')
		done
		CA=sub certify joe-sub /CN=joe "$use" $ec
		cat "$PKI/joe-sub.pem" "$PKI/sub.pem" >"$PKI/both" && mv "$PKI/both" "$PKI/joe-sub.pem"
		cp "$PKI/joe-sub.key" "$PKI/joe-many.key"
		cp "$PKI/joe-sub.pem" "$PKI/joe-many.pem"
		for ((i = 0; i < 12; i++)); do cat "$PKI/rsa.pem" >>"$PKI/joe-many.pem"; done
		cp "$PKI/joe-sub.key" "$PKI/joe-lots.key"
		cp "$PKI/joe-many.pem" "$PKI/joe-lots.pem"
		for ((i = 0; i < 60; i++)); do cat "$PKI/rsa.pem" >>"$PKI/joe-lots.pem"; done
		cp "$PKI/foreign.pem" "$PKI/liar.pem"
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$PKI/liar.key" \
			-subj /CN=joe -days 30 -out "$PKI/liar.pem"
		touch "$PKI/clients"
	) 9>"$PKI/lock" 2>"$T/openssl" || {
		cat "$T/openssl"
		return 1
	}
}

# all_of PROGRAM COUNT: it has as many tests, and all of them are ok.
all_of() {
	export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
	run "$BUILT/$1" "$CONF" "$PKI"
	echo "$output"
	[ "$status" = 0 ] && grep -q "^ok $2 " <<<"$output" && ! grep -q '^not ok' <<<"$output"
}

# bats test_tags=loads
@test "proofs: right ones, and forged in all ways" {
	all_of external 14
}

# bats test_tags=loads
@test "the monitor, asked by a session that was taken over after a handshake with a certificate" {
	all_of external_asked 6
}

# python: a script over sasl.py, with PORT, TLS_PORT and T; client(NAME, VERSION, STLS).
python() {
	PYTHONPATH=$TESTS PYTHONDONTWRITEBYTECODE=1 T=$T PORT=$PORT TLS_PORT=${TLS_PORT:-} PKI=$PKI python3 -c "
import os
from sasl import *
PORT, TLS_PORT, PKI = os.environ['PORT'], os.environ['TLS_PORT'], os.environ['PKI']
def client(name, version='1.3', stls=False):
    return Client(PORT if stls else TLS_PORT, version, stls, name and f'{PKI}/{name}')
def mechanisms(c):
    return b' '.join(l[5:] for l in c.multi(b'CAPA') if l.startswith(b'SASL ')).decode()
DENIED = b'-ERR [AUTH] Wrong user name or password'
$(cat)"
}

# user NAME FIELD: a line of the users file.
user() {
	printf '%s:%s:%s:%s::%s\n' "$1" "$2" "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
}

# s_client NAME [ARGUMENT...]: OpenSSL's client, with SAID.
s_client() {
	local name=$1
	shift
	printf '%b' "${SAID:-AUTH EXTERNAL =\r\nSTAT\r\nQUIT\r\n}" | timeout 60 openssl s_client \
		-connect "127.0.0.1:$TLS_PORT" -CAfile "$PKI/ca.pem" -ign_eof -cert "$PKI/$name.pem" \
		-key "$PKI/$name.key" -cert_chain "$PKI/$name.pem" "$@" 2>&1 | tr -d '\r' >"$T/client"
}

@test "EXTERNAL is offered, before all others, to whom has shown a good certificate over TLS" {
	start_listening_tls
	python <<-'P'
		for stls in False, True:
		    for version in "1.2", "1.3":
		        for who in "joe", "ann", "joe-sub":
		            c = client(who, version, stls)
		            assert mechanisms(c).startswith("EXTERNAL SCRAM-SHA-256-PLUS "), who
		            assert b"EXTERNAL" in c.multi(b"AUTH")
		            # It stays after the login: RFC 2449 s.5.
		            assert c.say(b"USER joe").startswith(b"+OK") and c.say(b"PASS secret").startswith(b"+OK")
		            assert mechanisms(c).startswith("EXTERNAL ")
		            c.quit()
		        for who in None, "late", "foreign", "server", "joe-lots":
		            c = client(who, version, stls)
		            assert mechanisms(c).startswith("SCRAM-SHA-256-PLUS "), who
		            assert b"EXTERNAL" not in c.multi(b"AUTH")
		            assert c.say(b"AUTH EXTERNAL =") == b"-ERR That mechanism is not available"
		            assert c.say(b"USER joe").startswith(b"+OK") and c.say(b"PASS secret").startswith(b"+OK")
		            c.quit()
		c = Client(PORT)
		assert mechanisms(c).startswith("SCRAM-SHA-256 ")
		assert c.say(b"AUTH EXTERNAL =") == b"-ERR That mechanism needs TLS"
		c.quit()
	P
	wait_for no_sessions
	run ! grep -q violation "$T/listening"
}

@test "EXTERNAL is not offered without tls_client_user, nor where mechanisms has others" {
	local line
	for line in 'tls_client_user none' 'mechanisms PLAIN SCRAM-SHA-256'; do
		configure_external "$line"
		start_listening_tls
		python <<-'P'
			c = client("joe")
			assert "EXTERNAL" not in mechanisms(c)
			assert c.say(b"AUTH EXTERNAL =") == b"-ERR That mechanism is not available"
			c.quit()
		P
		stop_listening
	done
	configure_external 'mechanisms external'
	start_listening_tls
	python <<-'P'
		c = client("joe")
		assert mechanisms(c) == "EXTERNAL"
		assert c.say(b"USER joe") == b"-ERR That mechanism is not available"
		assert c.say(b"AUTH EXTERNAL =").startswith(b"+OK")
		c.quit()
		# No empty list.
		c = client(None)
		assert not any(l.startswith(b"SASL") for l in c.multi(b"CAPA"))
		c.quit()
	P
}

@test "EXTERNAL: with and without initial response and identity, TLS 1.2 and 1.3, STLS too (RFC 5034 s.4, RFC 4422 A)" {
	three_messages
	start_listening_tls
	python <<-'P'
		for stls in False, True:
		    for version in "1.2", "1.3":
		        for said in (b"AUTH EXTERNAL =",), (b"auth external " + b64("joe"),), (b"AUTH EXTERNAL", b""), (b"AUTH EXTERNAL", b64("joe")):
		            c = client("joe", version, stls)
		            for line in said[:-1]:
		                assert c.say(line) == b"+ "
		            assert c.say(said[-1]) == b"+OK Maildrop has 3 messages (124 octets)", said
		            assert c.say(b"AUTH EXTERNAL =") == b"-ERR You are logged in already"
		            assert c.say(b"STAT") == b"+OK 3 124"
		            c.quit()
	P
	wait_for no_sessions
	[ "$(grep -c 'login address=127.0.0.1 user=joe method=EXTERNAL tls=1.2 messages=3' "$T/listening")" = 8 ]
	[ "$(grep -c 'login address=127.0.0.1 user=joe method=EXTERNAL tls=1.3 messages=3' "$T/listening")" = 8 ]
	run ! grep -qE 'violation|refused|signal|lost' "$T/listening"
}

# A client by all its kinds of signatures, the server by those that are named.
with_signatures() {
	s_client "${@:2}" -sigalgs "$1" \
		-client_sigalgs ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:rsa_pss_pss_sha384:RSA-PSS+SHA512:RSA+SHA256
}

@test "EXTERNAL: keys of all kinds, chains, a HelloRetryRequest" {
	start_listening_tls
	local name version
	for version in -tls1_2 -tls1_3 '-tls1_3 -groups X448:P-384'; do
		for name in joe joe-rsa joe-pss joe-ed25519 joe-p384 joe-p521 joe-sub joe-many; do
			# shellcheck disable=SC2086
			with_signatures ECDSA+SHA256 $name $version
			grep -q '^+OK 0 0' "$T/client" || fail "$version $name: $(cat "$T/client")"
		done
	done
	[ "$(grep -c 'user=joe method=EXTERNAL' "$T/listening")" = 24 ]
}

@test "EXTERNAL is not there where the server has shown its RSA certificate, whose signature proves nothing" {
	start_listening_tls
	local version
	for version in -tls1_2 -tls1_3 '-tls1_3 -groups X448:P-384'; do
		# shellcheck disable=SC2086
		SAID='CAPA\r\nAUTH EXTERNAL =\r\nQUIT\r\n' with_signatures RSA-PSS+SHA256:RSA+SHA384 joe $version
		grep -q '^SASL .*PLAIN' "$T/client" && run ! grep -q '^SASL .*EXTERNAL' "$T/client"
		grep -q '^-ERR That mechanism is not available' "$T/client" || fail "$version: $(cat "$T/client")"
	done
	configure_tls rsa -- "tls_client_ca $PKI/ca.pem" 'tls_client_user subject-cn'
	run -78 "$POP3D" -t -f "$CONF"
	[ "$output" = 'tls_client_user: EXTERNAL is for connections that an ECDSA certificate is shown in: there is none' ]
}

@test "EXTERNAL under tcpserver, with STLS and -T" {
	PORT=$(free_port)
	super tcpserver -HRl0 127.0.0.1 "$PORT" "$POP3D" -f "$CONF"
	TLS_PORT=$(free_port)
	PORT=$TLS_PORT super tcpserver -HRl0 127.0.0.1 "$TLS_PORT" "$POP3D" -T -f "$CONF"
	python <<-'P'
		for stls in False, True:
		    c = client("joe", "1.3", stls)
		    assert c.say(b"AUTH EXTERNAL =").startswith(b"+OK")
		    c.quit()
	P
}

@test "EXTERNAL: as another user, and what is no response" {
	user ann '{PLAIN}secret'
	start_listening_tls
	python <<-'P'
		c = client("joe")
		for text in "ann", "jo":
		    assert c.say(b"AUTH EXTERNAL " + b64(text)) == DENIED
		assert c.say(b"AUTH EXTERNAL =").startswith(b"+OK")
		c.quit()
		c = client("joe")
		for text in "joe\0", "\0", "joe\0ann", "x" * 256, "x" * 9000:
		    assert c.say(b"AUTH EXTERNAL") == b"+ "
		    assert c.say(b64(text)) == b"-ERR The mechanism has no such response", text
		assert c.say(b"AUTH EXTERNAL joe!") == b"-ERR Not base64"
		assert c.say(b"AUTH EXTERNAL") == b"+ "
		assert c.say(b"*") == b"-ERR Authentication cancelled"
		assert c.say(b"AUTH EXTERNAL").startswith(b"+ ")
		assert c.say(b"=") == b"-ERR Not base64"
		for text in "ann", "Joe", "ann":
		    assert c.say(b"AUTH EXTERNAL " + b64(text)) == DENIED
		assert c.line() == b""
	P
	wait_for no_sessions
	[ "$(grep -c 'login-failed address=127.0.0.1 user=ann method=EXTERNAL reason=certificate' "$T/listening")" = 3 ]
	[ "$(grep -c 'end .*reason=denied' "$T/listening")" = 1 ]
	run ! grep -q violation "$T/listening"
}

@test "EXTERNAL: a certificate's name that is none, or no user's" {
	user ..joe '{PLAIN}secret'
	start_listening_tls
	python <<-'P'
		for who in "two", "none", "slash", "colon", "stranger":
		    c = client(who)
		    assert c.say(b"AUTH EXTERNAL =") == DENIED, who
		    assert c.say(b"AUTH EXTERNAL " + b64("joe")) == DENIED, who
		    # Another way in is open.
		    assert c.say(b"USER joe").startswith(b"+OK") and c.say(b"PASS secret").startswith(b"+OK")
		    c.quit()
	P
	[ "$(grep -c 'certificate-refused address=127.0.0.1: it has not just one name of the kind of tls_client_user$' "$T/listening")" = 2 ]
	[ "$(grep -c 'certificate-refused address=127.0.0.1: no user can have the name in it$' "$T/listening")" = 2 ]
	[ "$(grep -c 'login-failed address=127.0.0.1 user=- method=EXTERNAL reason=certificate' "$T/listening")" = 4 ]
	[ "$(grep -c 'login-failed address=127.0.0.1 user=stranger method=EXTERNAL reason=unknown-user' "$T/listening")" = 1 ]
	[ "$(grep -c 'login-failed address=127.0.0.1 user=joe method=EXTERNAL reason=certificate' "$T/listening")" = 5 ]
}

@test "EXTERNAL: * is no password and lets in; locked and empty ones do not" {
	local field expected
	while read -r expected field; do
		: >"$USERS"
		user joe "$field"
		start_listening_tls
		EXPECTED=$expected python <<-'P'
			c = client("joe")
			reply = c.say(b"AUTH EXTERNAL =")
			assert reply == DENIED if os.environ["EXPECTED"] != "in" else reply.startswith(b"+OK"), reply
			c.quit()
			# No password is right.
			c = client("joe")
			assert c.say(b"USER joe").startswith(b"+OK") and c.say(b"PASS *") == DENIED
			c.quit()
		P
		[ "$expected" = in ] || grep -q "user=joe method=EXTERNAL reason=$expected" "$T/listening"
		[ "$expected" != in ] || grep -q "user=joe method=PASS reason=\(locked\|password\|proof\|scheme\)" "$T/listening"
		stop_listening
	done <<-E
		in *
		in {CRYPT}*
		in {PLAIN}secret
		in $(mkpasswd -m sha512crypt secret)
		locked !
		locked !*
		locked *!
		locked !$(mkpasswd -m sha512crypt secret)
		locked
		in {SSHA}abc
	E
}

@test "tls_client_user san-email: the one address in it" {
	NAME=san-email configure_external
	user joe@example.org '*'
	start_listening_tls
	python <<-'P'
		c = client("mail")
		assert c.say(b"AUTH EXTERNAL " + b64("joe@example.org")).startswith(b"+OK")
		c.quit()
		for who in "mails", "joe":
		    c = client(who)
		    assert c.say(b"AUTH EXTERNAL =") == DENIED, who
		    c.quit()
	P
	grep -q 'login .*user=joe@example.org method=EXTERNAL' "$T/listening"
	[ "$(grep -c 'certificate-refused' "$T/listening")" = 2 ]
}

@test "with tls_client_user there are no tickets: each handshake proves the client anew" {
	start_listening_tls
	local version
	for version in -tls1_2 -tls1_3; do
		rm -f "$T/ticket"
		s_client joe "$version" -sess_out "$T/ticket"
		grep -q '^+OK 0 0' "$T/client"
		run ! grep -q 'New Session Ticket\|TLS session ticket:' "$T/client"
		[ ! -e "$T/ticket" ] || s_client joe "$version" -sess_in "$T/ticket"
		run ! grep -q '^Reused' "$T/client"
		grep -q '^+OK 0 0' "$T/client"
	done
	# Nor are those taken that were given before.
	stop_listening
	configure_external 'tls_client_user none'
	start_listening_tls
	for version in 2 3; do
		SAID='QUIT\r\n' s_client joe -tls1_$version -sess_out "$T/ticket$version"
		SAID='QUIT\r\n' s_client joe -tls1_$version -sess_in "$T/ticket$version"
		grep -q '^Reused' "$T/client"
	done
	configure_external
	kill -HUP "$SERVER"
	wait_for grep -q 'configuration reloaded' "$T/listening"
	for version in 2 3; do
		s_client joe -tls1_$version -sess_in "$T/ticket$version"
		grep -q '^New, ' "$T/client"
		grep -q '^+OK 0 0' "$T/client"
	done
}

@test "EXTERNAL leaves no process behind, whatever the verdict" {
	start_listening_tls
	local name
	for name in joe stranger; do
		mkfifo "$T/$name"
		timeout 60 openssl s_client -quiet -connect "127.0.0.1:$TLS_PORT" -cert "$PKI/$name.pem" \
			-key "$PKI/$name.key" <"$T/$name" >"$T/$name.said" 2>&1 3>&- &
		exec 9>"$T/$name"
		wait_for grep -q '^+OK' "$T/$name.said"
		printf 'AUTH EXTERNAL =\r\nNOOP\r\n' >&9
		wait_for grep -q 'OK Nothing done\|ERR Log in first' "$T/$name.said"
		# The session is all that the monitor has.
		[ "$(pgrep -c -P "$(pgrep -P "$SERVER")")" = 1 ]
		printf 'QUIT\r\n' >&9
		exec 9>&-
		wait_for no_sessions
	done
	[ "$(grep -c 'end .*reason=quit' "$T/listening")" = 2 ]
}

# checked LAYERS WHAT: the process that checks tries this; what the log says of it.
checked() {
	: >"$T/listening"
	POP3D_WITHOUT=$1 POP3D_CHECKER=$2 POP3D=$T/pop3d start_listening_tls
	python <<-'P'
		c = client("joe")
		assert c.say(b"AUTH EXTERNAL =") == DENIED
		assert c.say(b"USER joe").startswith(b"+OK") and c.say(b"PASS secret").startswith(b"+OK")
		c.quit()
	P
	stop_listening
	sed -n 's/.*certificate-refused address=127.0.0.1: the check ended with //p' "$T/listening"
}

# bats test_tags=plain,loads
@test "the process that checks certificates is jailed; its end is no login" {
	local what
	cp "$BUILT/proof/pop3d" "$BUILT/tls.so" "$T"
	for what in 'open /etc/passwd' 'connect 80' unix 'exec /bin/sh' fork ptrace root code; do
		[ "$(checked '' "$what")" = signal-31 ] || fail "$what: $(cat "$T/listening")"
	done
	[ "$(checked seccomp fork)" = status-11 ]
	if [ "$(id -u)" = 0 ]; then
		[ "$(checked seccomp 'open /etc/passwd')" = status-13 ]
		[ "$(checked seccomp kill)" = status-1 ]
		[ "$(checked seccomp,chroot 'open /etc/passwd')" = status-0 ]
	else
		[ "$(checked seccomp 'open /etc/passwd')" = status-0 ]
	fi
}

@test "-t: tls_client_user without tls_client_ca, without TLS, with another word; mechanisms EXTERNAL without it" {
	complains() {
		run -78 "$POP3D" -t -f "$CONF"
		[[ $output == *"$1"* ]] || fail "$output"
	}
	"$POP3D" -t -f "$CONF"
	configure_tls rsa -- 'tls_client_user subject-cn'
	complains 'tls_client_user: EXTERNAL without a CA: there is no tls_client_ca'
	configure "tls_client_ca $PKI/ca.pem" 'tls_client_user san-email'
	complains 'tls_client_user: EXTERNAL without TLS: there is no tls_certificate'
	configure_tls rsa -- "tls_client_ca $PKI/ca.pem" 'tls_client_user subject'
	complains 'tls_client_user: must be `none` or `subject-cn` or `san-email`'
	configure_tls rsa -- "tls_client_ca $PKI/ca.pem" 'mechanisms EXTERNAL PLAIN'
	complains 'mechanisms: EXTERNAL without tls_client_user'
}

# Clients that others wrote.

@test "curl logs in with EXTERNAL, over STLS and TLS, 1.2 and 1.3" {
	three_messages
	start_listening_tls
	local version url
	for version in 1.2 1.3; do
		for url in "pop3://localhost:$PORT" "pop3s://localhost:$TLS_PORT"; do
			# shellcheck disable=SC2086
			curl -sS --max-time 60 --ssl-reqd --cacert "$PKI/ca.pem" --cert "$PKI/joe.pem" --key "$PKI/joe.key" \
				--tlsv$version --tls-max $version -u joe: --login-options AUTH=EXTERNAL "$url/1" |
				grep -q '^Subject: one'
			# shellcheck disable=SC2086
			curl -sS --max-time 60 --ssl-reqd --cacert "$PKI/ca.pem" --cert "$PKI/joe.pem" --key "$PKI/joe.key" \
				--tlsv$version --tls-max $version -u joe: --sasl-ir --login-options AUTH=EXTERNAL "$url/2" |
				grep -q '^Subject: two'
		done
		[ "$(grep -c "login .*user=joe method=EXTERNAL tls=$version" "$T/listening")" = 4 ]
	done
	run ! curl -sS --max-time 60 --cacert "$PKI/ca.pem" --cert "$PKI/ann.pem" --key "$PKI/ann.key" \
		-u joe: --login-options AUTH=EXTERNAL "pop3s://localhost:$TLS_PORT/1"
}

@test "mpop fetches with EXTERNAL, over STLS and TLS, 1.2 and 1.3" {
	load clients
	start_listening_tls
	local port
	for OVER in stls tls; do
		for VERSION in 1.2 1.3; do
			client_maildir
			rm -rf "$T/got" "$T/mpop-uidls"
			mkdir "$T/got"
			port=$TLS_PORT
			[ "$OVER" = tls ] || port=$PORT
			mpop_configuration "$port" "$T/got" external
			printf 'tls_cert_file %s\ntls_key_file %s\n' "$PKI/joe.pem" "$PKI/joe.key" >>"$T/mpoprc"
			mpop -q -C "$T/mpoprc"
			same_as_sent "$T/got"
		done
	done
	[ "$(grep -c 'login .*user=joe method=EXTERNAL' "$T/listening")" = 4 ]
}

@test "GNU SASL over gnutls-cli logs in with EXTERNAL, 1.2 and 1.3" {
	start_listening_tls
	python <<-'P'
		for tls in "1.2", "1.3":
		    for properties in {AUTHZID: "joe"}, {}:
		        for who in "joe", "joe-rsa":
		            c = Exporting(TLS_PORT, tls, f"{PKI}/{who}")
		            assert gsasl(c, "EXTERNAL", properties).startswith(b"+OK"), (tls, who)
		            c.quit(), c.close()
	P
	[ "$(grep -c 'login .*user=joe method=EXTERNAL' "$T/listening")" = 8 ]
}
