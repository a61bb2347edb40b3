# Load with faults, the server started as root; tests/storm says what it is.

load ../helper

@test "500 connections at a time, cut off and killed: nothing is left behind, lost, or there again" {
	# A leak checker that is killed halfway complains.
	export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
	run env TMPDIR="$T" "$TESTS/storm" --pop3d "$POP3D" ${SANITIZE:+100}
	echo "$output"
	[ "$status" = 0 ]
}
