# What tests of TLS have in common.

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
