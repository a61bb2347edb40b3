# What is sent and read over TLS: records, large messages, the end.

load tls

# Python: client(port, stls), a socket with TLS whose incoming records are counted: records() are
# the texts of each since the last call.
records_client() {
	cat >"$T/records.py" <<-'E'
		import socket, ssl
		class Client:
		    def __init__(self, port, stls=False, version=None):
		        self.socket = socket.create_connection(("127.0.0.1", port), 60)
		        self.raw = b""
		        if stls:
		            text = self.socket.makefile("rb", 0)
		            text.readline()
		            self.socket.sendall(b"STLS\r\n")
		            assert text.readline().startswith(b"+OK ")
		        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		        context.check_hostname = False
		        context.verify_mode = ssl.CERT_NONE
		        if version:
		            context.maximum_version = version
		        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
		        self.tls = context.wrap_bio(self.came, self.goes)
		        while True:
		            try:
		                self.tls.do_handshake()
		                break
		            except ssl.SSLWantReadError:
		                self.send_out()
		                self.came.write(self.record())
		        self.send_out()
		        if not stls:
		            self.until(b"\r\n")
		    def send_out(self):
		        self.socket.sendall(self.goes.read())
		    def record(self):
		        while len(self.raw) < 5 or len(self.raw) < 5 + int.from_bytes(self.raw[3:5], "big"):
		            data = self.socket.recv(65536)
		            assert data, "closed"
		            self.raw += data
		        length = 5 + int.from_bytes(self.raw[3:5], "big")
		        record, self.raw = self.raw[:length], self.raw[length:]
		        return record
		    def say(self, data):
		        self.tls.write(data)
		        self.send_out()
		    def text(self):
		        """The text of the next record that has one."""
		        while True:
		            self.came.write(self.record())
		            try:
		                return self.tls.read(65536)
		            except ssl.SSLWantReadError:
		                pass
		    def until(self, end):
		        """The texts of the records up to the one that ends so."""
		        texts = [self.text()]
		        while not b"".join(texts[-2:]).endswith(end):
		            texts.append(self.text())
		        return texts
		    def login(self):
		        for line in (b"USER joe\r\n", b"PASS secret\r\n"):
		            self.say(line)
		            assert self.until(b"\r\n")[0].startswith(b"+OK")
	E
}

@test "the end of a listing or message is in one TLS record with what stands before it" {
	records_client
	local size
	# 16,384 octets are the most that a record holds, 32,768 what pop3d reads at once, and some 66,000 and
	# 132,000 what it keeps to itself: reply lines and ends at all places around these.
	for size in {16330..16400} {32740..32775} {65450..65550} {114540..114590} {131030..131080}; do
		{
			head -c "$((size - 2))" /dev/zero | tr '\0' x | fold -b -w 998 | head -c "$((size - 2))"
			echo
		} >"$MAILDIR/cur/$size:2,"
	done
	own "$MAILDIR"
	start_listening_tls
	python3 - "$T" "$TLS_PORT" "$PORT" <<-'E'
		import sys
		sys.path.insert(0, sys.argv[1])
		from records import Client
		for port, stls in ((sys.argv[2], False), (sys.argv[3], True)):
		    client = Client(int(port), stls)
		    client.login()
		    client.say(b"STAT\r\n")
		    count = int(client.until(b"\r\n")[0].split()[1])
		    assert count > 200
		    for said in [b"CAPA", b"LIST", b"UIDL"] + [b"RETR %d" % (i + 1) for i in range(count)] + [b"TOP 1 0", b"TOP 2 3"]:
		        client.say(said + b"\r\n")
		        texts = client.until(b"\r\n.\r\n")
		        assert len(texts[-1]) > 5, (said, [len(t) for t in texts])
		    client.say(b"QUIT\r\n")
		    client.until(b"\r\n")
	E
}

# bats test_tags=large
@test "messages of 3 and of 100 MiB arrive whole, TLS 1.2 and 1.3, STLS too (SHA-256)" {
	head -c 2250000 /dev/urandom | base64 -w 76 | put cur 1:2,
	{ head -c 1000000 /dev/urandom | base64 -w 70; head -c 103000000 /dev/zero | tr '\0' x | fold -b -w 900; echo; } | put cur 2:2,
	start_listening_tls
	python3 - "$TLS_PORT" "$PORT" "$MAILDIR" <<-'E'
		import hashlib, poplib, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		def fetch(client, number):
		    digest = hashlib.sha256()
		    client._putcmd("RETR %d" % number)
		    assert client._getresp().startswith(b"+OK")
		    while (line := client.file.readline()) != b".\r\n":
		        assert line, "cut off"
		        line = line[1:] if line.startswith(b".") else line
		        digest.update(line[:-2] + b"\n")
		    return digest.hexdigest()
		for number in 1, 2:
		    with open(f"{sys.argv[3]}/cur/{number}:2,", "rb") as file:
		        want = hashlib.sha256(file.read()).hexdigest()
		    for stls in False, True:
		        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
		            context.minimum_version = ssl.TLSVersion.TLSv1_2
		            context.maximum_version = version
		            if number == 2 and stls and version == ssl.TLSVersion.TLSv1_2:
		                continue
		            if stls:
		                client = poplib.POP3("127.0.0.1", int(sys.argv[2]), timeout=60)
		                client.stls(context)
		            else:
		                client = poplib.POP3_SSL("127.0.0.1", int(sys.argv[1]), timeout=60, context=context)
		            client.user("joe"), client.pass_("secret")
		            assert fetch(client, number) == want, (number, stls, version)
		            client.quit()
	E
}

# bats test_tags=calls
@test "of a large message, and of a listing, each TLS record but the last is full; several go out at once" {
	records_client
	head -c 8000000 /dev/urandom | base64 -w 76 | put cur 1:2,
	for n in {2..3000}; do printf x >"$MAILDIR/cur/$n.M1P1.host:2,"; done
	own "$MAILDIR"
	printf '#!/bin/sh\nexec strace -D -f -o %s -e trace=network %s "$@"\n' "$T/calls" "$POP3D" >"$T/traced"
	chmod +x "$T/traced"
	POP3D=$T/traced start_listening_tls
	python3 - "$T" "$TLS_PORT" <<-'E'
		import sys
		sys.path.insert(0, sys.argv[1])
		from records import Client
		client = Client(int(sys.argv[2]))
		client.login()
		for said, least in (b"RETR 1", 10_000_000), (b"UIDL", 60_000):
		    client.say(said + b"\r\n")
		    sizes = [len(t) for t in client.until(b"\r\n.\r\n")]
		    assert sum(sizes) > least and all(s == 16384 for s in sizes[:-1]), (said, sizes)
	E
	local sent
	sent=$(awk '/send(to)?\(/ && $NF > 16384 { n++; octets += $NF } END { print n, octets }' "$T/calls")
	echo "$sent"
	[ "${sent#* }" -gt 10000000 ]
	[ "${sent% *}" -lt $((${sent#* } / 40000)) ]
}

@test "ten thousand pipelined NOOPs over TLS, in records of all sizes" {
	records_client
	start_listening_tls
	python3 - "$T" "$TLS_PORT" "$PORT" <<-'E'
		import sys, threading
		sys.path.insert(0, sys.argv[1])
		from records import Client
		said = b"USER joe\r\nPASS secret\r\n" + b"NOOP\r\n" * 10000 + b"QUIT\r\n"
		for port, stls, size in ((2, False, len(said)), (2, False, 4097), (3, True, len(said)), (3, True, 7)):
		    client = Client(int(sys.argv[port]), stls)
		    for i in range(0, len(said), size):
		        client.tls.write(said[i:i + size])
		    sender = threading.Thread(target=client.send_out)
		    sender.start()
		    data = b"".join(client.until(b"+OK Goodbye (maildrop empty)\r\n"))
		    sender.join()
		    assert data.count(b"\r\n") == 10000 + 3 and data.count(b"+OK Nothing done\r\n") == 10000, (port, size)
	E
}

@test "a client that reads late is served all the same, over TLS" {
	head -c 5000 /dev/zero | tr '\0' x | put cur 1:2,
	start_listening_tls
	python3 - "$TLS_PORT" <<-'E'
		import socket, ssl, sys, threading, time
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60))
		said = b"USER joe\r\nPASS secret\r\n" + b"RETR 1\r\n" * 4000 + b"QUIT\r\n"
		s.sendall(said)
		time.sleep(1)
		size = 0
		while part := s.recv(1 << 16):
		    size += len(part)
		assert size > 4000 * 5000, size
	E
	wait_for grep -q 'end .*reason=quit fetched=4000 ' "$T/listening"
}

# bats test_tags=clock
@test "idle_timeout: a client that stops reading is ended as stalled, one that is silent as timeout, over TLS" {
	head -c 30000000 /dev/zero | tr '\0' x | fold -b -w 900 | put cur 1:2,
	LD_PRELOAD=$FAKETIME_LIB FAKETIME='+0 x100' start_listening_tls
	cat >"$T/client.py" <<-'E'
		import socket, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60))
		s.sendall(b"USER joe\r\nPASS secret\r\nNOOP\r\n")
		while s.recv(65536):
		    pass
		s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60))
		s.sendall(b"USER joe\r\nPASS secret\r\nRETR 1\r\n")
		sys.stdin.readline()
	E
	mkfifo "$T/fifo"
	python3 "$T/client.py" "$TLS_PORT" <"$T/fifo" 3>&- &
	exec 9>"$T/fifo"
	wait_for grep -qE 'user=joe reason=stalled .*seconds=[5-9][0-9][0-9]\.' "$T/listening"
	exec 9>&-
	wait_for grep -qE 'user=joe reason=timeout .*seconds=[5-9][0-9][0-9]\.' "$T/listening"
}

# bats test_tags=clock
@test "idle_timeout: a client that takes its time over each piece, but reads, is not stalled, over TLS" {
	head -c 100000 /dev/zero | tr '\0' x | fold -b -w 900 | put cur 1:2,
	echo 'auth_timeout 6000' >>"$CONF"
	# Ten minutes are six seconds, in which it reads less than goes out together.
	python3 - "$POP3D" "$CONF" "$FAKETIME_LIB" 2>>"$LOG" <<-'E'
		import os, socket, ssl, subprocess, sys, time
		ours, theirs = socket.socketpair()
		theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
		ours.settimeout(60)
		server = subprocess.Popen([sys.argv[1], "-T", "-f", sys.argv[2]], stdin=theirs, stdout=theirs,
		                          env={**os.environ, "LD_PRELOAD": sys.argv[3], "FAKETIME": "+0 x100"})
		theirs.close()
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
		tls = context.wrap_bio(came, goes)
		def send_out():
		    if data := goes.read():
		        ours.sendall(data)
		def until(what, pause=0):
		    while True:
		        try:
		            if (result := what()) is not None:
		                send_out()
		                return result
		        except ssl.SSLWantReadError:
		            pass
		        send_out()
		        time.sleep(pause)
		        data = ours.recv(2048)
		        assert data, "closed"
		        came.write(data)
		until(lambda: tls.do_handshake() or True)
		for said, end, pause in ((b"", b"\r\n", 0), (b"USER joe\r\n", b"\r\n", 0), (b"PASS secret\r\n", b"\r\n", 0),
		                         (b"RETR 1\r\n", b"\r\n.\r\n", 0.25), (b"QUIT\r\n", b"\r\n", 0)):
		    if said:
		        tls.write(said)
		    text = b""
		    while not text.endswith(end):
		        text += until(lambda: tls.read(65536), pause)
		    assert text.startswith(b"+OK"), text[:80]
		    if pause:
		        assert len(text) > 100000
		assert server.wait() == 0
	E
	grep -q 'reason=quit fetched=1 ' "$LOG"
}

@test "half-close: what was said before it is answered, with and without a close_notify" {
	three_messages
	start_listening_tls
	python3 - "$TLS_PORT" "$T" <<-'E'
		import socket, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		for notify in False, True:
		    raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
		    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
		    tls = context.wrap_bio(came, goes)
		    while True:
		        try:
		            tls.do_handshake()
		            break
		        except ssl.SSLWantReadError:
		            raw.sendall(goes.read())
		            came.write(raw.recv(65536))
		    tls.write(b"USER joe\r\nPASS secret\r\nSTAT\r\nRETR 1\r\n")
		    if notify:
		        try:
		            tls.unwrap()
		        except ssl.SSLError:
		            pass
		    raw.sendall(goes.read())
		    raw.shutdown(socket.SHUT_WR)
		    while part := raw.recv(65536):
		        came.write(part)
		    came.write_eof()
		    text = b""
		    try:
		        while part := tls.read(65536):
		            text += part
		    except ssl.SSLError as error:
		        print(notify, error)
		    assert b"+OK 3 124\r\n" in text and text.endswith(b"\r\n.\r\n"), (notify, text)
	E
	wait_for eval '[ "$(grep -c "user=joe reason=closed fetched=1 " "$T/listening")" = 2 ]'
}

@test "the end of a session is a close_notify (RFC 8446 s.6.1), after QUIT and after a timeout" {
	configure_tls rsa -- 'auth_timeout 5'
	start_listening_tls
	python3 - "$TLS_PORT" <<-'E'
		import socket, ssl, sys
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
		context.check_hostname = False
		context.verify_mode = ssl.CERT_NONE
		for said in b"QUIT\r\n", b"":
		    s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60),
		                            suppress_ragged_eofs=False)
		    s.sendall(said)
		    while s.recv(65536):
		        pass
	E
}
