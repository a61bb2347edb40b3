# Mail programs that others wrote, over STLS and TLS; they look at the certificate.

load helper
load clients

setup() {
	common_setup
	make_certificates
	configure_tls rsa ec
}

# empties CLIENT WAYS VERSIONS: over the ports of -l; without a version it is the latest.
empties() {
	local client=$1 port seen=0
	start_listening_tls
	for OVER in $2; do
		port=$PORT
		[ "$OVER" = stls ] || port=$TLS_PORT
		for VERSION in ${3:-""}; do
			echo "over $OVER, TLS $VERSION"
			clients_empty "$port" "$client"
			tail -n "+$((seen + 1))" "$T/listening" >"$T/new"
			seen=$((seen + $(wc -l <"$T/new")))
			grep -q "login .*user=joe .*tls=${VERSION:-1.3} messages=[1-9]" "$T/new"
			run ! grep -q 'tls=-' "$T/new"
		done
	done
}

@test "curl fetches and empties a tricky Maildir over STLS and TLS, 1.2 and 1.3" {
	empties curl 'stls tls' '1.2 1.3'
}

@test "mpop fetches and empties a tricky Maildir over STLS and TLS, 1.2 and 1.3" {
	empties mpop 'stls tls' '1.2 1.3'
}

@test "fetchmail fetches and empties a tricky Maildir over STLS and TLS, 1.2 and 1.3" {
	empties fetchmail 'stls tls' '1.2 1.3'
}

# (It has no STLS.)
@test "getmail6 fetches and empties a tricky Maildir over TLS" {
	empties getmail tls
}

@test "Python's poplib fetches and empties a tricky Maildir over STLS and TLS, 1.2 and 1.3" {
	empties poplib 'stls tls' '1.2 1.3'
}

@test "Perl's Net::POP3 fetches and empties a tricky Maildir over STLS and TLS, 1.2 and 1.3" {
	empties net_pop3 'stls tls' '1.2 1.3'
}

@test "openssl s_client fetches and empties a tricky Maildir over STLS and TLS, 1.2 and 1.3" {
	empties s_client 'stls tls' '1.2 1.3'
}

@test "gnutls-cli fetches and empties a tricky Maildir over STLS and TLS, 1.2 and 1.3" {
	empties gnutls 'stls tls' '1.2 1.3'
}

@test "all of them refuse a certificate that nobody has signed, and nothing is lost" {
	local client
	configure "tls_certificate $PKI/foreign.pem" "tls_key $PKI/foreign.key"
	start_listening_tls
	client_maildir
	mkdir "$T/got"
	for client in $CLIENTS s_client gnutls; do
		OVER=tls
		run ! "with_$client" "$TLS_PORT" "$T/got"
		[ "$client" != getmail ] || continue
		OVER=stls
		run ! "with_$client" "$PORT" "$T/got"
	done
	[ "$(messages_left)" = 8 ] && [ -z "$(ls "$T/got")" ]
	wait_for no_sessions
	run ! grep -q 'login ' "$T/listening"
}
