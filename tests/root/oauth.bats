# Tokens where pop3d is started as root: who the command is, and the users of the system.

load ../helper
load ../sasl

verify_for() {
	printf '#!/bin/sh\necho "ids $(id -u) $(id -g) $(id -G)" >&2\ncat <&3\necho\n' >"$T/verify"
	chmod 755 "$T/verify"
}

bearer() {
	base64_of "n,,\001auth=Bearer $1\001\001"
}

@test "the command runs as session_user, without groups, and reads what that may" {
	verify_for
	configure 'session_user games' "oauth $T/verify"
	answers "AUTH OAUTHBEARER $(bearer joe)" QUIT | grep -q '^+OK Maildrop' || fail "$(cat "$LOG")"
	grep -q "oauth: ids $(id -u games) $(id -g games) $(id -g games)\$" "$LOG"
	# Where it can't be reached, that is the administrator's to hear.
	chmod 700 "$T/verify"
	answers "AUTH OAUTHBEARER $(bearer joe)" QUIT | grep -q '^-ERR \[SYS/TEMP\]'
	grep -q "reason=oauth: can't be run: Permission denied" "$LOG"
}

@test "users system: accounts without a password let tokens in; locked, expired and root's do not" {
	local pair today
	verify_for
	mkdir -p "$T/home"
	make_maildir "$T/home/Maildir"
	chown 47110:47110 "$T/home"
	today=$(($(date +%s) / 86400))
	cp /etc/passwd /etc/shadow "$T"
	for pair in "jane:x" "none:*" "gone:!" "left:*" "late:*" "root2:*"; do
		echo "${pair%:*}:x:$([ "${pair%:*}" = root2 ] && echo 0 || echo 47110):47110::$T/home:/bin/sh" >>"$T/passwd"
	done
	{
		echo "jane:$(mkpasswd -m sha512crypt -R 1000 secret):$today:0:99999:7:::"
		echo "none:*:$today:0:99999:7:::"
		echo "gone:!:$today:0:99999:7:::"
		echo "left:*:$today:0:99999:7::$((today - 1)):"
		echo "late:*:$((today - 91)):0:90:7:::"
		echo "root2:*:$today:0:99999:7:::"
	} >>"$T/shadow"
	printf 'users system\nlog stderr\noauth %s\n' "$T/verify" >"$CONF"
	for pair in jane:+OK none:+OK gone:locked left:account-expired late:password-expired root2:unknown-user root:unknown-user; do
		: >"$LOG"
		printf 'AUTH OAUTHBEARER %s\r\n' "$(bearer "${pair%:*}")" |
			unshare --mount --propagation private bash -c '
				mount --bind "$1/passwd" /etc/passwd
				mount --bind "$1/shadow" /etc/shadow
				exec "$2" -f "$3"' with_users "$T" "$POP3D" "$CONF" >"$T/said" 2>"$LOG"
		if [ "${pair#*:}" = +OK ]; then
			grep -q '^+OK Maildrop' "$T/said" || fail "$pair: $(cat "$T/said" "$LOG")"
			grep -q "login address=pipe user=${pair%:*} method=OAUTHBEARER" "$LOG"
		else
			grep -q "login-failed address=pipe user=${pair%:*} method=OAUTHBEARER reason=${pair#*:}\$" "$LOG" ||
				fail "$pair: $(cat "$LOG")"
		fi
	done
}

@test "the command goes when the monitor is killed" {
	local monitor program
	printf '#!/bin/sh\necho started >&2\nexec sleep 1000\n' >"$T/verify"
	chmod 755 "$T/verify"
	configure "oauth $T/verify" 'log stderr'
	start_listening
	connect
	monitor=$(pgrep -P "$SERVER")
	printf 'AUTH OAUTHBEARER %s\r\n' "$(bearer joe)" >&9
	wait_for grep -q 'oauth: started' "$T/listening"
	program=$(pgrep -P "$monitor" -f '^sleep 1000$')
	kill -KILL "$monitor"
	wait_for is_gone "$program"
	exec 9>&-
}
