# What the processes have in their memory, which only root can look at: no private keys in a
# session, nor in a monitor that has become the user; no passwords in a session.

load ../helper

setup() {
	common_setup
	make_certificates
	configure_tls rsa ec -- 'auth_timeout 600' 'max_per_address 1000'
	memory_script
}

# memory.py: pieces of 16 octets of all that is secret in keys, and whose memory they are in.
memory_script() {
	cat >"$T/memory.py" <<-'E'
		import base64, errno, hashlib, hmac, re, socket, ssl, subprocess, sys, time

		def openssl(*arguments):
		    return subprocess.run(["openssl", "pkey", *arguments], capture_output=True, check=True).stdout

		def secrets_of(key):
		    """Pieces of the numbers in both byte orders (DER has one, OpenSSL's limbs have the
		    other), of the PEM's lines, and of what tickets are made with."""
		    text = openssl("-in", key, "-noout", "-text").decode()
		    numbers = [bytes.fromhex(re.sub(r"[\s:]", "", octets)).lstrip(b"\0") for octets in re.findall(
		        r"^(?:priv|privateExponent|prime1|prime2|exponent1|exponent2|coefficient):((?:\n +[0-9a-f:]+)+)",
		        text, re.M)]
		    assert len(numbers) in (1, 6), text
		    pieces = [number[i:i + 16] for n in numbers for number in (n, n[::-1])
		              for i in range(0, len(number) - 15, 16)]
		    with open(key, "rb") as file:
		        pem = base64.b64decode(b"".join(file.read().split(b"\n")[1:-2]))
		    for form in (pem, openssl("-in", key, "-outform", "DER", "-traditional")):
		        first = min(form.find(n) for n in numbers)
		        last = max(form.find(n) + len(n) for n in numbers)
		        assert first >= 0
		        # A line of PEM has 64 octets.
		        encoded = base64.b64encode(form)
		        found = [encoded[i:i + 16] for i in range((first * 4 // 48 + 1) * 16, last // 3 * 4 - 16, 16)]
		        assert found
		        pieces += found
		    label = b"pop3d: what seals TLS tickets".ljust(32, b"\0")
		    ticket = hmac.new(label, form, hashlib.sha256).digest()
		    return pieces + [ticket[:16], ticket[16:]]

		def found_in(pid, pieces):
		    """Memory may go while it is read: then all of it once more."""
		    for _ in range(20):
		        try:
		            return found_at_once(pid, pieces)
		        except OSError as error:
		            if error.errno != errno.EIO:
		                raise
		    sys.exit(f"{pid} does not hold still")

		def found_at_once(pid, pieces):
		    count = 0
		    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
		        areas = 0
		        for line in maps:
		            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
		            if not match or "[v" in line:
		                continue
		            first, last = (int(n, 16) for n in match.groups())
		            memory.seek(first)
		            data = b""
		            while len(data) < last - first and (part := memory.read(last - first - len(data))):
		                data += part
		            areas += 1
		            count += sum(piece in data for piece in pieces)
		        assert areas > 5, pid
		    return count

		def children(pid):
		    said = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
		    return [int(n) for n in said.split()]

		def the_child(pid, other_than=None):
		    for _ in range(400):
		        if len(found := [n for n in children(pid) if n != other_than]) == 1:
		            return found[0]
		        time.sleep(0.05)
		    sys.exit(f"{pid} has no one child: {children(pid)}")

		class Client:
		    def __init__(self, server, port, tls=False, version=None):
		        self.version = version
		        self.socket = socket.create_connection(("127.0.0.1", int(port)), 60)
		        if tls:
		            self.wrap()
		        assert self.line().startswith(b"+OK")
		        self.monitor = the_child(server)
		        self.session = the_child(self.monitor)
		    def wrap(self):
		        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		        context.check_hostname = False
		        context.verify_mode = ssl.CERT_NONE
		        if self.version:
		            context.maximum_version = self.version
		        self.socket = context.wrap_socket(self.socket)
		    def line(self):
		        data = b""
		        while not data.endswith(b"\n"):
		            part = self.socket.recv(1)
		            assert part, "closed"
		            data += part
		        return data
		    def say(self, *lines):
		        self.socket.sendall(b"".join(line + b"\r\n" for line in lines))
		        return [self.line() for line in lines]
		    def stls(self):
		        assert self.say(b"STLS")[0].startswith(b"+OK")
		        self.wrap()
		        assert self.say(b"NOOP") == [b"-ERR Log in first\r\n"]
		        self.session = the_child(self.monitor, other_than=self.session)
		    def login(self):
		        assert self.say(b"USER joe", b"PASS secret")[1].startswith(b"+OK")
		    def quit(self, server):
		        self.say(b"QUIT")
		        self.socket.close()
		        for _ in range(400):
		            if not children(server):
		                return
		            time.sleep(0.05)
		        sys.exit("the monitor stays")
	E
}

# keys PYTHON: with `pieces`, `server` and the ports.
keys() {
	{
		echo 'from memory import *'
		echo 'pki, server, port, tls_port = sys.argv[1], *map(int, sys.argv[2:])'
		echo 'pieces = secrets_of(pki + "/rsa.key") + secrets_of(pki + "/ec.key")'
		cat
	} >"$T/keys.py"
	PYTHONPATH=$T python3 "$T/keys.py" "$PKI" "$SERVER" "${PORT:-0}" "${TLS_PORT:-0}"
}

# bats test_tags=plain
@test "private keys: under -l the session has nothing of them, nor the monitor after the login" {
	start_listening_tls
	keys <<-'E'
		# The check can fail: each number of each key is there.
		for key in "rsa", "ec":
		    assert found_in(server, secrets_of(f"{pki}/{key}.key")) >= 2, key
		for tls, stls, version in ((False, False, None), (True, False, None), (True, False, ssl.TLSVersion.TLSv1_2),
		                           (False, True, None), (False, True, ssl.TLSVersion.TLSv1_2)):
		    client = Client(server, tls_port if tls else port, tls, version)
		    assert found_in(client.session, pieces) == 0, (tls, stls, version, "greeting")
		    assert found_in(client.monitor, pieces) > 0
		    if stls:
		        client.stls()
		        assert found_in(client.session, pieces) == 0, (tls, stls, version, "STLS")
		    client.login()
		    assert found_in(client.session, pieces) == 0, (tls, stls, version, "login")
		    assert found_in(client.monitor, pieces) == 0, (tls, stls, version, "monitor")
		    client.quit(server)
	E
}

# bats test_tags=plain
@test "private keys: executed for each connection, with -T" {
	PORT=$(free_port)
	super tcpserver -HRl0 127.0.0.1 "$PORT" "$POP3D" -T -f "$CONF"
	SERVER=${PIDS##* }
	wait_for no_sessions
	keys <<-'E'
		client = Client(server, port, True)
		assert found_in(client.monitor, pieces) > 0
		assert found_in(client.session, pieces) == 0, "greeting"
		client.login()
		assert found_in(client.session, pieces) == 0, "login"
		assert found_in(client.monitor, pieces) == 0, "monitor"
		client.quit(server)
	E
	SERVER=
}

# bats test_tags=plain
@test "private keys: executed for each connection, before STLS nobody has them, after it the monitor" {
	PORT=$(free_port)
	super tcpserver -HRl0 127.0.0.1 "$PORT" "$POP3D" -f "$CONF"
	SERVER=${PIDS##* }
	wait_for no_sessions
	keys <<-'E'
		client = Client(server, port)
		assert found_in(client.monitor, pieces) == 0
		assert found_in(client.session, pieces) == 0
		client.stls()
		assert found_in(client.monitor, pieces) > 0
		assert found_in(client.session, pieces) == 0, "STLS"
		client.login()
		assert found_in(client.session, pieces) == 0, "login"
		assert found_in(client.monitor, pieces) == 0, "monitor"
		client.quit(server)
	E
	SERVER=
}

# bats test_tags=plain
@test "private keys: where SIGHUP found something wrong with a file, a session has nothing of what was read" {
	local what
	cp "$PKI/rsa.key" "$T/large.key"
	cat "$PKI/rsa.pem" "$PKI/rsa.key" >"$T/large.pem"
	for what in key pem; do
		head -c 140000 /dev/zero | tr '\0' '#' >>"$T/large.$what"
	done
	for what in 'key' 'pem'; do
		configure_tls rsa ec -- 'auth_timeout 600' 'max_per_address 1000'
		start_listening_tls
		if [ "$what" = key ]; then
			sed -i "s#^tls_key .*/rsa.key#tls_key $T/large.key#" "$CONF"
		else
			sed -i "s#^tls_certificate .*/rsa.pem#tls_certificate $T/large.pem#; /^tls_key .*rsa.key/d" "$CONF"
		fi
		kill -HUP "$SERVER"
		wait_for grep -q 'the file is too large' "$T/listening"
		keys <<-'E'
			for tls in True, False:
			    client = Client(server, tls_port if tls else port, tls)
			    assert found_in(client.session, pieces) == 0, (tls, "greeting")
			    client.login()
			    assert found_in(client.session, pieces) == 0, (tls, "login")
			    assert found_in(client.monitor, pieces) == 0, (tls, "monitor")
			    client.quit(server)
		E
		stop_listening
	done
}

# bats test_tags=plain
@test "private keys: after SIGHUP the old ones are nowhere, and a session has nothing of the new ones" {
	start_listening_tls
	configure_tls net-rsa net-ec
	kill -HUP "$SERVER"
	wait_for grep -q 'configuration reloaded' "$T/listening"
	keys <<-'E'
		assert found_in(server, pieces) == 0, "the old keys"
		pieces = secrets_of(pki + "/net-rsa.key") + secrets_of(pki + "/net-ec.key")
		assert found_in(server, pieces) > 0
		client = Client(server, tls_port, True)
		assert found_in(client.session, pieces) == 0, "greeting"
		client.login()
		assert found_in(client.session, pieces) == 0, "login"
		assert found_in(client.monitor, pieces) == 0, "monitor"
		client.quit(server)
	E
}

# bats test_tags=plain
@test "passwords: a session has none in its memory after a failed PASS, nor after a right one" {
	printf 'joe:{PLAIN}a right one, 0123456789:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	start_listening_tls
	keys <<-'E'
		right, wrong = b"a right one, 0123456789", b"wrong, of 9876543210"
		for tls, stls, version in ((False, False, None), (True, False, None), (True, False, ssl.TLSVersion.TLSv1_2),
		                           (False, True, None)):
		    client = Client(server, tls_port if tls else port, tls, version)
		    if stls:
		        client.stls()
		    way = (tls, stls, version)
		    client.say(b"USER joe")
		    assert client.say(b"PASS " + wrong)[0].startswith(b"-ERR [AUTH]")
		    # Nor its end, where something else has been written over its beginning.
		    assert found_in(client.session, [wrong, wrong[7:]]) == 0, way + ("failed",)
		    # In one piece with other lines.
		    assert client.say(b"USER joe", b"PASS " + wrong, b"NOOP")[2].startswith(b"-ERR")
		    assert found_in(client.session, [wrong, wrong[7:]]) == 0, way + ("failed, pipelined",)
		    client.say(b"USER joe")
		    assert client.say(b"PASS " + right)[0].startswith(b"+OK")
		    assert found_in(client.session, [right, right[7:], wrong, wrong[7:]]) == 0, way + ("right",)
		    client.quit(server)
	E
}

# bats test_tags=plain
@test "tokens: neither process has one in its memory after a verdict" {
	printf '#!/bin/sh\ncase $(cat <&3) in right-*) echo joe ;; *) exit 1 ;; esac\n' >"$T/verify"
	chmod 755 "$T/verify"
	configure_tls rsa ec -- 'auth_timeout 600' "oauth $T/verify"
	start_listening_tls
	keys <<-'E'
		right, wrong = b"right-one.q7Zt0Wk3Xs9Vb5Nn1Mf8Ld2Hc6Jg4", b"wrong-one.t2Rr8Yp5Uo0Ie3Wa9Qs6Dz1Fx7Cv4"
		def pieces_of(token):
		    encoded = [base64.b64encode(token[i:])[:40] for i in range(3)]
		    return [token, token[7:], token[20:], *encoded]
		def bearer(token):
		    return base64.b64encode(b"n,a=joe,\1auth=Bearer " + token + b"\1\1")
		def xoauth2(token):
		    return base64.b64encode(b"user=joe\1auth=Bearer " + token + b"\1\1")
		for tls in False, True:
		    client = Client(server, tls_port if tls else port, tls)
		    def nobody_has(pieces, *when):
		        for process in client.session, client.monitor:
		            found = [piece for piece in pieces if found_in(process, [piece])]
		            assert not found, (tls, process == client.session, *when, found)
		    assert client.say(b"AUTH OAUTHBEARER " + bearer(wrong))[0].startswith(b"+ ")
		    nobody_has(pieces_of(wrong), "denied")
		    assert client.say(b"AQ==")[0].startswith(b"-ERR [AUTH]")
		    assert client.say(b"AUTH XOAUTH2", xoauth2(wrong))[1].startswith(b"+ ")
		    nobody_has(pieces_of(wrong), "denied again")
		    assert client.say(b"", b"AUTH OAUTHBEARER " + bearer(right))[1].startswith(b"+OK")
		    nobody_has(pieces_of(right) + pieces_of(wrong), "right")
		    client.quit(server)
	E
}

# bats test_tags=plain
@test "passwords: the check finds what a session does have" {
	start_listening
	keys <<-'E'
		client = Client(server, port)
		client.say(b"USER a-name-that-is-kept")
		assert found_in(client.session, [b"a-name-that-is-kept"]) > 0
		client.quit(server)
	E
}

# bats test_tags=plain
@test "passwords of others: the session after STLS has nothing of shadow(5), whoever was asked for" {
	cp /etc/passwd "$T/passwd"
	printf 'last:x:%s:%s::%s:/bin/sh\n' "$MAIL_UID" "$MAIL_GID" "$T" >>"$T/passwd"
	{
		cat /etc/shadow
		for i in $(seq 100); do echo "other$i:\$6\$salt\$a-hash-that-nobody-has-$i:1:0:99999:7:::"; done
		echo 'last:$6$LN9QyGkQdLoeHSAf$the-last-hash-of-all:1:0:99999:7:::'
	} >"$T/shadow"
	chmod 600 "$T/shadow"
	sed -i '/^users file/d' "$CONF"
	unshare --mount --propagation private bash -c '
		mount --bind "$1/passwd" /etc/passwd
		mount --bind "$1/shadow" /etc/shadow
		shift
		exec "$@"' bash "$T" "$POP3D" -f "$CONF" -l 127.0.0.1:0 2>>"$T/listening" 3>&- &
	SERVER=$!
	wait_for grep -q 'listening address' "$T/listening"
	PORT=$(sed -n 's/.*listening address=.* port=//p' "$T/listening" | head -n 1)
	keys <<-'E'
		others = [b"a-hash-that-nobody-has", b"the-last-hash-of-all", b"LN9QyGkQdLoeHSAf"]
		for user in b"nobody-here", b"last":
		    client = Client(server, port)
		    client.say(b"USER " + user)
		    assert client.say(b"PASS wrong")[0].startswith(b"-ERR [AUTH]")
		    assert found_in(client.monitor, others) == 0, user
		    client.stls()
		    assert found_in(client.session, others) == 0, user
		    client.quit(server)
	E
}
