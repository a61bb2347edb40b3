# AUTH: RFC 5034 and its mechanisms.  sasl.py is the client; mail programs are in clients.bats and
# tls_clients.bats.

# shellcheck disable=SC2034 # MODES is for dialog
load helper
load sasl

# Keys that GNU SASL has made.
scram_keys() {
	gsasl --mkpasswd --mechanism "$1" --password "${2:-secret}" --iteration-count "${3:-4096}"
}

PLAIN_JOE=AGpvZQBzZWNyZXQ=

@test "PLAIN: with and without initial response (RFC 5034 s.4, RFC 4616)" {
	three_messages
	dialog <<-E
		C: AUTH PLAIN $PLAIN_JOE
		S: +OK Maildrop has 3 messages (124 octets)
		C: QUIT
		S~ \+OK .*
	E
	dialog <<-E
		C: auth plain
		S: + 
		C: $PLAIN_JOE
		S: +OK Maildrop has 3 messages (124 octets)
		C: STAT
		S: +OK 3 124
		C: QUIT
		S~ \+OK .*
	E
	[ "$(grep -c 'login address=.* user=joe method=PLAIN tls=-' "$LOG")" = 4 ]
}

@test "PLAIN: the authorization identity is the user or nothing" {
	dialog <<-E
		C: AUTH PLAIN $(base64_of 'joe\0joe\0secret')
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
	dialog <<-E
		C: AUTH PLAIN $(base64_of 'ann\0joe\0secret')
		S: -ERR [AUTH] No one may log in as another user
		C: AUTH PLAIN $PLAIN_JOE
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "PLAIN and LOGIN: crypt(3) hashes, and SCRAM keys, serve them too" {
	local field
	for field in "$(mkpasswd -m sha512crypt secret)" "{CRYPT}$(mkpasswd -m yescrypt secret)" \
		"$(scram_keys SCRAM-SHA-1)" "$(scram_keys SCRAM-SHA-256 secret 10000)"; do
		only_user_with "$field"
		dialog <<-E || fail "$field"
			C: AUTH PLAIN $(base64_of '\0joe\0Secret')
			S: -ERR [AUTH] Wrong user name or password
			C: USER joe
			S~ \+OK .*
			C: PASS secre
			S: -ERR [AUTH] Wrong user name or password
			C: AUTH LOGIN
			S: + VXNlcm5hbWU6
			C: am9l
			S: + UGFzc3dvcmQ6
			C: c2VjcmV0
			S~ \+OK .*
			C: QUIT
			S~ \+OK .*
		E
	done
}

@test "PLAIN and LOGIN: what they do not say is -ERR, and no try" {
	local what long
	long=$(printf 'x%.0s' {1..256})
	for what in '' 'joe' '\0joe' 'joe\0secret' '\0joe\0secret\0' "\\0$long\\0x" "\\0joe\\0$long"; do
		dialog <<-E
			C: AUTH PLAIN
			S: + 
			C: $(base64_of "$what")
			S: -ERR The mechanism has no such response
			C: AUTH LOGIN $(base64_of 'j\0e')
			S: + UGFzc3dvcmQ6
			C: c2VjcmV0
			S: -ERR The mechanism has no such response
			C: AUTH PLAIN $PLAIN_JOE
			S~ \+OK .*
			C: QUIT
			S~ \+OK .*
		E
	done
	run ! grep -q login-failed "$LOG"
}

@test "LOGIN: the name as initial response" {
	dialog <<-'E'
		C: AUTH LOGIN am9l
		S: + UGFzc3dvcmQ6
		C: c2VjcmV0
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "AUTH: base64 is strict, * cancels, = is an empty response (RFC 5034 s.4, RFC 4648 s.3)" {
	local bad
	for bad in 'AGpvZQBzZWNyZXQ' 'AGpvZQBzZWNyZXR=' 'AGpvZQBzZWNyZXQ =' 'AGpv ZQBzZWNyZXQ=' '====' \
		'AGp-ZQBzZWNyZXQ=' 'AGpvZQBzZWNyZXQ=AAAA' '=AAA' 'AA=A' ' ' '**' '+OK'; do
		dialog <<-E
			C: AUTH PLAIN
			S: + 
			C: $bad
			S: -ERR Not base64
			C: AUTH PLAIN $PLAIN_JOE
			S~ \+OK .*
			C: QUIT
			S~ \+OK .*
		E
	done
	dialog <<-E
		C: AUTH LOGIN
		S: + VXNlcm5hbWU6
		C: *
		S: -ERR Authentication cancelled
		C: AUTH PLAIN =
		S: -ERR The mechanism has no such response
		C: AUTH PLAIN x
		S: -ERR Not base64
		C: AUTH CRAM-MD5 =
		S: -ERR This mechanism begins with a challenge
		C: AUTH PLAIN $PLAIN_JOE x
		S: -ERR Too many arguments, or spaces
		C: AUTH PLAIN $PLAIN_JOE
		S~ \+OK .*
		C: AUTH PLAIN $PLAIN_JOE
		S: -ERR You are logged in already
		C: QUIT
		S~ \+OK .*
	E
	run ! grep -q login-failed "$LOG"
}

@test "AUTH: responses of 12288 octets are taken, longer ones are not; other commands have 255 (RFC 5034 s.4)" {
	local long longer
	long=$(head -c 9216 /dev/zero | base64 -w 0)
	longer=$(head -c 9219 /dev/zero | base64 -w 0)
	[ ${#long} = 12288 ]
	MODES=('' '--pipelined --pipes' '--pipelined')
	dialog <<-E
		C: AUTH PLAIN
		S: + 
		C: $long
		S: -ERR The mechanism has no such response
		C: AUTH PLAIN
		S: + 
		C: $longer
		S~ -ERR .*too long.*
		C: AUTH PLAIN ${long:0:8000}
		S: -ERR The mechanism has no such response
		C: NOOP $(printf %0300d 0)
		S~ -ERR .*too long.*
		C: USER $(printf %0251d 0)
		S~ -ERR .*too long.*
		C: AUTH PLAIN $PLAIN_JOE
		S~ \+OK .*
		C: AUTH PLAIN $(printf %0300d 0)
		S: -ERR You are logged in already
		C: QUIT
		S~ \+OK .*
	E
}

@test "AUTH without a mechanism, and with one space, lists them; others are -ERR" {
	dialog <<-'E'
		C: AUTH
		S: +OK Mechanisms follow
		S: SCRAM-SHA-256
		S: SCRAM-SHA-1
		S: CRAM-MD5
		S: PLAIN
		S: LOGIN
		S: .
		C= AUTH \r\n
		S...
		C: AUTH KERBEROS_V4
		S: -ERR That mechanism is not available
		C: AUTH SCRAM-SHA-256-PLUS biws
		S: -ERR That mechanism needs TLS
		C: AUTH PLAI
		S: -ERR That mechanism is not available
		C: QUIT
		S~ \+OK .*
	E
}

@test "a failed AUTH is as if there had been none: RFC 5034 s.4" {
	dialog <<-'E'
		C: USER joe
		S~ \+OK .*
		C: AUTH NONE
		S~ -ERR .*
		C: AUTH PLAIN
		S: + 
		C: *
		S~ -ERR .*
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "the SASL capability is what would work: for all users, with or without TLS, after the login too" {
	[ "$(mechanisms)" = 'SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN' ]
	[ "$(answers "AUTH PLAIN $PLAIN_JOE" CAPA QUIT | sed -n 's/^SASL //p')" = "$(mechanisms)" ]
	user_with '!' locked
	user_with '{PLAIN}' empty
	[ "$(mechanisms)" = 'SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN' ]
	user_with "$(scram_keys SCRAM-SHA-256)" ann
	[ "$(mechanisms)" = 'SCRAM-SHA-256 PLAIN LOGIN' ]
	run ! grep -q '<.*>' <(answers QUIT)
	user_with "$(scram_keys SCRAM-SHA-1)" bob
	[ "$(mechanisms)" = 'PLAIN LOGIN' ]
	only_user_with "$(scram_keys SCRAM-SHA-1)"
	[ "$(mechanisms)" = 'SCRAM-SHA-1 PLAIN LOGIN' ]
	user_with "$(mkpasswd -m sha512crypt secret)" ann
	[ "$(mechanisms)" = 'PLAIN LOGIN' ]
	# None at all is no empty list.
	configure 'plaintext never'
	run ! grep -q SASL <(answers CAPA QUIT)
	[ "$(answers AUTH QUIT | sed -n 2p)" = '-ERR No password is taken without TLS here: use STLS, or the port for TLS' ]
	: >"$USERS"
	user_with '{PLAIN}secret'
	[ "$(mechanisms)" = 'SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5' ]
	[ "$(answers 'AUTH PLAIN' QUIT | sed -n 2p)" = '-ERR No password is taken without TLS here: use STLS, or the port for TLS' ]
	make_certificates
	configure_tls rsa -- 'plaintext never'
	MODES=('--tls' '--stls')
	dialog <<-'E'
		C: CAPA
		S~ \+OK .*
		S: TOP
		S: USER
		S: SASL SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN
		S...
		C: QUIT
		S~ \+OK .*
	E
}

@test "mechanisms: those that are named, where they serve anyone" {
	user_with "$(mkpasswd -m sha512crypt secret)" ann
	configure 'mechanisms SCRAM-SHA-256 plain apop'
	[ "$(mechanisms)" = 'SCRAM-SHA-256 PLAIN' ]
	run ! grep -qx USER <(answers CAPA QUIT)
	grep -q '<.*>' <(answers QUIT)
	[ "$(answers 'USER joe' QUIT | sed -n 2p)" = '-ERR That mechanism is not available' ]
	[ "$(answers 'AUTH CRAM-MD5' QUIT | sed -n 2p)" = '-ERR That mechanism is not available' ]
	start_listening
	python <<-'P'
		c = Client(PORT)
		assert Scram(c, "SCRAM-SHA-256", "ann", "secret").run().startswith(b"-ERR [AUTH]")
		assert Scram(c, "SCRAM-SHA-256", "joe", "secret").run().startswith(b"+OK")
		c.quit()
	P
	grep -q 'login-failed .*user=ann method=SCRAM-SHA-256 reason=stored-otherwise' "$T/listening"
	configure 'mechanisms USER'
	run ! grep -q SASL <(answers CAPA QUIT)
	[ "$(answers 'AUTH PLAIN' QUIT | sed -n 2p)" = '-ERR That mechanism is not available' ]
	configure 'mechanisms NTLM'
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == *'mechanisms: knows only USER, APOP, PLAIN, LOGIN, CRAM-MD5, '* ]]
}

@test "CRAM-MD5: a new challenge each time, good for one answer (RFC 2195)" {
	start_listening
	python <<-'P'
		c = Client(PORT)
		first = challenge(c.say(b"AUTH CRAM-MD5"))
		answer = b64("joe " + hmac.new(b"secret", first, "md5").hexdigest())
		assert c.say(b"*") == b"-ERR Authentication cancelled"
		second = challenge(c.say(b"AUTH CRAM-MD5"))
		assert first != second and first[:1] == b"<" and first[-1:] == b">", first
		assert c.say(answer) == b"-ERR [AUTH] Wrong user name or password"
		for wrong in "joe", "joe " + "0" * 31, "joe " + "g" * 32, " " + "0" * 32, "joe  " + "0" * 33, "":
		    challenge(c.say(b"AUTH CRAM-MD5"))
		    reply = c.say(b64(wrong))
		    assert reply == b"-ERR The mechanism has no such response" or wrong[0] == " " and b"[AUTH]" in reply, wrong
		# Each of the eight has been asked for.
		assert c.say(b"AUTH CRAM-MD5") == b"-ERR Too many tries"
		c.quit()
		c = Client(PORT)
		assert cram_md5(c, "joe", "wrong") == b"-ERR [AUTH] Wrong user name or password"
		assert cram_md5(c, "joe", "").startswith(b"-ERR [AUTH]")
		assert cram_md5(c, "joe", "secret").startswith(b"+OK")
		c.quit()
	P
	grep -q 'login-failed .*user=joe method=CRAM-MD5 reason=digest' "$T/listening"
	grep -q 'login .*user=joe method=CRAM-MD5' "$T/listening"
}

@test "the digests and keys of RFC 2195, RFC 5802 and RFC 7677" {
	"$BUILT/unit" sasl
}

@test "SCRAM: with and without initial response, extensions, from {PLAIN} and from keys (RFC 5802, RFC 7677)" {
	local field
	for field in '{PLAIN}secret' "$(scram_keys SCRAM-SHA-1)" "$(scram_keys SCRAM-SHA-256 secret 12345)"; do
		only_user_with "$field"
		start_listening
		MECHANISM=$(sed -n 's/^{\(SCRAM[^}]*\)}.*/\1/p' <<<"$field") python <<-'P'
			for mechanism in [os.environ["MECHANISM"]] if os.environ["MECHANISM"] else ["SCRAM-SHA-1", "SCRAM-SHA-256"]:
			    for initial in True, False:
			        for header in "n,,", "y,,", "n,a=joe,":
			            c = Client(PORT)
			            s = Scram(c, mechanism, "joe", "secret", header=header)
			            assert s.run(initial, ",x=y").startswith(b"+OK"), (mechanism, initial, header)
			            c.quit()
			    c = Client(PORT)
			    assert Scram(c, mechanism, "joe", "wrong").run() == b"-ERR [AUTH] Wrong user name or password"
			    assert Scram(c, mechanism, "ann", "secret").run() == b"-ERR [AUTH] Wrong user name or password"
			    assert gsasl(c, mechanism, {AUTHID: "joe", PASSWORD: "secret"}).startswith(b"+OK")
			    c.quit()
		P
		stop_listening
	done
}

@test "SCRAM: truncated, reordered and forged steps" {
	start_listening
	python <<-'P'
		def first(text, mechanism=b"SCRAM-SHA-256"):
		    c = Client(PORT)
		    reply = c.say(b"AUTH " + mechanism + b" " + b64(text))
		    assert reply.startswith(b"-ERR "), (text, reply)
		    assert c.say(b"NOOP") == b"-ERR Log in first"
		    c.quit()
		    return reply
		for text in ("n", "n,", "n,,", "n,,n=joe", "n,,n=joe,", "n,,n=joe,r=", "n,,n=,r=x", "n,,r=x,n=joe", "n,,m=1,n=joe,r=x", "x,,n=joe,r=x",
		             "n,joe,n=joe,r=x", "n,a=,n=joe,r=x", "n,,n=j=2coe,r=x", "n,,n=joe=,r=x", "n,,n=joe=3,r=x", "p=tls-exporter,,n=joe,r=x",
		             "n,,n=" + "j" * 256 + ",r=x", "n,,n=joe,r=" + "x" * 2048, b"n,,n=joe,r=x\0", b"n,,n=joe\0,r=x"):
		    assert first(text) == b"-ERR The mechanism has no such response", text
		assert first("n,a=ann,n=joe,r=x") == b"-ERR No one may log in as another user"

		def final(change, expected):
		    c = Client(PORT)
		    s = Scram(c, "SCRAM-SHA-256", "joe", "secret")
		    s.first()
		    reply = c.say(b64(change(s, s.final())))
		    assert reply.startswith(expected), (s.final(), reply)
		    assert c.say(b"NOOP") == b"-ERR Log in first"
		    assert Scram(c, "SCRAM-SHA-256", "joe", "secret").run().startswith(b"+OK")
		    c.quit()
		malformed = b"-ERR The mechanism has no such response"
		final(lambda s, t: "", malformed)
		final(lambda s, t: t[2:], malformed)
		final(lambda s, t: t[:-1], malformed)
		final(lambda s, t: t + "x", malformed)
		final(lambda s, t: t + "\0", malformed)
		final(lambda s, t: s.without_proof, malformed)
		final(lambda s, t: t.replace(",r=", ",r=x"), malformed)
		final(lambda s, t: t.replace(s.whole_nonce, s.nonce), malformed)
		final(lambda s, t: t.replace(s.whole_nonce, s.whole_nonce + "x"), malformed)
		final(lambda s, t: t.replace("c=biws", "c=eSws"), b"-ERR The channel binding is another one")
		final(lambda s, t: t.replace("c=biws", "c=biwsbiws"), b"-ERR The channel binding is another one")
		final(lambda s, t: s.without_proof + ",p=" + b64(bytes(32)).decode(), b"-ERR [AUTH]")
		final(lambda s, t: s.without_proof + ",p=" + b64(bytes(20)).decode(), malformed)
		# An extension that the proof does not cover.
		final(lambda s, t: t.replace(",p=", ",x=y,p="), b"-ERR [AUTH]")

		# A replay: the same messages in another session, and in this one.
		c, d = Client(PORT), Client(PORT)
		s, t = Scram(c, "SCRAM-SHA-256", "joe", "secret"), Scram(d, "SCRAM-SHA-256", "joe", "secret")
		s.first(), t.first()
		assert s.whole_nonce != t.whole_nonce
		said = b64(s.final())
		assert d.say(said) == malformed
		reply = c.say(said)
		assert challenge(reply).startswith(b"v=")
		# Who does not like the signature does not get in.
		assert c.say(b"*") == b"-ERR Authentication cancelled"
		assert c.line() == b""
		t.first()
		assert d.say(said) == malformed
		d.quit()

		# Eight challenges a connection.
		c = Client(PORT)
		for i in range(8):
		    assert Scram(c, "SCRAM-SHA-1", "joe", "secret").first().startswith(b"+ ")
		    assert c.say(b"*") == b"-ERR Authentication cancelled"
		assert Scram(c, "SCRAM-SHA-1", "joe", "secret").first() == b"-ERR Too many tries"
		c.quit()
	P
	wait_for no_sessions
	grep -q 'login-failed .*user=joe method=SCRAM-SHA-256 reason=proof' "$T/listening"
	run ! grep -q violation "$T/listening"
}

@test "SCRAM: the end of a session in the midst of it, everywhere" {
	start_listening
	python <<-'P'
		for step in range(3):
		    c = Client(PORT)
		    s = Scram(c, "SCRAM-SHA-256", "joe", "secret")
		    if step > 0:
		        s.first()
		    else:
		        c.send(b"AUTH SCRAM-SHA-256")
		        c.line()
		    if step > 1:
		        c.say(b64(s.final()))
		    c.socket.shutdown(socket.SHUT_WR)
		    assert c.line() == b""
		# Nobody holds the maildrop.
		c = Client(PORT)
		assert Scram(c, "SCRAM-SHA-256", "joe", "secret").run().startswith(b"+OK")
		c.quit()
	P
	wait_for no_sessions
	run ! grep -q violation "$T/listening"
}

@test "SCRAM: who is not there has a salt that stays, others have others" {
	user_with '{PLAIN}other' ann
	start_listening
	python <<-'P'
		def ask(user, mechanism="SCRAM-SHA-256"):
		    c = Client(PORT)
		    s = Scram(c, mechanism, user, "secret")
		    s.first()
		    c.say(b"*"), c.quit()
		    return s.salt, s.iterations
		assert ask("nobody") == ask("nobody") != ask("someone")
		assert ask("joe") == ask("joe") != ask("ann") != ask("nobody")
		assert ask("nobody")[1] == ask("joe")[1] == 4096
		assert len(ask("nobody")[0]) == len(ask("joe")[0])
		# What is no user's name at all.
		assert ask("../x") == ask("../x") and ask("a b")[1] == 4096
		open(os.environ["T"] + "/before", "w").write(repr([ask("nobody"), ask("joe")]))
	P
	# Another seed makes others; the same one the same.
	printf '#seed %s\n' one | cat - "$USERS" >"$T/users.new"
	cat "$T/users.new" >"$USERS"
	stop_listening
	configure 'scram_iterations 5000'
	start_listening
	python <<-'P'
		def ask(user):
		    c = Client(PORT)
		    s = Scram(c, "SCRAM-SHA-256", user, "secret")
		    s.first()
		    c.say(b"*"), c.quit()
		    return s.salt, s.iterations
		before = eval(open(os.environ["T"] + "/before").read())
		seed = hashlib.sha256(b"#seed one").digest()
		user = hmac.digest(seed, b"nobody", "sha256")
		assert ask("nobody") == (b64(hmac.digest(user, b"2", "sha256")[:16]).decode(), 5000)
		assert ask("joe")[0] != before[1][0]
		c = Client(PORT)
		assert Scram(c, "SCRAM-SHA-256", "joe", "secret").run().startswith(b"+OK")
		c.quit()
	P
}

@test "SCRAM-...-PLUS: tls-exporter and tls-server-end-point, TLS 1.2 and 1.3 (RFC 9266, RFC 5929)" {
	make_certificates
	configure_tls rsa
	start_listening_tls
	python <<-'P'
		for tls in "1.2", "1.3":
		    for stls in True, False:
		        c = Client(PORT if stls else TLS_PORT, tls, stls)
		        point = hashlib.sha256(c.certificate()).digest()
		        s = Scram(c, "SCRAM-SHA-1-PLUS", "joe", "secret", "p=tls-server-end-point,,", point)
		        assert s.run().startswith(b"+OK"), tls
		        c.quit()
		    for mechanism in "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS":
		        for name in "tls-exporter", "tls-server-end-point":
		            c = Exporting(TLS_PORT, tls)
		            assert len(c.bindings[name]) == 32
		            s = Scram(c, mechanism, "joe", "secret", f"p={name},,", c.bindings[name])
		            assert s.run().startswith(b"+OK"), (tls, name)
		            c.quit(), c.close()
		        # GNU SASL, with what GnuTLS says.
		        c = Exporting(TLS_PORT, tls)
		        said = {AUTHID: "joe", PASSWORD: "secret", TLS_EXPORTER: b64(c.bindings["tls-exporter"]).decode()}
		        assert gsasl(c, mechanism, said).startswith(b"+OK")
		        c.quit(), c.close()

		def refused(header, binding, expected, mechanism="SCRAM-SHA-256-PLUS"):
		    c = Client(TLS_PORT, "1.3")
		    s = Scram(c, mechanism, "joe", "secret", header, binding)
		    reply = s.run()
		    assert reply == expected, (header, reply)
		    c.quit()
		malformed, another = b"-ERR The mechanism has no such response", b"-ERR The channel binding is another one"
		refused("p=tls-server-end-point,,", point[:-1] + b"x", another)
		refused("p=tls-server-end-point,,", b"", another)
		refused("p=tls-exporter,,", point, another)
		refused("p=tls-unique,,", point, another)
		refused("p=" + "x" * 100 + ",,", point, another)
		refused("n,,", b"", malformed)
		refused("y,,", b"", malformed)
		# The client would have used it, but has not seen it: someone has changed the list.
		refused("y,,", b"", another, "SCRAM-SHA-256")
		c = Client(TLS_PORT, "1.3")
		assert Scram(c, "SCRAM-SHA-256", "joe", "secret").run().startswith(b"+OK")
		c.quit()
	P
	wait_for no_sessions
	grep -q 'login .*user=joe method=SCRAM-SHA-256-PLUS tls=1.3' "$T/listening"
	run ! grep -q violation "$T/listening"
}

@test "SCRAM-...-PLUS: tls-server-end-point on a resumed session; tls-unique of TLS 1.2 (RFC 5929)" {
	make_certificates
	configure_tls rsa ec
	start_listening_tls
	python <<-'P'
		def log_in(c, name, binding):
		    reply = Scram(c, "SCRAM-SHA-256-PLUS", "joe", "secret", f"p={name},,", binding).run()
		    c.quit()
		    return reply.startswith(b"+OK")
		for tls in "1.2", "1.3":
		    for stls in True, False:
		        port = PORT if stls else TLS_PORT
		        first = Client(port, tls, stls)
		        first.multi(b"CAPA")
		        point = hashlib.sha256(first.certificate()).digest()
		        second = Client(port, tls, stls, resumes=first)
		        second.multi(b"CAPA")
		        third = Client(port, tls, stls, resumes=second)
		        first.quit()
		        assert log_in(second, "tls-server-end-point", point), tls
		        assert log_in(third, "tls-server-end-point", point), tls
		first = Client(TLS_PORT, "1.2")
		second = Client(TLS_PORT, "1.2", resumes=first)
		for c in first, second:
		    unique = c.socket.get_channel_binding("tls-unique")
		    assert len(unique) == 12
		    assert log_in(c, "tls-unique", unique)
		c = Client(TLS_PORT, "1.3")
		assert not log_in(c, "tls-unique", c.socket.get_channel_binding("tls-unique"))
	P
}

@test "SCRAM: what is no message of RFC 5802 s.7, or has m= (s.5.1)" {
	start_listening
	python <<-'P'
		def refused(change_first=lambda t: t, change_final=lambda t: t):
		    c = Client(PORT)
		    s = Scram(c, "SCRAM-SHA-256", "joe", "secret")
		    s.bare = change_first(s.bare)
		    reply = s.first()
		    if reply.startswith(b"+ "):
		        reply = c.say(b64(change_final(s.final())))
		    c.quit()
		    return reply == b"-ERR The mechanism has no such response"
		for extension in ",m=must", ",garbage", ",", ",=", ",r=second", ",n=ann", ",x=", ",x", ",1=2", ",x=1,", ",x=1,,y=2", ",x=1,m=2":
		    assert refused(lambda t: t + extension), extension
		    assert refused(change_final=lambda t: t.replace(",p=", extension + ",p=")), extension
		    if extension not in (",",):
		        assert refused(change_final=lambda t: t + extension), extension
		for nonce in "a b", "a\x01b", "a\x7fb", "aéb", "a\r\nb":
		    assert refused(lambda t: t.replace("r=", "r=" + nonce)), nonce
		# Others may follow, and are signed with the rest.
		c = Client(PORT)
		s = Scram(c, "SCRAM-SHA-256", "joe", "secret")
		s.bare += ",x=1,y==,Z=m=1"
		assert s.run(extension=",x=abc,q=1").startswith(b"+OK")
		c.quit()
	P
}

@test "SCRAM: a false salt looks like the users' own, by mechanism too" {
	only_user_with '{PLAIN}secret'
	# Twelve octets, 5000 iterations.
	user_with "{SCRAM-SHA-256}5000,AAECAwQFBgcICQoL,$(printf %032d 0 | base64),$(printf %032d 0 | base64)" keyed
	start_listening -o 'mechanisms SCRAM-SHA-256 SCRAM-SHA-1'
	python <<-'P'
		def ask(user, mechanism):
		    c = Client(PORT)
		    s = Scram(c, mechanism, user, "secret")
		    s.first()
		    c.say(b"*"), c.quit()
		    return s.salt, len(base64.b64decode(s.salt)), s.iterations
		for user in "keyed", "joe", "nobody":
		    assert ask(user, "SCRAM-SHA-256")[1:] == (12, 5000)
		    assert ask(user, "SCRAM-SHA-1")[1:] == (16, 4096)
		    assert ask(user, "SCRAM-SHA-256")[0][:8] != ask(user, "SCRAM-SHA-1")[0][:8]
		c = Client(PORT)
		assert Scram(c, "SCRAM-SHA-256", "joe", "secret").run().startswith(b"+OK")
		c.quit()
	P
	# Who asks and does not answer stands in the log.
	wait_for no_sessions
	grep -q 'login-failed address=127.0.0.1 user=nobody method=SCRAM-SHA-1 reason=unanswered' "$T/listening"
	[ "$(grep -c 'reason=unanswered' "$T/listening")" = 12 ]
}

@test "no more challenges than eight a connection, STLS or not; then CAPA does not have them" {
	make_certificates
	configure_tls rsa
	start_listening
	python <<-'P'
		class Both(Client):
		    def secure(self):
		        assert self.say(b"STLS").startswith(b"+OK")
		        self.context = ssl.create_default_context()
		        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
		        self.socket = self.context.wrap_socket(self.socket)
		        self.file = self.socket.makefile("rb")
		c = Both(PORT)
		for i in range(5):
		    assert c.say(b"AUTH CRAM-MD5").startswith(b"+ "), i
		    c.say(b"*")
		c.secure()
		for i in range(3):
		    assert c.say(b"AUTH SCRAM-SHA-256 " + b64("n,,n=joe,r=x")).startswith(b"+ "), i
		    c.say(b"*")
		assert b"SASL PLAIN LOGIN" in c.multi(b"CAPA")
		assert c.say(b"AUTH SCRAM-SHA-256") == b"-ERR Too many tries"
		assert c.say(b"AUTH CRAM-MD5") == b"-ERR Too many tries"
		assert c.say(b"AUTH PLAIN " + b64("\0joe\0secret")).startswith(b"+OK")
		c.quit()
	P
	wait_for no_sessions
	run ! grep -q violation "$T/listening"
}

@test "CRAM-MD5 and PLAIN: nothing behind, nothing empty" {
	start_listening
	python <<-'P'
		malformed = b"-ERR The mechanism has no such response"
		c = Client(PORT)
		text = challenge(c.say(b"AUTH CRAM-MD5"))
		digest = hmac.new(b"secret", text, "md5").hexdigest()
		assert c.say(b64(f"joe {digest}\0garbage")) == malformed
		for response in "\0\0secret", "\0joe\0", "\0\0", "joe\0joe\0", "joe\0\0secret":
		    assert c.say(b"AUTH PLAIN " + b64(response)) == malformed, response
		c.quit()
	P
	wait_for no_sessions
	run ! grep -q login-failed "$T/listening"
}

@test "-t: mechanisms that can't work, and nobody who can log in" {
	local hash='$6$LN9QyGkQdLoeHSAf$cJk2ICdQ7hfr3mhMpz4/e2tOdsMZi/4EEp8uhtvqLV8ZLzeS7cHhCIFbYYqkw0C6SwP.jCdqGLRhUqUGMpTPm/'
	warns() {
		run -0 "$POP3D" -t -f "$CONF"
		[[ $output == *"$1"* ]] || fail "$output"
	}
	only_user_with "$hash"
	configure 'mechanisms USER APOP CRAM-MD5 SCRAM-SHA-256'
	warns 'mechanisms: warning: APOP: no user has a password that is stored for it'
	warns 'mechanisms: warning: CRAM-MD5: no user'
	warns 'mechanisms: warning: SCRAM-SHA-256: no user'
	[[ $output != *nobody* ]]
	configure 'mechanisms CRAM-MD5'
	warns 'warning: nobody can log in'
	configure 'plaintext never'
	warns 'warning: nobody can log in'
	only_user_with '{PLAIN}secret'
	configure 'mechanisms SCRAM-SHA-256-PLUS'
	warns 'mechanisms: warning: SCRAM-SHA-256-PLUS: it needs TLS, and there is no tls_certificate'
	warns 'warning: nobody can log in'
	configure 'plaintext never'
	run -0 "$POP3D" -t -f "$CONF"
	[ -z "$output" ] || fail "$output"
}

@test "names of SCRAM: =2C and =3D" {
	user_with '{PLAIN}secret' 'a,b=c'
	start_listening
	python <<-'P'
		c = Client(PORT)
		assert Scram(c, "SCRAM-SHA-256", "a=2Cb=3Dc", "secret").run().startswith(b"+OK")
		c.quit()
	P
}

@test "three failed logins end it, whatever they are" {
	start_listening
	python <<-'P'
		c = Client(PORT)
		assert b"[AUTH]" in Scram(c, "SCRAM-SHA-256", "joe", "wrong").run()
		assert b"[AUTH]" in cram_md5(c, "joe", "wrong")
		assert b"[AUTH]" in c.say(b"AUTH PLAIN " + b64("\0joe\0wrong"))
		assert c.line() == b""
	P
	wait_for no_sessions
	grep -q 'end .*reason=denied' "$T/listening"
}

@test "mpop and GNU SASL log in with each mechanism" {
	local method
	load clients.bash
	start_listening
	three_messages
	for method in plain login cram-md5 scram-sha-1 scram-sha-256; do
		mkdir -p "$T/$method"
		mpop_configuration "$PORT" "$T/$method" "$method" on
		rm -f "$T/mpop-uidls"
		mpop -q -C "$T/mpoprc"
		[ "$(find "$T/$method" -type f | wc -l)" = 3 ]
		grep -q "login .*method=${method^^} " "$T/listening"
	done
	python <<-'P'
		for mechanism in "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256":
		    c = Client(PORT)
		    assert gsasl(c, mechanism, {AUTHID: "joe", PASSWORD: "secret"}).startswith(b"+OK"), mechanism
		    c.quit()
	P
}

@test "curl logs in with each mechanism that it has" {
	local method
	start_listening
	for method in PLAIN LOGIN CRAM-MD5; do
		curl -sS --max-time 60 -u joe:secret --login-options "AUTH=$method" "pop3://127.0.0.1:$PORT/"
		curl -sS --max-time 60 -u joe:secret --sasl-ir --login-options "AUTH=$method" "pop3://127.0.0.1:$PORT/"
		[ "$(grep -c "login .*method=$method " "$T/listening")" = 2 ]
	done
}

@test "-t: SCRAM keys that are none" {
	local field
	for field in '{SCRAM-SHA-256}x' '{SCRAM-SHA-256}4096,c2FsdA==,AAAA,AAAA' \
		"$(scram_keys SCRAM-SHA-1 | sed 's/SHA-1/SHA-256/')" "$(scram_keys SCRAM-SHA-256),x" \
		"$(scram_keys SCRAM-SHA-256 | sed 's/}4096/}0/')"; do
		only_user_with "$field"
		run -78 "$POP3D" -t -f "$CONF"
		[[ $output == *'must be iterations,salt,stored key,server key in base64'* ]] || fail "$field: $output"
	done
	only_user_with "$(scram_keys SCRAM-SHA-256)"
	"$POP3D" -t -f "$CONF"
}

# U+2168 is IX, U+00AD is nothing, U+00A0 is a space: RFC 4013.
# bats test_tags=loads
@test "SASLprep: names and passwords that are the same are the same, for each mechanism" {
	only_user_with "{PLAIN}$(printf '\342\205\250-so\302\255ft')"
	user_with "$(mkpasswd -m sha512crypt -R 1000 'IX-soft')" hashed
	user_with "{SCRAM-SHA-256}$(scram_keys SCRAM-SHA-256 'IX-soft' | sed 's/^{SCRAM-SHA-256}//')" keyed
	user_with '{PLAIN}secret' "$(printf 'm\303\274ller')"
	start_listening -o 'mechanisms USER PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256'
	python <<-'P'
		def client():
		    return Client(PORT)
		def plain(user, password):
		    c = client()
		    reply = c.say(b"AUTH PLAIN " + b64(f"\0{user}\0{password}"))
		    c.quit()
		    return reply.startswith(b"+OK")
		def scram(user, password, mechanism="SCRAM-SHA-256"):
		    c = client()
		    reply = Scram(c, mechanism, user, password).run()
		    c.quit()
		    return reply.startswith(b"+OK")
		ways = "\u2168-so\u00adft", "IX-soft", "\u2168-soft"
		for user in "joe", "hashed", "keyed":
		    for password in ways:
		        assert plain(user, password), (user, password)
		    assert not plain(user, "ix-soft") and not plain(user, "X-soft"), user
		# The client prepares what it makes keys of.
		for mechanism in "SCRAM-SHA-256", "SCRAM-SHA-1":
		    assert scram("joe", "IX-soft", mechanism)
		assert scram("keyed", "IX-soft")
		# Names: in composed form and in another.
		for name in "m\u00fcller", "mu\u0308ller", "m\u00fcl\u00adler":
		    assert plain(name, "secret"), name
		    assert scram(name, "secret"), name
		assert not plain("M\u00fcller", "secret")
		# GNU SASL prepares by itself.
		for mechanism in "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-1":
		    c = client()
		    said = {AUTHID: "joe", PASSWORD: ways[0]}
		    assert gsasl(c, mechanism, said).startswith(b"+OK"), mechanism
		    c.quit()
		# What is prohibited, or no UTF-8, is nobody's password.
		for password in b"IX\x7f-soft\xc2\x80", b"IX-soft\xff", b"\xc2", b"\xed\xa0\x80", b"\xc2\xad":
		    c = client()
		    assert b"[AUTH]" in c.say(b"AUTH PLAIN " + b64(b"\0joe\0" + password))
		    c.quit()
	P
	wait_for no_sessions
	run ! grep -q violation "$T/listening"
}

# bats test_tags=loads
@test "SASLprep: loaded for what is not ASCII alone" {
	start_listening
	PYTHONPATH=$TESTS PYTHONDONTWRITEBYTECODE=1 python3 - "$PORT" "$SERVER" <<-'P'
		import subprocess, sys
		from sasl import *
		def maps():
		    monitor = subprocess.run(["pgrep", "-P", sys.argv[2]], capture_output=True, text=True).stdout.split()[0]
		    return open(f"/proc/{monitor}/maps").read()
		c = Client(sys.argv[1])
		assert b"[AUTH]" in c.say(b"AUTH PLAIN " + b64("\0joe\0wrong"))
		assert "libidn" not in maps()
		assert b"[AUTH]" in c.say(b"AUTH PLAIN " + b64("\0joe\0wr\u00f6ng"))
		assert "libidn" in maps()
	P
}

# bats test_tags=loads
@test "-t: a name that SASL would not find" {
	printf 'mu\xcc\x88ller:{PLAIN}x:%s:%s::/x\n' "$MAIL_UID" "$MAIL_GID" >>"$USERS"
	run -78 "$POP3D" -t -f "$CONF"
	[ "$output" = "$USERS:2: SASL finds the name only as SASLprep (RFC 4013) has it" ]
}
