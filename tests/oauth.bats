# OAUTHBEARER (RFC 7628), XOAUTH2, and the command that judges tokens.

# shellcheck disable=SC2034 # MODES is for dialog
load helper
load sasl
load clients

setup() {
	common_setup
	let_programs_run
	verifier <<-'E'
		token=$(cat <&3)
		echo "has been asked" >&2
		case $token in
		good-*) token=${token#good-} && echo "${token%%.*}" ;;
		*) exit 1 ;;
		esac
	E
	configure_oauth
	only_user_with '*'
}

# verifier: standard input is a shell script, what `oauth` names.
verifier() {
	{
		echo '#!/bin/sh'
		cat
	} >"$T/verify.new"
	chmod 755 "$T/verify.new"
	mv "$T/verify.new" "$T/verify"
}

configure_oauth() {
	configure "oauth $T/verify" "$@"
}

# bearer USER TOKEN, xoauth2 USER TOKEN: a client's message.
bearer() {
	base64_of "n,${1:+a=$1},\001host=localhost\001port=110\001auth=Bearer $2\001\001"
}

xoauth2() {
	base64_of "user=$1\001auth=Bearer $2\001\001"
}

# says TOKEN [USER]: the last line but QUIT's of a session with OAUTHBEARER.
says() {
	answers "AUTH OAUTHBEARER $(bearer "${2:-}" "$1")" | sed -n 2p
}

asked() {
	grep -c 'oauth: has been asked' "$LOG"
}

nothing_is_left() {
	run ! pgrep -f "^[^ ]*(sh|python3[^ ]*)( -I)? $T/verify"
	run ! grep -E 'reason=(signal|status|violation|lost|monitor)' "$LOG" "$T/listening"
}

# So many seconds no other test sleeps.
LONG=$((100000 + $$))
no_sleeper() {
	! pgrep -f "^sleep $LONG\$" >/dev/null
}

# A denial: what is said, and why.
ERROR='+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0='
DENIED='-ERR [AUTH] The token is not good for this user, or not any more'
MALFORMED='-ERR The mechanism has no such response'
BROKEN="-ERR [SYS/TEMP] The maildrop can't be opened now, try later"

@test "OAUTHBEARER and XOAUTH2: with and without initial response, in the clear and over TLS (RFC 7628 s.3)" {
	local mechanism message
	three_messages
	make_certificates
	configure_tls rsa ec -- "oauth $T/verify"
	MODES=('' '--pipelined --pipes' '--tls' '--stls' '--tls --pipelined' '--tls --tls-version 1.2')
	for mechanism in OAUTHBEARER XOAUTH2; do
		message=$(bearer joe good-joe.1)
		[ $mechanism = OAUTHBEARER ] || message=$(xoauth2 joe good-joe.1)
		dialog <<-E
			C: AUTH $mechanism $message
			S: +OK Maildrop has 3 messages (124 octets)
			C: STAT
			S: +OK 3 124
			C: QUIT
			S~ \+OK .*
		E
		dialog <<-E
			C: AUTH ${mechanism,,}
			S: + 
			C: $message
			S: +OK Maildrop has 3 messages (124 octets)
			C: QUIT
			S~ \+OK .*
		E
	done
	[ "$(grep -c 'login address=.* user=joe method=OAUTHBEARER tls=-' "$LOG")" = 4 ]
	[ "$(grep -c 'login address=.* user=joe method=OAUTHBEARER tls=1.3' "$LOG")" = 6 ]
	[ "$(grep -c 'login address=.* user=joe method=XOAUTH2 tls=1.2' "$LOG")" = 2 ]
	[ "$(asked)" = 24 ]
}

@test "the messages of RFC 7628 s.4.1 and s.4.3" {
	verifier <<-'E'
		[ "$(cat <&3)" = vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg== ] && echo user@example.com
	E
	configure_oauth 'oauth_scope example_scope' 'oauth_discovery https://example.com/.well-known/openid-configuration'
	user_with '*' user@example.com
	dialog <<-'E'
		C: AUTH OAUTHBEARER bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9AQE=
		S: + eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0=
		C: AQ==
		S~ -ERR \[AUTH\] .*
		C: AUTH OAUTHBEARER bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "OAUTHBEARER, XOAUTH2: offered where a command and the way of the token allow it" {
	[ "$(mechanisms)" = 'PLAIN LOGIN OAUTHBEARER XOAUTH2' ]
	configure_oauth 'mechanisms OAUTHBEARER'
	[ "$(mechanisms)" = OAUTHBEARER ]
	run ! grep -qx USER <(answers CAPA QUIT)
	configure_oauth 'mechanisms xoauth2 PLAIN'
	[ "$(mechanisms)" = 'PLAIN XOAUTH2' ]
	[ "$(answers "AUTH OAUTHBEARER $(bearer joe good-joe)" QUIT | sed -n 2p)" = '-ERR That mechanism is not available' ]
	configure
	[ "$(mechanisms)" = 'PLAIN LOGIN' ]
	configure 'mechanisms PLAIN XOAUTH2'
	[ "$(mechanisms)" = PLAIN ]
	run -0 "$POP3D" -t -f "$CONF"
	[ "$output" = 'mechanisms: warning: XOAUTH2: it needs oauth, and there is none' ]
	configure_oauth 'plaintext never'
	[ -z "$(mechanisms)" ]
	[ "$(answers "AUTH XOAUTH2 $(xoauth2 joe good-joe)" QUIT | sed -n 2p)" = \
		'-ERR No password is taken without TLS here: use STLS, or the port for TLS' ]
	[ "$(asked)" = 0 ]
	make_certificates
	configure_tls rsa -- "oauth $T/verify" 'plaintext never'
	MODES=('--tls' '--stls')
	dialog <<-E
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: USER
		S: SASL PLAIN LOGIN OAUTHBEARER XOAUTH2
		S...
		C: AUTH OAUTHBEARER $(bearer joe good-joe)
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "OAUTHBEARER: who logs in is who the command says; the client may say so too" {
	local pair
	user_with '*' 'a,b=c'
	user_with '*' ann
	for pair in 'joe good-joe' ' good-joe' '=6Aoe good-joe' 'a=2Cb=3Dc good-a,b=c'; do
		: >"$LOG"
		# (A comma and = can't stand in a token.)
		[[ $pair != *2C* ]] || verifier <<<"echo 'a,b=c'"
		answers "AUTH OAUTHBEARER $(bearer "${pair%% *}" "$(sed 's/.* //; s/[,=].*//' <<<"$pair")")" QUIT >"$T/said"
		if [ "${pair%% *}" = =6Aoe ]; then
			grep -qxF -e "$MALFORMED" "$T/said"
		else
			grep -q '^+OK Maildrop' "$T/said" || fail "$pair: $(cat "$T/said" "$LOG")"
			grep -q "login address=pipe user=\(joe\|a,b\\\\x3Dc\) method=OAUTHBEARER" "$LOG"
		fi
	done
}

@test "OAUTHBEARER: names are prepared, the client's and the command's (RFC 4013)" {
	user_with '*' IX
	# A soft hyphen is nothing, and the Roman numeral nine is two letters.
	verifier <<<"printf '\342\205\250\n'"
	answers "AUTH OAUTHBEARER $(bearer $'I\u00adX' x)" QUIT | grep -q '^+OK Maildrop' || fail "$(cat "$LOG")"
	grep -q 'login address=pipe user=IX method=OAUTHBEARER' "$LOG"
}

@test "denied: bad tokens, other users, locked, unknown: the same words, each its reason; three tries" {
	local message
	user_with '!' locked
	user_with "!$(mkpasswd -m sha512crypt secret)" locked2
	user_with '*LK*' locked3
	user_with '' locked4
	user_with '{PLAIN}' locked5
	for message in "$(bearer joe bad)" "$(bearer '' bad)" "$(bearer ann good-joe)" "$(bearer JOE good-joe)" \
		"$(bearer locked good-locked)" "$(bearer '' good-locked2)" "$(bearer '' good-locked3)" "$(bearer '' good-locked4)" \
		"$(bearer '' good-locked5)" "$(bearer '' good-nobody)" "$(bearer nobody good-nobody)"; do
		talk <<-E || fail "$message"
			C: AUTH OAUTHBEARER $message
			S: $ERROR
			C: AQ==
			S: $DENIED
			C: QUIT
			S~ \+OK .*
		E
	done
	diff <(sed -n 's/.*login-failed address=unix \(.*\)/\1/p' "$LOG") - <<-'E'
		user=joe method=OAUTHBEARER reason=token
		user=- method=OAUTHBEARER reason=token
		user=ann method=OAUTHBEARER reason=other-user
		user=JOE method=OAUTHBEARER reason=other-user
		user=locked method=OAUTHBEARER reason=locked
		user=locked2 method=OAUTHBEARER reason=locked
		user=locked3 method=OAUTHBEARER reason=locked
		user=locked4 method=OAUTHBEARER reason=locked
		user=locked5 method=OAUTHBEARER reason=locked
		user=nobody method=OAUTHBEARER reason=unknown-user
		user=nobody method=OAUTHBEARER reason=unknown-user
	E
	: >"$LOG"
	dialog <<-E
		C: AUTH XOAUTH2 $(xoauth2 joe bad)
		S: $ERROR
		C= \r\n
		S: $DENIED
		C: AUTH PLAIN $(base64_of '\0joe\0secret')
		S: -ERR [AUTH] Wrong user name or password
		C: AUTH OAUTHBEARER $(bearer joe bad)
		S: $ERROR
		C: AQ==
		S: $DENIED
		S$
	E
	[ "$(grep -c 'reason=token$' "$LOG")" = 4 ]
	[ "$(grep -c 'end .*reason=denied' "$LOG")" = 2 ]
	nothing_is_left
}

@test "* as a password lets tokens in and nothing else; others log in either way" {
	local field
	configure_oauth "maildir $MAILDIR"
	[ "$(answers 'USER joe' 'PASS *' QUIT | sed -n 3p)" = '-ERR [AUTH] Wrong user name or password' ]
	grep -q 'user=joe method=PASS reason=locked' "$LOG"
	[[ $(says good-joe joe) == +OK* ]]
	for field in '{PLAIN}secret' "$(mkpasswd -m sha512crypt secret)" "$(gsasl --mkpasswd -m SCRAM-SHA-256 --password secret)"; do
		only_user_with "$field"
		[[ $(says good-joe joe) == +OK* ]] || fail "$field"
		[[ $(answers 'USER joe' 'PASS secret' QUIT | sed -n 3p) == +OK* ]] || fail "$field"
	done
	# A scheme that pop3d can't check is nothing that a token needs.
	only_user_with '{SSHA}secret'
	[[ $(says good-joe joe) == +OK* ]]
	# {PLAIN} beside it does not lose APOP for that.
	only_user_with '{PLAIN}secret'
	user_with '*' ann
	grep -q '<.*>' <(answers QUIT)
	"$POP3D" -t -f "$CONF"
}

@test "a token is good for as long as the command says so: used again, a second time in a session" {
	[[ $(says good-joe joe) == +OK* ]]
	[[ $(says good-joe joe) == +OK* ]]
	[ "$(answers "AUTH OAUTHBEARER $(bearer joe good-joe)" "AUTH OAUTHBEARER $(bearer joe good-joe)" QUIT | sed -n 3p)" = \
		'-ERR You are logged in already' ]
	# That the command is asked each time is what takes a token back.
	verifier <<<'exit 1'
	answers "AUTH OAUTHBEARER $(bearer joe good-joe)" AQ== QUIT | grep -qxF -e "$DENIED"
}

@test "what is no message is -ERR, asks nobody, and is no try" {
	start_listening
	python <<-'P'
		token = "auth=Bearer good-joe\1"
		def refused(text, mechanism=b"OAUTHBEARER"):
		    c.send(b"AUTH " + mechanism + b" " + (b64(text) or b"="))
		    reply = c.line()
		    assert reply == b"-ERR The mechanism has no such response", (text, reply)
		c = Client(PORT)
		for text in ("", "\1", "n", "n,", "n,,", "n,,\1", "x,,\1", "n,joe,\1" + token + "\1", "N,,\1" + token + "\1",
		             "n,a=,\1" + token + "\1", "n,a=joe\1" + token + "\1", "n,a=j=2coe,\1" + token + "\1",
		             "n,a=joe=,\1" + token + "\1", "n,a=" + "j" * 256 + ",\1" + token + "\1",
		             "F,n,a=joe,\1" + token + "\1", "n,,n=joe,\1" + token + "\1",
		             # no channel binding
		             "p=tls-exporter,,\1" + token + "\1", "p=tls-unique,a=joe,\1" + token + "\1",
		             # the pairs
		             "n,," + token + "\1", "n,,\1" + token, "n,,\1" + token + "\1\1", "n,,\1" + token + "\1x",
		             "n,,\1\1" + token + "\1", "n,,\1" + token + token + "\1", "n,,\1" + token + "auth=\1\1",
		             "n,,\1host\1" + token + "\1", "n,,\1=x\1" + token + "\1", "n,,\1h0st=x\1" + token + "\1",
		             "n,,\1host=\x02\1" + token + "\1", "n,,\1host=\x7f\1" + token + "\1", "n,,\1host=\xe4\1" + token + "\1",
		             "n,,\1host=\0\1" + token + "\1", "n,,\1" + token + "\1\0", "\0n,,\1" + token + "\1",
		             # the scheme
		             "n,,\1auth=good-joe\1\1", "n,,\1auth=Basic good-joe\1\1", "n,,\1auth=Bearer\1\1", "n,,\1auth=Bearer \1\1",
		             "n,,\1auth=Bearergood-joe\1\1", "n,,\1auth= Bearer good-joe\1\1", "n,,\1auth=OAuth realm=x\1\1",
		             # XOAUTH2's
		             "user=joe\1" + token + "\1"):
		    refused(text)
		# Characters that no token has.
		for c_ in "\t\r\n !\"#$%&'()*,:;<>?@[]\\^`{|}\x7f\xe4\x02":
		    refused(f"n,,\1auth=Bearer good{c_}joe\1\1")
		for text in "=", "=good", "go=od", "good-joe=x":
		    refused(f"n,,\1auth=Bearer {text}\1\1")
		for text in ("", "\1", "user=", "user=\1", "user=joe", "user=joe\1", "user=\1" + token + "\1", token + "user=joe\1\1",
		             "user=" + "j" * 256 + "\1" + token + "\1", "user=joe\1" + token, "user=j\0e\1" + token + "\1",
		             "n,a=joe,\1" + token + "\1", "USER=joe\1" + token + "\1", "user=joe\1\1" + token + "\1"):
		    refused(text, b"XOAUTH2")
		# Every beginning of a good message.
		for mechanism in "OAUTHBEARER", "XOAUTH2":
		    whole = oauth_message(mechanism, "joe", "good-joe")
		    for length in range(len(whole)):
		        # (Without a token it is a question.)
		        refused(whole[:length], mechanism.encode())
		# And without an initial response.
		assert challenge(c.say(b"AUTH OAUTHBEARER")) == b""
		assert c.say(b"*") == b"-ERR Authentication cancelled"
		assert challenge(c.say(b"AUTH OAUTHBEARER")) == b""
		assert c.say(b"bix") == b"-ERR Not base64"
		assert oauth(c, "OAUTHBEARER", "joe", "good-joe").startswith(b"+OK")
		c.quit()
	P
	[ "$(grep -c 'has been asked' "$T/listening")" = 1 ]
	run ! grep -qE 'login-failed|violation' "$T/listening"
}

@test "what a message may have: other pairs, any case of Bearer, all characters of a token" {
	verifier <<-'E'
		token=$(cat <&3)
		printf '%s' "$token" | tr -d 'A-Za-z0-9._~+/=-' >&2
		echo joe
	E
	start_listening
	python <<-'P'
		token = "auth=Bearer good-joe\1"
		every = "".join(map(chr, range(65, 91))) + "".join(map(chr, range(97, 123))) + "0123456789-._~+/=="
		for text in ("n,,\1" + token + "\1", "y,,\1" + token + "\1", "n,a=joe,\1" + token + "\1",
		             "n,,\1auth=bearer good-joe\1\1", "n,,\1auth=BeArEr   good-joe\1\1", "n,,\1" + token + "host=h\1port=1\1\1",
		             "n,,\1host=\1" + token + "\1", "n,,\1mthd=POST\1path=/\1post=a\r\n\tb\1qs=\1" + token + "\1",
		             "n,,\1AUTH=Basic x\1authx=1\1xauth=2\1" + token + "\1", f"n,,\1auth=Bearer {every}\1\1",
		             "n,,\1auth=Bearer x\1\1"):
		    c = Client(PORT)
		    reply = c.say(b"AUTH OAUTHBEARER " + b64(text))
		    assert reply.startswith(b"+OK"), (text, reply)
		    c.quit()
		c = Client(PORT)
		assert c.say(b"AUTH XOAUTH2 " + b64("user=joe\1host=x\1" + token + "\1")).startswith(b"+OK")
		c.quit()
	P
	run ! grep -q 'oauth:' "$T/listening"
}

@test "a message without a token asks for scope and discovery (RFC 7628 s.4.3), and is no try" {
	configure_oauth 'oauth_scope https://mail.example.org/ pop' 'oauth_discovery https://id.example.org/.well-known/openid-configuration'
	start_listening
	python <<-'P'
		c = Client(PORT)
		for text in ["n,,\1\1", "n,a=joe,\1auth=\1\1", "n,,\1host=x\1port=1\1\1"] * 3:
		    said = json.loads(challenge(c.say(b"AUTH OAUTHBEARER " + b64(text))))
		    assert said == {"status": "invalid_token", "scope": "https://mail.example.org/ pop",
		                    "openid-configuration": "https://id.example.org/.well-known/openid-configuration"}, said
		    assert c.say(b"AQ==").startswith(b"-ERR [AUTH]")
		assert oauth(c, "XOAUTH2", "joe", "bad").startswith(b"-ERR [AUTH]") and c.error == said
		assert oauth(c, "OAUTHBEARER", "joe", "good-joe").startswith(b"+OK") and not c.error
		c.quit()
	P
	[ "$(grep -c 'login-failed' "$T/listening")" = 1 ]
}

@test "whatever the answer to the error, the login has failed" {
	local dummy
	for dummy in AQ== '' '*' '=' 'not base64' QUIT "AUTH OAUTHBEARER $(bearer joe good-joe)" "$(bearer joe good-joe)" \
		"$(printf %020000d 0)"; do
		dialog <<-E || fail "$dummy"
			C: AUTH OAUTHBEARER $(bearer joe bad)
			S: $ERROR
			C= $dummy\r\n
			S: $DENIED
			C: STAT
			S: -ERR Log in first
			C: AUTH OAUTHBEARER $(bearer joe good-joe)
			S~ \+OK .*
			C: QUIT
			S~ \+OK .*
		E
	done
}

@test "the client goes away within: before its message, after the error, while the command runs" {
	start_listening
	python <<-'P'
		for said in b"AUTH OAUTHBEARER", b"AUTH XOAUTH2 " + b64(oauth_message("XOAUTH2", "joe", "bad")):
		    c = Client(PORT)
		    assert c.say(said).startswith(b"+ ")
		    c.socket.shutdown(socket.SHUT_WR)
		    assert c.line() == b""
	P
	wait_for eval '[ "$(grep -c "end .*reason=closed" "$T/listening")" = 2 ]'
	verifier <<<'sleep 1; echo joe'
	python <<-'P'
		c = Client(PORT)
		c.send(b"AUTH OAUTHBEARER " + b64(oauth_message("OAUTHBEARER", "joe", "good-joe")))
		c.socket.close(), c.file.close()
		# It holds nobody up for longer than that.
		time.sleep(2)
		c = Client(PORT)
		assert oauth(c, "OAUTHBEARER", "joe", "good-joe").startswith(b"+OK")
		c.quit()
	P
	nothing_is_left
}

@test "the session is killed while the command runs: its end is seen (SIGCHLD is not lost)" {
	local monitor session
	verifier <<<'echo started >&2; sleep 1; exit 1'
	start_listening
	connect
	monitor=$(pgrep -P "$SERVER")
	session=$(pgrep -P "$monitor")
	printf 'AUTH OAUTHBEARER %s\r\n' "$(bearer joe good-joe)" >&9
	wait_for grep -q 'oauth: started' "$T/listening"
	kill -KILL "$session" 2>/dev/null
	wait_for grep -q 'end address=.* reason=signal-9' "$T/listening"
	exec 9>&-
}

@test "a token of 9 KiB, all that fits into a response of 12288 octets; a longer one is no response" {
	local token length
	verifier <<-'E'
		[ "$(cat <&3 | wc -c)" = "$1" ] && echo joe
	E
	# n,,^A auth=Bearer ^A ^A
	length=$((9216 - 18))
	token=$(printf "%0${length}d" 0)
	[ "$(base64_of "n,,\001auth=Bearer $token\001\001" | wc -c)" = 12288 ]
	configure "oauth $T/verify $length"
	dialog <<-E
		C: AUTH OAUTHBEARER
		S: + 
		C: $(base64_of "n,,\001auth=Bearer 000$token\001\001")
		S~ -ERR .*too long.*
		C: AUTH OAUTHBEARER
		S: + 
		C: $(base64_of "n,,\001auth=Bearer $token\001\001")
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	# A program that reads nothing of it, or one octet.
	verifier <<<'echo joe'
	[[ $(says "${token:0:9000}") == +OK* ]]
	verifier <<<'dd bs=1 count=1 <&3 2>/dev/null >/dev/null; exec 3<&-; echo joe'
	[[ $(says "${token:0:9000}") == +OK* ]]
}

# broken WORDS: what the log says of a command that does not do its work.
broken() {
	: >"$LOG"
	[ "$(says good-joe joe)" = "$BROKEN" ] || fail "$1: $(cat "$LOG")"
	grep -qF "login-refused address=pipe user=joe method=OAUTHBEARER reason=oauth: $1" "$LOG" || fail "$1: $(cat "$LOG")"
	nothing_is_left
}

@test "a command that is broken: SYS/TEMP for the client, a line for the administrator" {
	verifier <<<'exit 2'; broken 'exit status 2'
	verifier <<<'exit 111'; broken 'exit status 111'
	verifier <<<'echo joe; exit 2'; broken 'exit status 2'
	verifier <<<'kill -SEGV $$'; broken 'signal 11'
	verifier <<<'echo joe; kill -KILL $$'; broken 'signal 9'
	verifier <<<'head -c 1000000 /dev/zero | tr "\0" x'; broken 'too much output'
	verifier <<<'echo joe; head -c 1000000 /dev/zero'; broken 'too much output'
	verifier <<<'exec yes'; broken 'too much output'
	verifier <<<':'; broken "no user's name"
	verifier <<<'echo; echo joe'; broken "no user's name"
	verifier <<<'echo ../joe'; broken "no user's name"
	verifier <<<'echo "joe "'; broken "no user's name"
	verifier <<<'printf "joe\r\n"'; broken "no user's name"
	verifier <<<'printf "joe\0\n"'; broken "no user's name"
	verifier <<<'printf "%0256d\n" 0'; broken "no user's name"
}

# (Under valgrind an execve(2) that fails is the end.)
# bats test_tags=plain
@test "a command that can't be run: likewise" {
	printf '#!/nowhere/sh\n' >"$T/verify"; broken "can't be run: No such file or directory"
	printf 'echo joe\n' >"$T/verify"; broken "can't be run: Exec format error"
	chmod 644 "$T/verify"; broken "can't be run: Permission denied"
	rm "$T/verify"; broken "can't be run: No such file or directory"
	mkdir "$T/verify"; broken "can't be run: Permission denied"
}

@test "a command that hangs is killed, with all its children, and the client told" {
	configure_oauth 'oauth_timeout 1'
	verifier <<<"sleep $LONG"; broken 'no answer in time'
	verifier <<<"sleep $LONG & sleep $LONG"; broken 'no answer in time'
	verifier <<<"trap '' TERM INT HUP; exec >&-; exec 2>&-; while :; do sleep $LONG; done"; broken 'no answer in time'
	verifier <<<'kill -STOP $$'; broken 'no answer in time'
	wait_for no_sleeper
}

@test "a command that is fine: no newline, more lines, children that keep its output, a dead stdin" {
	local before
	verifier <<<'printf joe'
	[[ $(says good-joe joe) == +OK* ]]
	verifier <<<'echo joe; echo ann; head -c 900 /dev/zero'
	[[ $(says good-joe joe) == +OK* ]]
	# What its children still do is of no interest, and ends.
	before=$SECONDS
	verifier <<<"sleep $LONG & echo joe"
	[[ $(says good-joe joe) == +OK* ]]
	verifier <<<'yes >&2 & echo joe'
	[[ $(says good-joe joe) == +OK* ]]
	[ $((SECONDS - before)) -lt 8 ]
	wait_for no_sleeper
	verifier <<<'read -r line || echo joe'
	[[ $(says good-joe joe) == +OK* ]]
	verifier <<<'exec 1>&2; echo joe'
	says good-joe joe >/dev/null
	grep -q "reason=oauth: no user's name" "$LOG"
	nothing_is_left
}

@test "standard error is logged: lines, some of them, cut, and printable" {
	verifier <<-'E'
		printf 'one\n\ntwo\rlogin-failed address=192.0.2.1\n' >&2
		printf '%0400d\n' 0 >&2
		for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo "line $i" >&2; done
		printf 'no end' >&2
		exit 1
	E
	answers "AUTH OAUTHBEARER $(bearer joe x)" AQ== QUIT >/dev/null
	grep -q 'pop3d\[[0-9]*\]: oauth: one$' "$LOG"
	grep -q 'pop3d\[[0-9]*\]: oauth: two?login-failed address=192.0.2.1$' "$LOG"
	grep -q 'oauth: 0\{255\}$' "$LOG"
	[ "$(grep -c 'oauth: ' "$LOG")" = 16 ]
	grep -q 'oauth: line 13$' "$LOG"
	run ! grep -q '^login-failed' "$LOG"
}

@test "no token is in the log, in an environment, or in a list of processes" {
	local token=abcdefghijklmnopqrstuvwxyz0123456789 prefix
	printf '%s\n' "${token:2:20}" >"$T/beginning"
	in_processes() {
		grep -laF -f "$T/beginning" /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null
	}
	# (It would be found.)
	TOKEN=$token sleep 30 3>&- &
	wait_for eval '[ "$(in_processes)" = "/proc/$!/environ" ]'
	kill $!
	verifier <<-'E'
		token=$(cat <&3)
		echo "the token $token is odd" >&2
		printf '%0230d%s\n' 0 "$token" >&2
		printf '%s\n' "$token" >&2
		echo 'that was it' >&2
		[ "${token#good-joe.}" = "$token" ] || echo joe
		while [ ! -e "$1" ]; do sleep 0.1; done
		[ "${token#good-joe.}" != "$token" ]
	E
	configure "oauth $T/verify $T/go" 'oauth_timeout 60' 'auth_timeout 600'
	start_listening
	connect
	for prefix in good-joe. bad.; do
		rm -f "$T/go"
		printf 'AUTH OAUTHBEARER %s\r\n' "$(bearer joe "$prefix$token")" >&9
		wait_for grep -q 'oauth: that was it' "$T/listening"
		[ -z "$(in_processes)" ] || fail "$(in_processes)"
		touch "$T/go"
		read -r -t 20 -u 9 _
		[ $prefix = bad. ] || { exec 9>&- && : >"$T/listening" && connect; }
	done
	printf 'AQ==\r\nQUIT\r\n' >&9
	cat <&9 >/dev/null
	exec 9>&-
	run ! grep -qF "${token:8}" "$T/listening"
	grep -q 'oauth: that was it' "$T/listening"
}

@test "what the command is: descriptors, environment, signals, directory, group, ids, limits" {
	cat >"$T/verify" <<-'E'
		#!/usr/bin/python3 -I
		import os, signal, stat, sys
		def say(*words):
		    print(*words, file=sys.stderr)
		with open("/proc/self/status") as file:
		    status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
		fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
		# (One is the listing's own.)
		say("fds", *fds[:-1])
		say("null", os.readlink("/proc/self/fd/0"))
		say("pipes", *(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (1, 2, 3)))
		say("environment", *sorted(f"{k}={v}" for k, v in os.environ.items() if k != "LC_CTYPE"))
		say("arguments", *sys.argv[1:])
		say("directory", os.getcwd())
		say("leader", os.getpgrp() == os.getpid())
		say("ids", *os.getresuid(), *os.getresgid(), len(os.getgroups()))
		# (Python ignores two of them by itself; two are libc's, which lets nobody change what it
		# was started with.)
		ignored = int(status["SigIgn"], 16) & ~(1 << 12 | 1 << 24 | 3 << 31)
		say("signals", status["SigBlk"].strip("0"), ignored, int(status["SigPnd"], 16))
		say("jail", status["NoNewPrivs"], status["CapEff"].strip("0"))
		os.read(3, 10000)
		print("joe")
	E
	chmod 755 "$T/verify"
	configure "oauth $T/verify	--one  two=\$HOME 'three'"
	SECRET_IN_ENVIRONMENT=1 answers "AUTH OAUTHBEARER $(bearer joe x)" QUIT | grep -q '^+OK Maildrop' || fail "$(cat "$LOG")"
	local ids gid no_new_privs=1
	[ -z "${SANITIZE:-}" ] || no_new_privs=0
	ids="$(id -u) $(id -u) $(id -u) $(id -g) $(id -g) $(id -g) $(python3 -c 'import os; print(len(os.getgroups()))')"
	if [ "$(id -u)" = 0 ]; then
		ids=$(id -u nobody)
		! id pop3d >/dev/null 2>&1 || ids=$(id -u pop3d)
		gid=$(id -g "$(id -nu "$ids")")
		ids="$ids $ids $ids $gid $gid $gid 0"
	fi
	diff <(sed -n 's/.*oauth: //p' "$LOG") - <<-E
		fds 0 1 2 3
		null /dev/null
		pipes True True True
		environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		arguments --one two=\$HOME 'three'
		directory /
		leader True
		ids $ids
		signals  0 0
		jail $no_new_privs 
	E
}

@test "oauth, oauth_timeout, oauth_scope, oauth_discovery: -t says what is wrong with them" {
	local line
	complains() {
		run -78 "$POP3D" -t -f "$CONF"
		[[ $output == *"$1"* ]] || fail "said: $output"
	}
	"$POP3D" -t -f "$CONF"
	configure 'oauth verify'; complains "oauth: the command's path must begin with /"
	configure 'oauth'; complains 'oauth: has no value'
	configure "oauth $T/none --x"; complains "oauth: $T/none: No such file or directory"
	configure "oauth $T"; complains "oauth: $T: is no program"
	configure "oauth $USERS"; complains "oauth: $USERS: Permission denied"
	for line in 0 61 x; do
		configure_oauth "oauth_timeout $line"; complains 'oauth_timeout: must be a number from 1 to 60'
	done
	for line in 'a"b' 'a\b' "$(printf 'a\tb')" "$(printf %0512d 0)"; do
		configure_oauth "oauth_scope $line"; complains 'oauth_scope: must be a scope'
	done
	for line in http://id.example.org/ 'https://id.example.org/ x' 'https://id"' "https://$(printf %0512d 0)"; do
		configure_oauth "oauth_discovery $line"; complains 'oauth_discovery: must be a URL that begins with https://'
	done
	configure_oauth 'oauth_timeout 60' 'oauth_scope pop' 'oauth_discovery https://id.example.org/x'
	run -0 "$POP3D" -t -f "$CONF"
	[ -z "$output" ]
	configure 'mechanisms X'; complains 'OAUTHBEARER, XOAUTH2'
}

@test "oauth: with SIGHUP a command takes the place of another, or goes; a first one takes a restart" {
	reload() {
		: >"$T/listening"
		kill -HUP "$SERVER"
		wait_for grep -q "configuration $1" "$T/listening"
	}
	over_tcp() {
		"$TESTS/talk" --connect "127.0.0.1:$PORT"
	}
	start_listening
	cp "$T/verify" "$T/other"
	sed -i 's/good-/better-/g' "$T/other"
	configure "oauth $T/other"
	reload reloaded
	over_tcp <<-E
		C: AUTH OAUTHBEARER $(bearer joe better-joe)
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	configure
	reload reloaded
	over_tcp <<-E
		C: AUTH OAUTHBEARER $(bearer joe better-joe)
		S: -ERR That mechanism is not available
		C: QUIT
		S~ \+OK .*
	E
	# (Without a filter there is nothing that would have been given up.)
	[ "$POP3D" = "$BUILT/pop3d" ] && [ -z "${SANITIZE:-}" ] || return 0
	configure_oauth
	reload 'not reloaded'
	grep -q 'sandbox: no program can be run any more' "$T/listening"
	over_tcp <<-E
		C: AUTH OAUTHBEARER $(bearer joe better-joe)
		S: -ERR That mechanism is not available
		C: QUIT
		S~ \+OK .*
	E
}

# An identity server: its folder is $T/id; `token PARAMETERS` and `opaque PARAMETERS` are what it issues.

start_identity() {
	mkdir "$T/id"
	"$TESTS/identity" "$T/id" 3>&- &
	PIDS="$PIDS $!"
	wait_for test -e "$T/id/port"
	printf 'mail:s:cr%%t\n' >"$T/id/client"
	INTROSPECTION=http://127.0.0.1:$(cat "$T/id/port")/introspect
}

issue() {
	curl -sSg "http://127.0.0.1:$(cat "$T/id/port")/$1?${2:-}"
}

configure_jwt() {
	configure "oauth $TOP/dist/oauth-jwt --jwks $T/id/jwks.json --issuer https://id.example.org --audience pop3 --claim username" "$@"
}

# judge STATUS TOKEN ARGUMENT...: by dist/oauth-jwt alone.
judge() {
	local status=$1 token=$2
	shift 2
	run "-$status" "$TOP/dist/oauth-jwt" --jwks "$T/id/jwks.json" --issuer https://id.example.org --audience pop3 "$@" \
		3< <(printf %s "$token")
	[ "$status" != 0 ] || [ "$output" = joe ] || fail "said: $output"
}

@test "oauth-jwt: RS256 and ES256 that the issuer has signed, for us, now" {
	local parameters token
	start_identity
	for parameters in '' key=ec 'aud=["web","pop3"]' nbf=1 email_verified=true 'expires=5&iat='; do
		judge 0 "$(issue token "$parameters")" || fail "$parameters"
	done
	judge 0 "$(issue token 'email=&sub=joe')" --claim sub
	judge 0 "$(issue token expires=-5)" --leeway 60
	for parameters in expires=-1 exp= exp=x nbf=99999999999 iat=99999999999 iss=https://id.example.com iss= aud=web aud= \
		'aud=["web"]' email= 'email=["joe"]' email=7 email_verified=false crit=exp; do
		judge 1 "$(issue token "$parameters")" || fail "$parameters"
	done
	# Algorithms: the key says which, not the token.
	for parameters in alg=none 'alg=none&sign=none' alg=None alg= alg=HS256 'alg=HS256&key=ec' 'alg=RS256&sign=HS256' \
		alg=PS256 alg=RS512 'alg=ES256&sign=RS256' 'key=ec&alg=RS256&sign=ES256'; do
		judge 1 "$(issue token "$parameters")" || fail "$parameters"
	done
	# Keys: of others, by the name of ours too; the shared secret in the file.
	for parameters in key=foreign-rsa 'key=foreign-rsa&kid=rsa' key=foreign-ec 'key=foreign-ec&kid=ec' kid=ec kid=none kid= \
		'kid=shared&alg=HS256'; do
		judge 1 "$(issue token "$parameters")" || fail "$parameters"
	done
}

@test "oauth-jwt: tampered with, cut off, or no JWT at all" {
	start_identity
	issue token >"$T/token"
	issue token username=ann >"$T/other"
	TOP=$TOP python <<-'P'
		whole, other = (open(os.environ["T"] + "/" + name).read() for name in ("token", "other"))
		def status(token):
		    read, write = os.pipe()
		    os.write(write, token.encode()), os.close(write)
		    done = subprocess.run(["/bin/sh", "-c", f'exec "$0" "$@" 3<&{read}', os.environ["TOP"] + "/dist/oauth-jwt", "--jwks",
		                           os.environ["T"] + "/id/jwks.json", "--issuer", "https://id.example.org", "--audience", "pop3"],
		                          pass_fds=[read], capture_output=True)
		    os.close(read)
		    # What it says of that is nothing of the token's.
		    assert not token or token[:20].encode() not in done.stderr, done.stderr
		    return done.returncode
		assert status(whole) == status(other) == 0
		header, payload, signature = whole.split(".")
		for token in (".".join(p) for p in ((header, other.split(".")[1], signature), (header, payload, other.split(".")[2]),
		                                    (header, payload, ""), (header, payload), (payload, header, signature),
		                                    (header, payload, signature, signature), ("", payload, signature))):
		    assert status(token) == 1, token
		for token in "", ".", "..", "x", "x.y.z", "=", b64("[" * 5000).decode() + ".x.x", "e30.e30.e30":
		    assert status(token) == 1, token
		for at in range(0, len(whole), len(whole) // 20):
		    assert status(whole[:at]) == 1, at
		    # (The last character of a part has bits that say nothing.)
		    changed = whole[:at] + ("A" if whole[at] != "A" else "B") + whole[at + 1:]
		    assert status(changed) == 1, at
	P
}

@test "oauth-jwt: what is wrong with its arguments or its file is not the token's fault" {
	local token
	start_identity
	token=$(issue token)
	judge 2 "$token" --jwks "$T/none"
	judge 2 "$token" --jwks "$CONF"
	echo '{"keys": []}' >"$T/empty"
	judge 2 "$token" --jwks "$T/empty"
	echo '{"keys": [{"kty": "oct", "k": "c2hhcmVk", "kid": "rsa"}]}' >"$T/empty"
	judge 2 "$token" --jwks "$T/empty"
	judge 2 "$token" --nonsense
	run -2 "$TOP/dist/oauth-jwt" --jwks "$T/id/jwks.json" --issuer https://id.example.org 3< <(printf %s "$token")
	run -2 "$TOP/dist/oauth-jwt" --jwks "$T/id/jwks.json" --issuer https://id.example.org --audience pop3 3<&-
	# In pop3d: that is no denial.
	configure "oauth $TOP/dist/oauth-jwt --jwks $T/none --issuer x --audience y"
	[ "$(says "$token" joe)" = "$BROKEN" ]
	grep -q "oauth: FileNotFoundError: .*$T/none" "$LOG"
	grep -q 'reason=oauth: exit status 2' "$LOG"
}

# introspects STATUS TOKEN ARGUMENT...: by dist/oauth-introspect alone.
introspects() {
	local status=$1 token=$2
	shift 2
	run "-$status" "$TOP/dist/oauth-introspect" --credentials "$T/id/client" "$@" 3< <(printf %s "$token")
	[ "$status" != 0 ] || [ "$output" = joe ] || fail "said: $output"
}

@test "oauth-introspect: tokens that their issuer calls active, for us, now (RFC 7662)" {
	local token
	start_identity
	token=$(issue opaque)
	introspects 0 "$token" "$INTROSPECTION"
	introspects 0 "$token" --audience pop3 "$INTROSPECTION"
	introspects 0 "$token" --claim email "$INTROSPECTION"
	introspects 0 "$(issue opaque 'aud=["web","pop3"]&scope=a%20b')" --audience pop3 --scope b "$INTROSPECTION"
	introspects 0 "$(issue token)" --audience pop3 "$INTROSPECTION"
	introspects 1 "$token" --audience web "$INTROSPECTION"
	introspects 1 "$token" --scope b "$INTROSPECTION"
	introspects 1 "$token" --claim sub "$INTROSPECTION"
	introspects 1 "${token}x" "$INTROSPECTION"
	introspects 1 "" "$INTROSPECTION"
	introspects 1 "$(issue opaque active=false)" "$INTROSPECTION"
	introspects 1 "$(issue opaque expires=-1)" "$INTROSPECTION"
	introspects 1 "$(issue opaque nbf=99999999999)" "$INTROSPECTION"
	introspects 1 "$(issue opaque aud=)" --audience pop3 "$INTROSPECTION"
	introspects 1 "$(issue opaque 'username=["joe"]')" "$INTROSPECTION"
}

@test "oauth-introspect: a server that does not answer so, credentials that it does not know" {
	local token path
	start_identity
	token=$(issue opaque)
	for path in moved odd; do introspects 2 "$token" "${INTROSPECTION%/*}/$path"; done
	introspects 2 "$token" --timeout 1 "${INTROSPECTION%/*}/slow"
	introspects 2 "$token" "http://127.0.0.1:$(free_port)/"
	introspects 2 "$token" http://id.example.org/
	introspects 2 "$token" "file://$T/id/client"
	introspects 2 "$token"
	run -2 "$TOP/dist/oauth-introspect" --credentials "$T/id/client" "$INTROSPECTION" 3<&-
	echo mail:other >"$T/id/client"
	introspects 2 "$token" "$INTROSPECTION"
	[[ $output == *401* && $output != *other* ]]
	echo mail >"$T/id/client"
	introspects 2 "$token" "$INTROSPECTION"
	rm "$T/id/client"
	introspects 2 "$token" "$INTROSPECTION"
	# In pop3d.
	printf 'mail:s:cr%%t\n' >"$T/id/client"
	configure "oauth $TOP/dist/oauth-introspect --credentials $T/id/client ${INTROSPECTION%/*}/slow" 'oauth_timeout 1'
	[ "$(says "$token" joe)" = "$BROKEN" ]
	grep -q 'reason=oauth: no answer in time' "$LOG"
	configure "oauth $TOP/dist/oauth-introspect --credentials $T/id/client $INTROSPECTION"
	[[ $(says "$token" joe) == +OK* ]]
	[[ $(says "$token" joe) == +OK* ]]
	[ "$(says "$(issue opaque username=ann)" joe)" = "$ERROR" ]
	run ! grep -qF "$token" "$LOG"
}

# Mail programs.

curl_bearer() {
	# shellcheck disable=SC2046
	curl -sS --max-time 60 -u joe --oauth2-bearer "$TOKEN" \
		$(choice '' "--ssl-reqd --cacert $PKI/ca.pem" "--cacert $PKI/ca.pem") "$@"
}

# (It takes OAUTHBEARER where that is offered, whatever --login-options says.)
@test "curl logs in with OAUTHBEARER and XOAUTH2: in the clear, over STLS and TLS" {
	local mechanism url TOKEN
	three_messages
	start_identity
	make_certificates
	for mechanism in OAUTHBEARER XOAUTH2; do
		configure_tls rsa -- "mechanisms $mechanism" \
			"oauth $TOP/dist/oauth-jwt --jwks $T/id/jwks.json --issuer https://id.example.org --audience pop3"
		start_listening_tls
		for OVER in plain stls tls; do
			url=$(choice pop3 pop3 pop3s)://localhost:$(choice "$PORT" "$PORT" "$TLS_PORT")
			TOKEN=$(issue token)
			[ "$(curl_bearer -4 "$url/" | wc -l)" = 3 ]
			[ "$(curl_bearer -4 --sasl-ir "$url/1" | sed -n '2s/\r//p')" = 'Subject: one' ]
			TOKEN=$(issue token expires=-1)
			run -67 curl_bearer -4 "$url/"
			run -67 curl_bearer -4 --sasl-ir "$url/"
		done
		[ "$(grep -c "login .*user=joe method=$mechanism tls=-" "$T/listening")" = 2 ]
		[ "$(grep -c "login .*user=joe method=$mechanism tls=1.3" "$T/listening")" = 4 ]
		[ "$(grep -c "login-failed .*user=joe method=$mechanism reason=token\$" "$T/listening")" = 6 ]
		stop_listening
	done
	nothing_is_left
}

@test "mpop logs in with oauthbearer and xoauth2: in the clear, over STLS and TLS" {
	local method
	three_messages
	start_identity
	make_certificates
	configure_tls rsa -- "oauth $TOP/dist/oauth-jwt --jwks $T/id/jwks.json --issuer https://id.example.org --audience pop3"
	start_listening_tls
	for OVER in plain stls tls; do
		for method in oauthbearer xoauth2; do
			mkdir -p "$T/$OVER-$method"
			mpop_configuration "$(choice "$PORT" "$PORT" "$TLS_PORT")" "$T/$OVER-$method" "$method" on
			sed -i "s/password secret/password $(issue token key=ec)/" "$T/mpoprc"
			rm -f "$T/mpop-uidls"
			mpop -q -C "$T/mpoprc"
			[ "$(find "$T/$OVER-$method" -type f | wc -l)" = 3 ]
			sed -i "s/password .*/password $(issue token aud=web)/" "$T/mpoprc"
			run ! mpop -q -C "$T/mpoprc"
			[ "$(grep -c "login .*user=joe method=${method^^} tls=$(choice - 1.3 1.3)" "$T/listening")" = "$(choice 1 1 2)" ]
		done
	done
	nothing_is_left
}

@test "Python's poplib logs in with OAUTHBEARER and XOAUTH2, as programs do that use it" {
	three_messages
	start_identity
	make_certificates
	configure_tls rsa -- "oauth $TOP/dist/oauth-introspect --credentials $T/id/client $INTROSPECTION"
	start_listening_tls
	TOKEN=$(issue opaque) python <<-'P'
		import poplib
		context = ssl.create_default_context(cafile=os.environ["PKI"] + "/ca.pem")
		for over in "plain", "stls", "tls":
		    for mechanism in "OAUTHBEARER", "XOAUTH2":
		        if over == "tls":
		            p = poplib.POP3_SSL("localhost", int(TLS_PORT), timeout=60, context=context)
		        else:
		            p = poplib.POP3("localhost" if over == "stls" else "127.0.0.1", int(PORT), timeout=60)
		        if over == "stls":
		            p.stls(context)
		        assert mechanism in p.capa()["SASL"]
		        p._shortcmd(f"AUTH {mechanism} " + b64(oauth_message(mechanism, "joe", os.environ["TOKEN"])).decode())
		        assert p.stat() == (3, 124)
		        p.quit()
	P
	nothing_is_left
}
