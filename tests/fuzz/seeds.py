#!/usr/bin/env python3
"""Writes the seeds: `tests/fuzz/seeds.py` makes tests/fuzz/corpus/TARGET/NAME anew.  What an
input of a target holds stands at the head of TARGET.c."""
import base64
import os
import struct

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def seed(target, name, data):
    os.makedirs(os.path.join(TOP, target), exist_ok=True)
    with open(os.path.join(TOP, target, name), "wb") as file:
        file.write(data)


def pieces(*sizes):
    """How a text is cut."""
    return bytes([len(sizes), *sizes])


def many(times, octet):
    """64 * times octets."""
    return bytes([0xff, times]) + octet


# line
LINES = b"CAPA\r\nUSER alice\nPASS x y\r\r\n\r\n\nNOOP\r\n"
seed("line", "whole", pieces() + LINES)
seed("line", "octets", pieces(*[1] * 38) + LINES)
seed("line", "cr-lf-parted", pieces(5, 1, 11, 2) + LINES)
seed("line", "no-end", pieces(3) + b"NOOP\r\nQUI")
seed("line", "nul", pieces(4) + b"NO\0OP\r\nNOOP\r\n\0\n")
seed("line", "just-12290", pieces() + many(192, b"a") + b"\r\nNOOP\r\n")
seed("line", "12291", pieces() + many(192, b"a") + b"b\r\nNOOP\r\n")
seed("line", "in-pieces", pieces(254, 1, 1, 1, 1) + many(4, b"a") + b"\r\nNOOP\r\n")
seed("line", "buffer", pieces(232, 232) + many(192, b"P") + b"\nPASS\n" + many(80, b"\n"))

# message
MESSAGE = b"Subject: a\r\nTo: b\n\n.\n..\nbody\r\n\r\n.x\nno end"
seed("message", "whole", bytes([2]) + pieces() + MESSAGE)
seed("message", "octets", bytes([0]) + pieces(*[1] * len(MESSAGE)) + MESSAGE)
seed("message", "lone-cr", bytes([1]) + pieces(3, 1) + b"\r\r\n\n\r.\n\r\n.\r")
seed("message", "empty", bytes([0]) + pieces())
seed("message", "no-body", bytes([9]) + pieces(7) + b"Header: only\n")
seed("message", "parted-end", bytes([0]) + pieces(3, 1, 1) + b"a: b\r\n\r\nbody\r\n")

# session
LOGIN = b"USER alice\r\nPASS secret\r\n"


def session(name, text, flags=0, cut=()):
    seed("session", name, bytes([flags]) + pieces(*cut) + text)


session("plain", LOGIN + b"STAT\r\nLIST\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
session("apop", b"CAPA\r\nAPOP alice 0123456789abcdef0123456789abcdef\r\nUIDL\r\nQUIT\r\n", 1)
session("all-messages", LOGIN + b"".join(b"RETR %d\r\n" % n for n in range(1, 9)) + b"QUIT\r\n")
session("tops", LOGIN + b"TOP 1 0\r\nTOP 2 1\r\nTOP 3 9\r\ntop 4 1\r\nTOP 5 70\r\nQUIT\r\n")
session("marks", LOGIN + b"DELE 2\r\nDELE 2\r\nRETR 2\r\nLIST\r\nRSET\r\nDELE 7\r\nUIDL 1\r\nQUIT\r\n")
session("mistakes", b"NOOP\r\n\r\nPASS x\r\n" + LOGIN
        + b"RETR\r\nRETR 0\r\nRETR x\r\nTOP 1\r\nTOP 1 x\r\nLIST 99999999999999999999\r\nLIST 1 2\r\n")
def encode(text):
    return base64.b64encode(text)


def auth(mechanism, *responses):
    return b"AUTH " + mechanism + b"\r\n" + b"".join(encode(r) + b"\r\n" for r in responses) + b"STAT\r\nQUIT\r\n"


session("sasl-plain", b"AUTH\r\nAUTH PLAIN " + encode(b"\0alice\0secret") + b"\r\nCAPA\r\nQUIT\r\n")
session("sasl-plain-continued", auth(b"PLAIN", b"alice\0alice\0secret"))
session("sasl-login", auth(b"LOGIN", b"denied", b"x") + auth(b"LOGIN", b"alice", b"secret"))
session("sasl-cram-md5", auth(b"CRAM-MD5", b"alice " + b"0" * 32))
for hash, size in (b"SCRAM-SHA-1", 20), (b"SCRAM-SHA-256", 32):
    session("sasl-" + hash.decode().lower(), auth(hash, b"n,a=alice,n=alice,r=abc", b"c=" + encode(b"n,a=alice,")
            + b",r=abcnonce,p=" + encode(bytes(size)), b""))
session("sasl-scram-names", auth(b"SCRAM-SHA-256", b"y,,n=a=2Cb=3D,r=abc,x=y",
                                 b"c=eSws,r=abcnonce,x=z,p=" + encode(bytes(32)), b""))
def bearer(user, token, more=b""):
    return b"n," + (b"a=" + user if user else b"") + b",\1" + more + b"auth=Bearer " + token + b"\1\1"


session("sasl-oauthbearer", auth(b"OAUTHBEARER", bearer(b"alice", b"abc.d-_~+/=", b"host=h\1port=110\1")))
session("sasl-oauthbearer-nobody", b"AUTH OAUTHBEARER " + encode(bearer(b"", b"x")) + b"\r\nSTAT\r\nQUIT\r\n")
session("sasl-oauthbearer-denied", auth(b"OAUTHBEARER", bearer(b"denied", b"x"), b"\1") + auth(b"OAUTHBEARER", bearer(b"last", b"x")))
session("sasl-oauthbearer-question", auth(b"OAUTHBEARER", b"y,a=a=2Cb,\1auth=\1\1", b"\1"))
session("sasl-xoauth2", auth(b"XOAUTH2", b"user=denied\1auth=bearer x\1\1", b"")
        + b"AUTH XOAUTH2 " + encode(b"user=alice\1auth=Bearer x\1\1") + b"\r\nUIDL\r\nQUIT\r\n")
session("sasl-oauthbearer-cut", auth(b"OAUTHBEARER", b"n,,\1auth=Bearer x\1") + auth(b"XOAUTH2", b"user=a\1\1"))
session("sasl-cancelled", b"AUTH PLAIN\r\n*\r\nAUTH PLAIN =\r\nAUTH LOGIN\r\n=\r\nAUTH X\r\nQUIT\r\n")
session("sasl-long", b"AUTH PLAIN\r\n" + b"A" * 12290 + b"\r\nAUTH PLAIN " + b"A" * 300 + b"\r\nQUIT\r\n")
session("no-sasl", b"AUTH\r\nAUTH PLAIN x\r\nCAPA\r\nQUIT\r\n", 16)
session("in-pieces", LOGIN + b"STAT\r\nQUIT\r\n", 0, [1] * 20 + [3, 200, 7])
session("silent", LOGIN + b"STAT\r\n", 0, [24, 0, 2, 0, 0, 0, 0])
session("hangs-up", LOGIN + b"RETR 5\r\nRETR 5\r\nDELE 1\r\nQUIT\r\n", 0, [60, 255])
session("remote", b"CAPA\r\n" + LOGIN, 2)
session("stls", b"CAPA\r\nSTLS\r\n", 4)
session("stls-broken", b"STLS\r\nSTLS x\r\nCAPA\r\n" + LOGIN + b"STLS\r\n", 12, [6])
session("injection", b"STLS\r\nNOOP\r\n", 4)
for user in (b"denied", b"last", b"permanent", b"dead"):
    session(user.decode(), b"USER " + user + b"\r\nPASS x\r\nNOOP\r\n" + LOGIN)
for user in (b"more", b"torn", b"garbage"):
    session(user.decode(), b"USER " + user + b"\r\nPASS x\r\nUIDL 3\r\nLIST\r\nQUIT\r\n")

# index
RECORDS_AT, RECORD_SIZE = 256, 40


def index(name, flags, number, records, names, count=None, capacity=None):
    count = len(records) if count is None else count
    capacity = len(records) if capacity is None else capacity
    header = struct.pack("=8sIIQQ", b"pop3d\0\0\1", 0x01020304, RECORD_SIZE, count, capacity)
    data = header.ljust(RECORDS_AT, b"\0") + b"".join(records) + names
    seed("index", name, bytes([flags, number]) + data)


def record(at, name_length, unique_length, flags=0, octets=100, size=99):
    return struct.pack("=QQQHHHHQ", octets, size, at, name_length, unique_length, flags, 0, 0)


AT = RECORDS_AT + 2 * RECORD_SIZE
TWO = [record(AT, 10, 6), record(AT + 10, 6, 16, 3)]
NAMES = b"1.host:2,S2.host0123456789abcdef"
index("two", 3, 0, TWO, NAMES)
index("wrong-checks", 1, 0, TWO, NAMES)
index("shrinks", 3 | 8, 200, TWO, NAMES)
index("amended", 3 | 16, 1, TWO, NAMES)
index("updated", 3 | 32, 0, TWO, NAMES)
index("room", 3 | 32, 1, TWO, NAMES, capacity=2)
index("no-room", 3, 0, TWO, NAMES, count=2, capacity=1000)
index("behind-the-end", 3, 1, [record(AT, 10, 6), record(1 << 40, 10, 6)], NAMES)
index("bad-name", 3, 0, [record(RECORDS_AT + RECORD_SIZE, 5, 5)], b"../..")
# Records and names that lie across the ends of the windows they are read by.
AT = RECORDS_AT + 206 * RECORD_SIZE
index("windows", 3, 205, [many(127, b"\0"), bytes(32), record(AT, 10, 6), record(AT + 8187, 6, 6)],
      b"1.host:2,S" + bytes([0xff, 127]) + b"x" + b"y" * 60 + b"2.host", 206, 206)
AT = RECORDS_AT + 2 * RECORD_SIZE
index("name-window", 3, 1, [record(AT, 10, 6), record(AT + 8187, 6, 6)],
      b"1.host:2,S" + bytes([0xff, 127]) + b"x" + b"y" * 49 + b"2.host")
index("empty", 3 | 32, 3, [], b"")

# users
USERS = (b"# users\nalice:{PLAIN}secret:1000:1000::/home/alice::\n"
         b"bob:$6$salt$hash:1001:1001:Bob:/home/bob:/bin/sh:maildir=/mail/%u\n"
         b"carol:{SHA512-CRYPT}$6$salt$hash:1002:1002::::\n"
         b"dave:!:1003:1003::::\nerin:{SSHA}x:1004:1004::::\nroot:{PLAIN}x:0:0::::\n"
         b"frank@example.org:{CLEARTEXT}a b:1005:1005::/f::nice maildir=~/%d/%n\n")


def users(name, user, password, text=USERS):
    seed("users", name, user + b"\n" + password + b"\n" + text)


users("plain", b"alice", b"secret")
users("hash", b"bob", b"right")
users("scheme", b"carol", b"right")
users("wrong", b"alice", b"wrong")
users("locked", b"dave", b"right")
users("unknown-scheme", b"erin", b"x")
users("root", b"root", b"x")
users("domain", b"frank@example.org", b"a b")
users("nobody", b"mallory", b"")
users("twice", b"a", b"2", b"a:{PLAIN}1:1:1\na:{PLAIN}2:1:1\n")
users("cr-nul", b"a", b"1", b"a:{PLAIN}1:1:1\r\na:{PLAIN}\0:1:1\na:{PLAIN}1:1:1")
users("long-line", b"a", b"1", b"#" + many(63, b"x") + b"y" * 62 + b"\na:{PLAIN}1:1:1\n")
users("too-long-line", b"a", b"1", b"#" + many(250, b"x") + b"\na:{PLAIN}1:1:1\n")
users("long-password", b"a", b"right", b"a:" + many(16, b"x") + b":1:1\n")

# conf
seed("conf", "all", b"""# all keys
users file /etc/pop3d.users
maildir /var/mail/%d/%n
plaintext never
listen 127.0.0.1:110
listen [::1]:110
hostname mail.example.org
auth_timeout 60
idle_timeout 600
max_connections 10
max_per_address 5
session_user nobody
log stderr
""")
seed("conf", "tls", b"tls_certificate /etc/a.pem\ntls_key /etc/a.key\ntls_certificate /etc/b\n"
     b"listen *:995 tls\ntls_min 1.3\ntls_client_ca /ca\nsandbox require\n")
seed("conf", "tls-wrong", b"tls_key /k\ntls_certificate c\ntls_min 2\nlisten *:995 ssl\n-otls_certificate /c\n"
     b"-otls_key /k\n-otls_key /k\n")
seed("conf", "oauth", b"oauth /v --a  b\t=c\noauth_timeout 60\noauth_scope a b\noauth_discovery https://x/y\n-ooauth /w\n")
seed("conf", "oauth-wrong", b"oauth v\noauth_timeout 61\noauth_scope \"\noauth_discovery http://x\noauth \noauth_discovery https://\\\n")
seed("conf", "options", b"-ousers system\n-olog syslog\n-l*:110\nlisten :995\n-omaildir ~/Maildir\n")
seed("conf", "listens", b"".join(b"listen h%d:1\n" % i for i in range(18)) + b"-olisten [a:b\n")
seed("conf", "wrong", b"users\nusers file x\nmaildir x%x\nplaintext maybe\nlisten 1:99999\n"
     b"hostname a b\nauth_timeout 0\nidle_timeout 599\nwhat now\nlog syslog # no\n")
seed("conf", "spaces", b"  users \t file \t /u  \n\t# x\n\nlog\tstderr\t\nlog \n")
seed("conf", "percents", b"maildir ~/%%%u%n/%d%%\n-omaildir /%\n")
seed("conf", "long", b"maildir /" + many(30, b"x") + b"%u\nhostname " + many(4, b"h") + b"\n")
seed("conf", "too-long", b"maildir /" + many(255, b"x") + b"\nlog stderr\r\nlog\0stderr\n")

# monitor
LOGIN_OPEN = b"\0\0alice\na\n"
OPEN, RECOUNT, DELETED, FETCHED, COMMIT, END, DISTURB, RAW, STLS, SIGN, TICKET, SECURED, CHALLENGE, SALT, PROOF = (
    bytes([n]) for n in range(1, 16))


def monitor(name, steps, flags=0, torn=b"\0"):
    seed("monitor", name, bytes([flags]) + torn + steps)


def disturb(what, number):
    return DISTURB + bytes([what, number])


OPENS = b"".join(OPEN + bytes([n, 0]) for n in range(8))
QUIT = COMMIT + b"\0\0" + END + b"\0\0"
monitor("plain", LOGIN_OPEN + OPENS + DELETED + b"\0\x05" + FETCHED + b"\0\xff" + QUIT)
monitor("apop", b"\0\3alice\na\n" + OPENS + QUIT)
monitor("denied", b"\0\0alice\nb\n\0\0who\nb\n\0\1alice\nb\n\0\0alice\na\n")
monitor("cram-md5", CHALLENGE + b"\0\0" + b"\0\x62alice\na\n" + OPENS + QUIT)
monitor("cram-md5-wrong", CHALLENGE + b"\0\0" + b"\0\x60alice\na\n" + b"\0\x62alice\na\n")
for method in range(4, 8):
    flags = bytes([method << 5]), bytes([method << 5 | 2])
    monitor(f"scram-{method}", SALT + flags[0] + b"alice\na\n" + PROOF + flags[1] + b"alice\na\n" + OPENS + QUIT)
monitor("scram-wrong", SALT + b"\xa0who\n\n" + PROOF + b"\xa2who\na\n" + SALT + b"\xa0alice\n\n" + PROOF + b"\xa2alice\nb\n")
TOKEN = b"\xef"
monitor("token", TOKEN + b"\0alice\nx.bad\n" + TOKEN + b"\1alice\nalice.good\n" + OPENS + QUIT)
monitor("token-nobody", TOKEN + b"\0\nalice.good\n" + QUIT)
monitor("token-users", b"".join(TOKEN + b"\0" + line + b"\n" for line in (b"alice\ntoken.", b"\nlocked.", b"\nnone")) + QUIT)
monitor("token-star", TOKEN + b"\0\ntoken.a\n" + QUIT)
monitor("token-unsure", TOKEN + b"\0\ny\n" + QUIT)
monitor("token-long", TOKEN + b"\x20\n\n" + QUIT)
monitor("token-none", TOKEN + b"\0alice\na b\n")
monitor("token-as-a-login", b"\0\x04alice\na\n" + TOKEN + b"\2alice\na\n")
monitor("scram-of-another", SALT + b"\xa0alice\n\n" + PROOF + b"\xa3alice\na\n")
monitor("challenges", CHALLENGE + b"\0\0" + (CHALLENGE + b"\0\0" + SALT + b"\xa0alice\n\n") * 4)
monitor("no-such-kind", LOGIN_OPEN + b"\xfa\0\0")
monitor("absent", b"\0\0none\na\n" + QUIT)
monitor("beyond", LOGIN_OPEN + OPEN + b"\x08\0")
monitor("stls", STLS + b"\0" + END + b"\x09\0" + SIGN + b"\x10" + TICKET + b"\3" + SECURED
        + b"\5" + LOGIN_OPEN + OPENS + QUIT)
monitor("tls", SIGN + b"\x80" + TICKET + b"\1" + TICKET + b"\2" + SECURED + b"\1" + LOGIN_OPEN
        + QUIT, 32)
monitor("tls-fails", SECURED + b"\2" + END + b"\x0a\0", 32)
monitor("tls-broken", STLS + b"\0" + LOGIN_OPEN + QUIT, 64)
monitor("signs-too-much", SIGN + b"\xff", 32)
PIECE, EXTERNAL = b"\x1f", b"\x2f"
SIGNED = SIGN + b"\x80" + SECURED + b"\1"
monitor("external", SIGNED + PIECE + b"\0\x80a" + PIECE + b"\1\x05x" + EXTERNAL + b"\0alice\n" + OPENS + QUIT, 32)
monitor("external-by-name", SIGNED + PIECE + b"\0\x07a" + EXTERNAL + b"\0\n" + OPENS + QUIT, 32)
monitor("external-as-another", SIGNED + PIECE + b"\0\x07a" + (EXTERNAL + b"\0bob\n") * 2 + EXTERNAL + b"\0alice\n" + QUIT, 32)
monitor("external-of-nobody", SIGNED + PIECE + b"\0\x07n" + (EXTERNAL + b"\0\n") * 3, 32)
monitor("external-late", SIGNED + PIECE + b"\0\x07l" + EXTERNAL + b"\0\n", 32)
monitor("external-again", SIGNED + PIECE + b"\0\x07a" + EXTERNAL + b"\0bob\n" + PIECE + b"\0\x07a", 32)
monitor("external-unsigned", PIECE + b"\0\x07a", 32)
monitor("external-many", SIGNED + b"".join(PIECE + bytes([n]) + b"\x80a" for n in range(13)), 32)
monitor("links", LOGIN_OPEN + b"".join(disturb(12, n) for n in range(4)) + OPENS + QUIT)
monitor("out-of-turn", LOGIN_OPEN + LOGIN_OPEN)
monitor("size", LOGIN_OPEN + RAW + b"\x10\1\1")
monitor("settled", LOGIN_OPEN + OPENS + RECOUNT + b"\1\0" + QUIT, 15)
monitor("new-is-read", LOGIN_OPEN + OPENS + DELETED + b"\0\xf0" + QUIT, 11)
monitor("torn", LOGIN_OPEN + OPENS + QUIT, 31, b"\x18\1\7")
monitor("others", disturb(14, 7) + LOGIN_OPEN + disturb(8, 0) + disturb(0, 1) + disturb(9, 1)
        + disturb(2, 2) + OPENS + DELETED + b"\0\xff" + QUIT)
monitor("others-later", LOGIN_OPEN + OPENS + disturb(3, 0) + disturb(4, 1) + disturb(13, 1)
        + disturb(7, 0) + OPENS + RECOUNT + b"\4\0" + QUIT, 15)

# external
MODES = EDITS, UNSIGNED, RAW, UNSIGNED_RAW, NAMES = range(5)
FLIP, INSERT, DROP, CUT, REPEAT = range(5)


def external(name, mode, which, *edits):
    seed("external", name, bytes([mode, which])
         + b"".join(bytes([kind]) + at.to_bytes(2, "little") + bytes([octet]) for kind, at, octet in edits))


def message(kind, *parts):
    body = b"".join(parts)
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


for which in range(6):
    external(f"whole-{which}", EDITS, which)
    external(f"by-email-{which}", EDITS, 128 | which)
    external(f"flipped-{which}", EDITS, which, (FLIP, 900, 1))
    external(f"chain-{which}", UNSIGNED, which, (REPEAT, 700, 90), (DROP, 60, 3))
    external(f"cut-{which}", UNSIGNED, which, (CUT, 1000, 0))
for which in range(2):
    external(f"name-{which}", NAMES, which)
    external(f"names-{which}", NAMES, which, (FLIP, 150, 7), (INSERT, 90, 0), (REPEAT, 100, 5))
SERVER_HELLO = b"\3\3" + bytes(range(32)) + b"\0\x13\x02\0"
for name, hello, rest in (
        ("1.2", SERVER_HELLO, [message(11, b"\0\0\0"), message(12, b"\3\0\x1d\1x\4\3\0\1s"), message(13), message(14),
                              message(11, b"\0\0\3\0\0\0"), message(16), message(15, b"\4\3\0\1s")]),
        ("1.3", SERVER_HELLO + b"\0\6\0\x2b\0\2\3\4",
         [message(8), message(13), message(11, b"\0\0\0\5\0\0\0\0\0"), message(15, b"\4\3\0\1s"), message(20),
          message(11, b"\0\0\0\6\0\0\1x\0\0"), message(15, b"\4\3\0\1s")])):
    for mode in RAW, UNSIGNED_RAW:
        seed("external", f"raw-{name}-{mode}", bytes([mode, 0]) + message(1, b"\3\3" + bytes(32)) + message(2, hello)
             + b"".join(rest))

# tls
RAW, ASKS_CLIENT, ONLY_1_3, NO_SIGNATURE, NO_TICKET, OLD_TICKET, RESET, SHORT_PUT = (
    1 << n for n in range(8))
MOST_1_2, OLD_VERSIONS, RESUMES, HAS_NAME, HAS_CERTIFICATE, FOREIGN, GROUP_FIRST, RSA_ONLY = (
    1 << n for n in range(8))
RENEGOTIATES, UPDATES_KEY, NEVER_READS, GOES = (4 << n for n in range(4))


def sized(octets, data):
    return len(data).to_bytes(octets, "big") + data


def hello(*extensions, version=0x0303, session=b"", ciphers=b"\x13\x01\x13\x03\xc0\x2b\xc0\x2f"):
    """A ClientHello in a record of its own."""
    body = (version.to_bytes(2, "big") + bytes(range(32)) + sized(1, session) + sized(2, ciphers)
            + b"\1\0" + sized(2, b"".join(extensions)))
    return b"\x16\3\1" + sized(2, b"\1" + sized(3, body))


def extension(kind, data):
    return kind.to_bytes(2, "big") + sized(2, data)


def identity(number):
    """Long enough to be a ticket."""
    return sized(2, bytes([number]) * 96) + b"\0\0\1\0"


def shared_keys(count):
    return extension(41, sized(2, b"".join(identity(n) for n in range(count)))
                     + sized(2, sized(1, bytes(32)) * count))


NAME = extension(0, sized(2, b"\0" + sized(2, b"pop.example.org")))
GROUPS = extension(10, sized(2, b"\0\x1d\0\x17\0\x18"))
ALGORITHMS = extension(13, sized(2, b"\4\3\x08\4\4\1\5\3\x08\5"))
BASE = GROUPS + ALGORITHMS + extension(11, b"\1\0") + extension(23, b"") + extension(0xff01, b"\0")
VERSIONS = extension(43, sized(1, b"\3\4\3\3")) + extension(45, b"\1\1")
SHARE = extension(51, sized(2, b"\0\x1d" + sized(2, b"\x09" + bytes(31))))
NO_SHARE = extension(51, sized(2, b""))
POP3, IMAP = (extension(16, sized(2, sized(1, name))) for name in (b"pop3", b"imap"))
TICKET = extension(35, bytes(range(160)))


def tls(name, rest, flags=0, choices=(0, 0), lengths=(1, 1), cut=()):
    seed("tls", name, bytes([flags, *choices, *lengths]) + pieces(*cut) + rest)


def edit(kind, after, octet=0, to_client=False):
    return bytes([kind << 1 | to_client]) + after.to_bytes(2, "little") + bytes([octet])


FLIP, INSERT, DROP, CUT = range(4)
tls("hello-1.2", hello(BASE, TICKET, NAME, POP3), RAW)
tls("hello-1.2-no-ticket", hello(BASE, extension(35, b"")), RAW, cut=[1, 4, 1, 0, 60])
tls("hello-1.3", hello(BASE, NAME, VERSIONS, SHARE, POP3, session=bytes(32)), RAW)
tls("hello-1.3-again", hello(BASE, VERSIONS, NO_SHARE) * 2, RAW)
tls("hello-1.3-ticket", hello(BASE, VERSIONS, SHARE, shared_keys(1)), RAW)
tls("hello-tickets", hello(BASE, VERSIONS, SHARE, shared_keys(12)), RAW)
tls("hello-imap", hello(BASE, VERSIONS, SHARE, IMAP), RAW)
tls("hello-1.0", hello(BASE, version=0x0301, ciphers=b"\xc0\x13\0\x2f"), RAW)
tls("not-tls", b"USER alice\r\nPASS secret\r\n", RAW)
tls("alert", b"\x15\3\3\0\2\2\x28", RAW | RESET)
for which, most in (("1.2", MOST_1_2), ("1.3", 0)):
    tls(f"client-{which}", b"", 0, (most, 1), (255, 200))
    tls(f"resumes-{which}", b"", 0, (most | RESUMES | HAS_NAME, 2), (9, 1))
    tls(f"resumes-late-{which}", b"", OLD_TICKET, (most | RESUMES, 0))
    tls(f"no-ticket-{which}", b"", NO_TICKET | SHORT_PUT, (most | RESUMES, 0), (3, 30))
    tls(f"certificate-{which}", b"", ASKS_CLIENT, (most | HAS_CERTIFICATE, 0))
    tls(f"foreign-{which}", b"", ASKS_CLIENT, (most | FOREIGN, 0))
    tls(f"rsa-{which}", b"", ASKS_CLIENT, (most | RSA_ONLY, 0))
    tls(f"no-signature-{which}", b"", NO_SIGNATURE, (most, 0))
    tls(f"in-pieces-{which}", b"", SHORT_PUT, (most, 0), (2, 99), [1] * 9 + [0, 5, 0, 150, 7])
    tls(f"hangs-up-{which}", b"", RESET, (most, NEVER_READS | GOES), (99, 99), [200, 60, 60, 255])
    tls(f"flips-{which}", edit(FLIP, 60, 1) + edit(FLIP, 500, 128) + edit(FLIP, 0, 3, True), 0, (most, 0))
    tls(f"cut-{which}", edit(INSERT, 700, 9, True) + edit(CUT, 330), 0, (most, 0))
    tls(f"drops-{which}", edit(DROP, 600), 0, (most, 0), (90, 90))
tls("another-group", b"", 0, (GROUP_FIRST, 1))
tls("old-client", b"", 0, (OLD_VERSIONS, 0))
tls("old-for-1.3", b"", ONLY_1_3, (MOST_1_2, 0))
tls("imap", b"", 0, (0, 3))
tls("renegotiates", b"", 0, (MOST_1_2, RENEGOTIATES), (5, 5))
tls("new-keys", b"", 0, (0, UPDATES_KEY), (5, 5))
