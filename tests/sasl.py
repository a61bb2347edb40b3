"""AUTH as a client does it: with Python's own HMAC and PBKDF2, step by step and wrong on demand, or
with GNU SASL (libgsasl18), which mpop brings along."""
import base64
import ctypes
import hashlib
import hmac
import json
import os
import re
import socket
import ssl
import subprocess
import time


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode())


class Client:
    """A session over TCP; with tls="1.3" or the like over TLS, with STLS first where stls is.
    `resumes` is an earlier one, whose ticket is used; `who` is the path of the client's certificate and
    key, without .pem and .key."""

    def __init__(self, port, tls=None, stls=False, who=None, resumes=None):
        self.socket = socket.create_connection(("127.0.0.1", int(port)), 60)
        self.context = resumes and resumes.context
        ticket = resumes and resumes.socket.session
        if tls and not resumes:
            self.context = ssl.create_default_context()
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE
            self.context.minimum_version = self.context.maximum_version = {
                "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[tls]
        if who:
            self.context.load_cert_chain(who + ".pem", who + ".key")
        if tls and not stls:
            self.socket = self.context.wrap_socket(self.socket, session=ticket)
        self.file = self.socket.makefile("rb")
        self.greeting = self.line()
        if stls:
            assert self.say(b"STLS").startswith(b"+OK")
            self.socket = self.context.wrap_socket(self.socket, session=ticket)
            self.file = self.socket.makefile("rb")
        assert not resumes or self.socket.session_reused

    def line(self):
        line = self.file.readline()
        assert line == b"" or line.endswith(b"\r\n"), line
        return line[:-2]

    def send(self, data):
        self.socket.sendall(data + b"\r\n")

    def say(self, data):
        self.send(data)
        return self.line()

    def multi(self, data):
        assert self.say(data).startswith(b"+OK")
        return list(iter(self.line, b"."))

    def certificate(self):
        return self.socket.getpeercert(binary_form=True)

    def quit(self):
        assert self.say(b"QUIT").startswith(b"+OK")
        assert self.line() == b""


def challenge(line):
    """What is in `+ base64`."""
    assert line[:2] == b"+ ", line
    return base64.b64decode(line[2:], validate=True)


def cram_md5(client, user, password):
    text = challenge(client.say(b"AUTH CRAM-MD5"))
    digest = hmac.new(password.encode(), text, "md5").hexdigest()
    return client.say(b64(f"{user} {digest}"))


def oauth_message(mechanism, user, token, port=110):
    if mechanism == "XOAUTH2":
        return f"user={user}\1auth=Bearer {token}\1\1"
    return f"n,{'a=' + user if user else ''},\1host=localhost\1port={port}\1auth=Bearer {token}\1\1"


def oauth(client, mechanism, user, token, initial=True):
    """Returns the last reply; client.error is the JSON before it, or None."""
    client.error = None
    text = b64(oauth_message(mechanism, user, token))
    if initial:
        reply = client.say(f"AUTH {mechanism} ".encode() + text)
    else:
        assert challenge(client.say(f"AUTH {mechanism}".encode())) == b""
        reply = client.say(text)
    if reply.startswith(b"+ "):
        client.error = json.loads(challenge(reply))
        reply = client.say(b"" if mechanism == "XOAUTH2" else b"AQ==")
    return reply


class Scram:
    """An exchange; what it sends can be changed before each step."""

    def __init__(self, client, mechanism, user, password, header="n,,", binding=b"", nonce="rOprNGfwEbeRWgbNEkqO"):
        self.client, self.mechanism, self.password = client, mechanism, password
        self.hash = "sha256" if "256" in mechanism else "sha1"
        self.header, self.binding = header, binding
        self.bare = f"n={user},r={nonce}"
        self.nonce = nonce

    def first(self, initial=True):
        """Returns the reply, and takes its parts."""
        text = b64(self.header + self.bare)
        if initial:
            reply = self.client.say(f"AUTH {self.mechanism} ".encode() + text)
        else:
            assert challenge(self.client.say(f"AUTH {self.mechanism}".encode())) == b""
            reply = self.client.say(text)
        if reply.startswith(b"+ "):
            self.server_first = challenge(reply).decode()
            parts = dict(p.split("=", 1) for p in self.server_first.split(","))
            self.whole_nonce, self.salt, self.iterations = parts["r"], parts["s"], int(parts["i"])
            assert self.whole_nonce.startswith(self.nonce) and len(self.whole_nonce) > len(self.nonce) + 20
        return reply

    def final(self, extension=""):
        """The client's final message."""
        self.without_proof = f"c={b64(self.header.encode() + self.binding).decode()},r={self.whole_nonce}{extension}"
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), base64.b64decode(self.salt), self.iterations)
        client_key = hmac.digest(salted, b"Client Key", self.hash)
        stored = hashlib.new(self.hash, client_key).digest()
        message = f"{self.bare},{self.server_first},{self.without_proof}".encode()
        signature = hmac.digest(stored, message, self.hash)
        self.proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.server_signature = hmac.digest(hmac.digest(salted, b"Server Key", self.hash), message, self.hash)
        return f"{self.without_proof},p={b64(self.proof).decode()}"

    def run(self, initial=True, extension=""):
        """Returns the last reply."""
        reply = self.first(initial)
        if not reply.startswith(b"+ "):
            return reply
        reply = self.client.say(b64(self.final(extension)))
        if not reply.startswith(b"+ "):
            return reply
        assert challenge(reply) == b"v=" + b64(self.server_signature), reply
        return self.client.say(b"")


# GNU SASL's properties.
AUTHID, PASSWORD, AUTHZID, TLS_EXPORTER = 1, 3, 2, 25


def gsasl(client, mechanism, properties):
    """The mechanism as libgsasl does it.  Returns the last reply, or None where that gave up."""
    library = ctypes.CDLL("libgsasl.so.18")
    context, session = ctypes.c_void_p(), ctypes.c_void_p()
    assert library.gsasl_init(ctypes.byref(context)) == 0
    assert library.gsasl_client_start(context, mechanism.encode(), ctypes.byref(session)) == 0
    for number, value in properties.items():
        assert library.gsasl_property_set(session, number, value.encode()) == 0
    line = client.say(f"AUTH {mechanism}".encode())
    while line.startswith(b"+ "):
        out = ctypes.c_char_p()
        # (0 is GSASL_OK, 1 GSASL_NEEDS_MORE.)
        if library.gsasl_step64(session, line[2:], ctypes.byref(out)) not in (0, 1):
            return None
        line = client.say(out.value)
    return line


class Exporting(Client):
    """A session through gnutls-cli, which tells its channel bindings."""

    def __init__(self, port, tls, who=None):
        certified = [f"--x509certfile={who}.pem", f"--x509keyfile={who}.key"] if who else []
        self.process = subprocess.Popen(
            ["stdbuf", "-o0", "gnutls-cli", "--insecure", "-V", "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{tls}", *certified, "-p", str(port),
             "127.0.0.1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        self.bindings = {}
        self.greeting = self.line()

    def line(self):
        """The next line of a reply: gnutls-cli has much to say in between."""
        data = b""
        while True:
            octet = os.read(self.process.stdout.fileno(), 1)
            data += octet
            if octet not in (b"", b"\n"):
                continue
            if data.startswith(b" - 'tls-") and b"not available" not in data:
                name, value = data[3:].decode().split(": ")
                self.bindings[name.strip("'")] = bytes.fromhex(value)
            data = re.sub(rb"^- Received\[\d+\]: ", b"", data)
            if octet == b"" or data.startswith((b"+OK", b"+ ", b"-ERR")):
                return data.rstrip(b"\r\n")
            data = b""

    def send(self, data):
        self.process.stdin.write(data + b"\r\n")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
