# What the time of an answer tells: nothing.  By a statistical test, not by a limit.

load helper

user_with() {
	printf '%s:%s:%s:%s::%s\n' "$1" "$2" "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
}

# apart METHOD: unknown, wrong and locked, and users whose passwords are stored otherwise.
apart() {
	PYTHONDONTWRITEBYTECODE=1 python3 "$TESTS/timing.py" "$PORT" 200 "$@" | tee -a "$T/apart"
	[ "${PIPESTATUS[0]}" = 0 ] || fail "$(cat "$T/apart")"
}

# bats test_tags=plain
@test "unknown, wrong and locked take the same time, for passwords, digests and proofs" {
	: >"$USERS"
	local hash
	hash=$(mkpasswd -m sha512crypt -R 5000 secret)
	user_with hashed "$hash"
	user_with locked "!$hash"
	user_with secret '{PLAIN}secret'
	configure 'max_per_address 1000' 'mechanisms USER PLAIN CRAM-MD5 SCRAM-SHA-256'
	start_listening
	apart PASS nobody hashed locked secret
	apart SCRAM-SHA-256 nobody locked secret
	apart CRAM-MD5 nobody hashed secret
}

# bats test_tags=plain
@test "the test of that finds what does take longer" {
	user_with slow "$(mkpasswd -m sha512crypt -R 3000000 secret)"
	user_with quick "$(mkpasswd -m sha512crypt -R 1000 secret)"
	configure 'max_per_address 1000'
	start_listening
	run -1 env PYTHONDONTWRITEBYTECODE=1 python3 "$TESTS/timing.py" "$PORT" 20 PASS slow quick
}
