# shellcheck shell=bash disable=SC2119,SC2120,SC2034,SC2312 # arguments may be left out
# What the tests share.  Each test has a Maildir of its own, a configuration and one user:
# joe, whose password is secret.  BUILT is where make has put what is tested; POP3D may be another
# program, such as one that runs it under valgrind.  Tags say where a test is at home: `loads` where
# something is loaded, by pop3d or with it (faults); `calls` where system calls are counted; `clock`
# where time passes; `large` and `moments` take long; `plain` wants no sanitizer or valgrind around it.

bats_require_minimum_version 1.5.0

TESTS=$BATS_TEST_DIRNAME
case $TESTS in */root) TESTS=${TESTS%/root} ;; esac
TOP=${TESTS%/*}
BUILT=${BUILT:-$TOP}
POP3D=${POP3D:-$BUILT/pop3d}
FAULT=${FAULT:-$BUILT/fault.so}
FAKETIME_LIB=${FAKETIME_LIB:-$(dpkg -L libfaketime 2>/dev/null | grep '/libfaketime.so.1$')}
export BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-300}

# Started as root, mail belongs to a user that need not exist.
if [ "$(id -u)" = 0 ]; then
	MAIL_UID=47110 MAIL_GID=47110
else
	MAIL_UID='' MAIL_GID=''
fi

common_setup() {
	PIDS=
	T=$BATS_TEST_TMPDIR
	MAILDIR=$T/Maildir
	CONF=$T/pop3d.conf
	USERS=$T/users
	LOG=$T/log
	chmod 711 "$T" "$BATS_RUN_TMPDIR" "${T%/*}" "$(dirname "${T%/*}")" 2>/dev/null || true
	: >"$LOG"
	make_maildir "$MAILDIR"
	printf 'joe:{PLAIN}secret:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	chmod 600 "$USERS"
	configure
	prepare_findings
}

# Writes the configuration; arguments are further lines.
configure() {
	{
		echo "users file $USERS"
		echo "maildir $T/Maildir"
		echo "hostname pop.example.org"
		echo "log stderr"
		[ $# = 0 ] || printf '%s\n' "$@"
	} >"$CONF"
}

make_maildir() {
	mkdir -p "$1/cur" "$1/new" "$1/tmp"
	own "$1"
}

own() {
	[ -z "$MAIL_UID" ] || chown -hR "$MAIL_UID:$MAIL_GID" "$@"
}

# put FOLDER NAME: a message from standard input.
put() {
	cat >"$MAILDIR/$1/$2"
	own "$MAILDIR/$1/$2"
}

# Certificates, made once in a run: $PKI/NAME.pem and, where they have one, $PKI/NAME.key.
PKI=$BATS_RUN_TMPDIR/pki

# certify NAME SUBJECT EXTENSIONS KEY...: a certificate by $PKI/$CA; KEY is for genpkey(1).
certify() {
	local name=$1 subject=$2 extensions=$3
	shift 3
	openssl genpkey "$@" -out "$PKI/$name.key"
	openssl req -new -key "$PKI/$name.key" -subj "$subject" -out "$PKI/$name.csr"
	# shellcheck disable=SC2086
	${AT:-} openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/$CA.pem" -CAkey "$PKI/$CA.key" \
		-set_serial "0x$(openssl rand -hex 8)" -days "${DAYS:-30}" -out "$PKI/$name.pem" \
		-extfile <(printf '%b' "$extensions")
}

# The servers' certificates are by sub, which is by ca.  rsa and ec are for pop.example.org, for
# localhost and 127.0.0.1, net-rsa and net-ec for pop.example.net, wild for *.example.com;
# joe and late (expired) are clients', foreign is one that nobody knows.
make_certificates() {
	local CA=ca names='DNS:pop.example.org,DNS:localhost,IP:127.0.0.1'
	local rsa='-algorithm RSA -pkeyopt rsa_keygen_bits:2048'
	local ec='-algorithm EC -pkeyopt ec_paramgen_curve:P-256'
	mkdir -p "$PKI"
	# shellcheck disable=SC2086
	(
		set -e
		flock 9
		[ ! -e "$PKI/done" ] || exit 0
		openssl genpkey $ec -out "$PKI/ca.key"
		openssl req -x509 -new -key "$PKI/ca.key" -subj '/O=pop3d tests/CN=root' -days 30 -out "$PKI/ca.pem"
		certify sub '/O=pop3d tests/CN=between' 'basicConstraints=critical,CA:true\n' $ec
		CA=sub
		certify rsa /CN=pop.example.org "subjectAltName=$names\n" $rsa
		certify ec /CN=pop.example.org "subjectAltName=$names\n" $ec
		certify net-rsa /CN=pop.example.net 'subjectAltName=DNS:pop.example.net\n' $rsa
		certify net-ec /CN=pop.example.net 'subjectAltName=DNS:pop.example.net\n' $ec
		certify wild /CN=wild 'subjectAltName=DNS:*.example.com\n' $ec
		CA=ca
		certify joe '/O=pop3d tests/CN=joe' 'extendedKeyUsage=clientAuth\n' $ec
		AT="faketime 2020-01-01" DAYS=1 certify late '/O=pop3d tests/CN=late' 'extendedKeyUsage=clientAuth\n' $ec
		AT="faketime 2020-01-01" DAYS=1 certify expired /CN=pop.example.org "subjectAltName=$names\n" $ec
		openssl req -x509 -newkey rsa:2048 -nodes -keyout "$PKI/foreign.key" -subj '/CN=joe' -days 30 \
			-out "$PKI/foreign.pem"
		for name in rsa ec net-rsa net-ec wild; do cat "$PKI/sub.pem" >>"$PKI/$name.pem"; done
		touch "$PKI/done"
	) 9>"$PKI/lock" 2>"$T/openssl" || {
		cat "$T/openssl"
		return 1
	}
}

# configure_tls NAME... [-- LINE...]: the configuration with these certificates.
configure_tls() {
	local lines=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		lines+=("tls_certificate $PKI/$1.pem" "tls_key $PKI/$1.key")
		shift
	done
	[ $# = 0 ] || shift
	configure "${lines[@]}" "$@"
}

# Three messages: 65, 36 and 23 octets on the wire.
three_messages() {
	printf 'From: one@example.org\nSubject: one\n\nfirst line\n.dot\n..dots\n' |
		put cur 1600000001.M1P1.host:2,
	printf 'Subject: two\r\n\r\nCR LF line\r\n.\r\n...\r\n' | put cur 1600000002.M1P1.host:2,S
	printf 'Subject: three\n\nend' | put new 1600000003.M1P1.host
}

# Until the index trusts the folders' times: two seconds after the last change.
settle() {
	local last
	last=$(stat -c %Z "$MAILDIR/cur" "$MAILDIR/new" | sort -n | tail -n 1)
	wait_for is_past $((last + 2))
	sleep 0.02 # file systems' clocks tick
}

is_past() {
	[ "$(date +%s)" -ge "$1" ]
}

# dialog: lets talk(1) run the script on standard input in lock step over a socket and,
# on the same Maildir, as one pipelined piece over pipes.  `after`, where a test defines
# it, looks at what each has left.  MODES holds talk's options for each time; with --tls among
# them, pop3d gets -T.
MODES=('' '--pipelined --pipes')
dialog() {
	local script status=0 mode tls
	script=$(cat)
	rm -rf "$T/before"
	cp -a "$MAILDIR" "$T/before"
	for mode in "${MODES[@]}"; do
		rm -rf "$MAILDIR"
		cp -a "$T/before" "$MAILDIR"
		tls=
		[[ " $mode " != *' --tls '* ]] || tls=-T
		# shellcheck disable=SC2086
		printf '%s\n' "$script" | "$TESTS/talk" $mode "$POP3D" $tls -f "$CONF" 2>>"$LOG" || {
			tail -n 3 "$LOG"
			echo "(mode: ${mode:-lock step})"
			return 1
		}
		if [ "$(type -t after)" = function ]; then
			after || {
				echo "after ${mode:-lock step}: failed"
				return 1
			}
		fi
	done
	return $status
}

# The same for who has logged in.
session() {
	{
		printf 'C: USER joe\nS~ \\+OK .*\nC: PASS secret\nS~ \\+OK .*\n'
		cat
	} | dialog
}

# One session in lock step; the log goes to $LOG.
talk() {
	"$TESTS/talk" "$POP3D" -f "$CONF" 2>>"$LOG" || {
		tail -n 3 "$LOG"
		return 1
	}
}

login() {
	{
		printf 'C: USER joe\nS~ \\+OK .*\nC: PASS secret\nS~ \\+OK .*\n'
		cat
	} | talk
}

# connect: a connection to PORT on fd 9, the greeting read.
connect() {
	exec 9<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -u 9 _
}

# connect_and_login [USER]: the same, logged in; `monitor` and `session` are its processes
# where it is SERVER's only one.
connect_and_login() {
	local line
	connect
	printf 'USER %s\r\nPASS secret\r\n' "${1:-joe}" >&9
	read -r -u 9 line
	read -r -u 9 line
	[[ $line == '+OK'* ]]
	monitor=$(pgrep -P "$SERVER" || true)
	session=$(pgrep -P "${monitor:-none}" || true)
}

# during COMMAND...: logs in, runs the command, sends the lines of standard input, the last
# of which is QUIT; what the server says to them goes to $T/text, without CR.
during() {
	start_listening
	connect_and_login
	"$@"
	sed 's/$/\r/' >&9
	tr -d '\r' <&9 >"$T/text"
	exec 9>&-
	stop_listening
	cat "$T/listening" >>"$LOG"
}

# What the server says to these lines, without CR.
answers() {
	printf '%s\r\n' "$@" | "$POP3D" -f "$CONF" 2>>"$LOG" | tr -d '\r'
}

# wait_for COMMAND...: until it succeeds, for 20 seconds at most.
wait_for() {
	local i
	for ((i = 0; i < 400; i++)); do
		if "$@"; then return 0; fi
		sleep 0.05
	done
	echo "waited in vain for: $*"
	return 1
}

# start_listening [ARGUMENT...]: pop3d -l on a free port of the loopback, PORT and SERVER.
start_listening() {
	: >"$T/listening"
	"$POP3D" -f "$CONF" -l 127.0.0.1:0 "$@" 2>>"$T/listening" 3>&- &
	SERVER=$!
	wait_for grep -q 'listening address' "$T/listening"
	PORT=$(sed -n 's/.*listening address=.* port=//p' "$T/listening" | head -n 1)
}

# Each session of SERVER has ended, and said so in the log: a client sees the end of its connection before.
no_sessions() {
	[ -z "$(pgrep -P "$SERVER")" ]
}

# start_listening_tls [ARGUMENT...]: likewise, with TLS_PORT beside PORT.
start_listening_tls() {
	start_listening -l 127.0.0.1:0,tls "$@"
	wait_for grep -q 'listening .* tls$' "$T/listening"
	TLS_PORT=$(sed -n 's/.*listening address=.* port=\([0-9]*\) tls$/\1/p' "$T/listening" | head -n 1)
}

stop_listening() {
	[ -z "${SERVER:-}" ] || kill "$SERVER" 2>/dev/null || true
	[ -z "${SERVER:-}" ] || wait "$SERVER" 2>/dev/null || true
	SERVER=
}

# super COMMAND...: a super server, in the background until the test ends, on PORT.
super() {
	"$@" >>"$T/super" 2>&1 3>&- &
	PIDS="$PIDS $!"
	wait_for is_connectable "$PORT"
}

# A port of the loopback that nothing listens on.
free_port() {
	python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

is_connectable() {
	(exec 9<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Before what runs programs: where it has 32 bits and they have 64, its filter would be their end, so
# there is none.
for_programs() {
	if readelf -h "$BUILT/pop3d" | grep -q 'Class:.*ELF32' && readelf -h /bin/sh | grep -q 'Class:.*ELF64'; then
		echo "$BUILT/without seccomp"
	fi
}

# POP3D becomes one that can have run what is here.
let_programs_run() {
	[ -n "$(for_programs)" ] || return 0
	printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$(for_programs)" "$POP3D" >"$T/pop3d"
	chmod 755 "$T/pop3d"
	POP3D=$T/pop3d
}

# Dead, whether or not anyone has waited for it.
is_gone() {
	! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null
}

messages_left() {
	find "$MAILDIR/cur" "$MAILDIR/new" -type f -printf x | wc -c
}

fail() {
	echo "$*"
	return 1
}

# With SANITIZE set, sanitizers and valgrind write what they find to files, for under pop3d
# standard error may be nothing; and nothing may be found.
prepare_findings() {
	[ -n "${SANITIZE:-}" ] || return 0
	mkdir -m 1777 "$T/findings"
	chmod 1777 "$T/findings"
	export ASAN_OPTIONS=log_path=$T/findings/asan:verify_asan_link_order=0
	export UBSAN_OPTIONS=log_path=$T/findings/ubsan:print_stacktrace=1
	export VALGRIND_OPTS=--log-file=$T/findings/valgrind.%p
}

no_findings() {
	[ -n "${SANITIZE:-}" ] || return 0
	find "$T/findings" -type f -size +0 -exec head -n 40 {} +
	[ -z "$(find "$T/findings" -type f -size +0)" ]
}

common_teardown() {
	stop_listening
	# shellcheck disable=SC2086
	[ -z "$PIDS" ] || kill $PIDS 2>/dev/null || true
	no_findings
}

setup() { common_setup; }
teardown() { common_teardown; }
