"""Other POP3 servers, to be measured beside pop3d.

Each Peer starts one server on free ports of 127.0.0.1 and ends it again. All of them get the users, the
password hash, the Maildirs and the certificate of one Site, so that only the servers differ.

A server runs in its own mount and process namespaces. There, /etc has the users of the Site, /run is empty
(so nothing reaches the system's syslog, nor its own dovecot), and what was only unpacked, not installed, is
in /usr. Outside nothing changes: no account, no service, no file of the system. Everything that a server has
started goes when its namespace goes.

    python3 peers.py install          unpacks the servers from Debian's archive
    python3 peers.py try [NAME...]    starts each one, logs in, stops it

It wants root. BENCH_TOOLS names the folder for what is unpacked (else build/tools of the project), NOTQMAIL
a built notqmail tree, CHECKPASSWORD a checkpassword program if that tree has none.
"""
import os
import poplib
import random
import resource
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).absolute().parent.parent
TOOLS = Path(os.environ.get("BENCH_TOOLS") or TOP / "build/tools").absolute()
HOST = "127.0.0.1"
CORES = len(os.sched_getaffinity(0))
SESSIONS = 1000                     # that many at once each server is to bear
BACKLOG = 512                       # else the kernel's retries for a full queue would be measured
OWN_USERS = "courier dovecot dovenull spop3d".split()   # which Debian's packages add


class Site:
    """What all servers serve: user1 ... userN, each with a Maildir in home(n), made the same way each time."""
    password, uid, gid = "secret", 47110, 47110
    hash = "abNANd1rDfiNc"          # of DES: the cheapest that crypt(3) has

    def __init__(self, folder, users):
        self.folder, self.users = folder, users
        self.certificate, self.key = f"{folder}/pem", f"{folder}/key"
        self.random, self.fills, self.changed = random.Random(1), 0, 0
        os.chmod(folder, 0o755)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-keyout", self.key, "-out", self.certificate,
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        for n in range(1, users + 1):
            for name in ("cur", "new", "tmp"):
                os.makedirs(f"{self.home(n)}/Maildir/{name}")
        for path, _, _ in os.walk(f"{folder}/mail"):
            os.chown(path, self.uid, self.gid)

    def home(self, n):
        return f"{self.folder}/mail/user{n}"

    def each(self, line):
        """A line for each user, from one with {n} and {home}."""
        return "".join(line.format(n=n, home=self.home(n)) + "\n" for n in range(1, self.users + 1))

    def text(self, size):
        """A message of so many octets, in lines as people write them."""
        parts, length = [b"From: <a@example.org>\nTo: <b@example.org>\nSubject: bench\n\n"], 60
        while length < size:
            line = bytes(self.random.choices(b"abcdefghijklmnopqrstuvwxyz    .", k=self.random.randrange(20, 76)))
            parts.append(line + b"\n")
            length += len(line) + 1
        return b"".join(parts)[:size - 1] + b"\n"

    def fill(self, number, count, size):
        """Gives a user another maildrop: so many messages of that size; returns one's path."""
        base = f"{self.home(number)}/Maildir"
        for folder in ("new", "cur"):
            for name in os.listdir(f"{base}/{folder}"):
                os.unlink(f"{base}/{folder}/{name}")
        text = self.text(min(size, 1 << 18))
        text = text * (size // len(text)) if size > len(text) else text
        self.fills += 1             # a name is never another message's
        for i in range(count):
            path = f"{base}/cur/{1600000000 + i}.M{i}P{self.fills}.host:2,S"
            if count > self.linked and i % 50000:
                os.link(first, path)
                continue
            first = path
            self.write(path, text)
        self.changed = time.time()
        return path

    linked = 200000                 # in a larger maildrop, messages share their files

    def write(self, path, text):
        with open(path, "wb") as file:
            file.write(text)
        os.chown(path, self.uid, self.gid)

    def deliver(self, number, count):
        """So many new messages."""
        base, text = f"{self.home(number)}/Maildir", self.text(2048)
        self.fills += 1
        for i in range(count):
            name = f"{1700000000 + self.fills}.M{i}P{self.fills}.host"
            self.write(f"{base}/tmp/{name}", text)
            os.rename(f"{base}/tmp/{name}", f"{base}/new/{name}")
        self.changed = time.time()

    def forget(self, number, cold=False):
        """Nobody has ever logged in here; where it is `cold`, nothing has been read from the disk either."""
        base = f"{self.home(number)}/Maildir"
        for name in os.listdir(base):
            if name not in ("cur", "new", "tmp"):
                path = f"{base}/{name}"
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        if cold:
            os.sync()
            with open("/proc/sys/vm/drop_caches", "w") as file:
                file.write("3")


class Peer:
    name = None
    packages = ()                   # of Debian; the first names its folder in TOOLS
    programs = ()                   # files without which it can't run
    stls = tls = False
    open_files = 1024               # what systemd gives a service

    def __init__(self):
        self.port = self.tls_port = self.process = self.namespace = None
        self.logins = []            # the ways of login that start() has tried

    def commands(self, site):
        """Shell lines which start its processes in the background."""
        raise NotImplementedError

    def etc(self, site):
        """Files for its /etc: a dictionary of names and contents."""
        return {}

    def missing(self):
        """Why it can't run here, or None."""
        if os.geteuid() != 0:
            return "needs root, for its namespaces"
        absent = [path for path in self.programs
                  if not Path(path).exists() and not self.unpacked(path).exists()]
        return f"no {absent[0]}, which 'peers.py install' would unpack" if absent else None

    def unpacked(self, path):
        return TOOLS / self.packages[0] / path.lstrip("/")

    def overlay(self, place, *folders):
        """The command that lays folders, and what was unpacked if that is needed, over one of the system."""
        if not all(Path(program).exists() for program in self.programs) and self.unpacked(place).is_dir():
            folders += (self.unpacked(place),)
        layers = shlex.quote(":".join(map(str, [*folders, place])))
        return f"mount -t overlay -o ro,lowerdir={layers} overlay {place}" if folders else ""

    def write(self, name, text, mode=0o644):
        """Writes a file into the server's own folder."""
        path = self.own / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode)
        path.write_text(text)
        return path

    def start(self, site):
        """Starts it, waits until it answers and logs in as user1 by every way it has. (It ends with the
        thread that calls this, however that ends.)"""
        if reason := self.missing():
            raise RuntimeError(f"{self.name}: {reason}")
        self.own = Path(site.folder) / "peers" / self.name
        shutil.rmtree(self.own, ignore_errors=True)
        self.port, self.tls_port = free_ports(2)
        if not self.tls:
            self.tls_port = None
        for name, text in (accounts(site) | self.etc(site)).items():
            self.write("etc/" + name, text, 0o600 if name == "shadow" else 0o644)
        most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        script = self.write("run", "\n".join([
            "set -e", "mount -t tmpfs -o mode=755 tmpfs /run", self.overlay("/etc", self.own / "etc"),
            self.overlay("/usr"), f"ulimit -n {min(self.open_files, most_files)}", "cd /",
            self.commands(site), "wait", ""]))
        with open(self.own / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child",
                 "--mount-proc", "/bin/sh", script],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self.wait_until_ready(site)
        except Exception as error:
            self.stop()
            tail = (self.own / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.name}: {error}\n{tail}") from error

    def wait_until_ready(self, site):
        deadline = time.monotonic() + 15
        while True:
            try:
                self.namespace = self.namespace or inner_namespace(self.process.pid)
                self.logins = self.check(site)
                return
            except (OSError, poplib.error_proto) as error:
                if self.process.poll() is not None:
                    raise RuntimeError("ended by itself") from error
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def check(self, site):
        """Logs in by every way; returns the ways."""
        trust = ssl.create_default_context(cafile=site.certificate)
        log_in(site, poplib.POP3(HOST, self.port, timeout=10))
        ways = ["plain"]
        if self.stls:
            client = poplib.POP3(HOST, self.port, timeout=10)
            client.stls(trust)
            log_in(site, client)
            ways.append("stls")
        if self.tls:
            log_in(site, poplib.POP3_SSL(HOST, self.tls_port, timeout=10, context=trust))
            ways.append("tls")
        return ways

    def pids(self):
        """All its processes, but for the shell that holds the namespace."""
        found = []
        for pid in filter(str.isdecimal, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") != self.namespace:
                    continue
                with open(f"/proc/{pid}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:         # it has just ended
                continue
            if parent != self.process.pid:
                found.append(int(pid))
        return found

    def stop(self):
        """Ends it and all its processes, at first gently; waits until they are gone."""
        if self.process is None:
            return
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        wait_for(lambda: not self.pids(), 3)
        self.process.kill()         # with it goes the namespace's first process, and with that the others
        self.process.wait()
        gone = wait_for(lambda: not self.pids(), 5)
        self.process = self.namespace = self.port = self.tls_port = None
        if not gone:
            raise RuntimeError(f"{self.name}: processes are left")


class Dovecot(Peer):
    packages = ("dovecot-pop3d", "dovecot-core")
    programs = ("/usr/sbin/dovecot", "/usr/lib/dovecot/pop3", "/usr/share/dovecot/dh.pem")
    stls = tls = True
    open_files = 65535              # LimitNOFILE= in Debian's dovecot.service
    settings, uses = "", 1

    def commands(self, site):
        users = self.write("users", site.each(f"user{{n}}:{site.hash}::::{{home}}::"))
        conf = self.write("dovecot.conf", f"""
protocols = pop3
listen = {HOST}
base_dir = /run/dovecot
state_dir = /run/dovecot-state
log_path = /dev/stderr
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
mail_privileged_group = mail
ssl = yes
ssl_cert = <{site.certificate}
ssl_key = <{site.key}
ssl_dh = </usr/share/dovecot/dh.pem
namespace inbox {{
  inbox = yes
}}
passdb {{
  driver = passwd-file
  args = scheme=CRYPT username_format=%u {users}
}}
userdb {{
  driver = static
  args = uid={site.uid} gid={site.gid} home={site.folder}/mail/%u
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.port}
  }}
  inet_listener pop3s {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
{self.settings.replace("USES", str(self.uses))}""")
        return f"mkdir /run/dovecot-state\ndovecot -F -c {conf} &"


class DovecotTuned(Dovecot):
    """In the high-performance login mode of its manual."""
    name = "dovecot-tuned"
    uses = 1
    settings = f"""
default_client_limit = {10 * SESSIONS}
mail_max_userip_connections = {SESSIONS}
auth_cache_size = 16M
auth_cache_ttl = 1 hour
service pop3-login {{
  service_count = 0
  client_limit = {2 * SESSIONS}
  process_min_avail = {CORES}
  vsz_limit = 1G
}}
service pop3 {{
  service_count = USES
  process_min_avail = {CORES}
  process_limit = {2 * SESSIONS}
}}
"""


class DovecotReusing(DovecotTuned):
    """The same, and a mail process serves one user after another, as only those with one user id can."""
    name = "dovecot-reusing"
    uses = SESSIONS


class DovecotShipped(Dovecot):
    """As Debian's conf.d has it, with a login process for each connection, for instance. It bears no more
    than 100 of them, so no more sessions with TLS (which stay with theirs), and 10 of one user."""
    name = "dovecot-shipped"


class Tcpserver(Peer):
    """One that tcpserver starts for each connection."""
    packages = ("ucspi-tcp",)
    programs = ("/usr/bin/tcpserver",)

    def program(self, site):
        raise NotImplementedError

    def commands(self, site):
        return f"tcpserver -H -R -l0 -c {SESSIONS} -b {BACKLOG} {HOST} {self.port} {self.program(site)} &"


class TcpserverTrue(Tcpserver):
    """No POP3 server: the least that a process for each connection costs."""
    name = "tcpserver-true"

    def program(self, site):
        return "/bin/true"

    def check(self, site):
        socket.create_connection((HOST, self.port), timeout=10).close()
        return []


class Qmail(Tcpserver):
    """notqmail's qmail-popup and qmail-pop3d, with a checkpassword."""
    name = "qmail"

    def parts(self):
        tree = Path(os.environ["NOTQMAIL"])
        return [tree / "qmail-popup", Path(os.environ.get("CHECKPASSWORD") or tree / "checkpassword"),
                tree / "qmail-pop3d"]

    def missing(self):
        if not os.environ.get("NOTQMAIL"):
            return "NOTQMAIL names no tree of notqmail"
        absent = [str(part) for part in self.parts() if not part.is_file()]
        return f"no {absent[0]}" if absent else super().missing()

    def program(self, site):
        # Copies, for the user who runs the last of them may not reach the tree.
        popup, check, pop3d = (shutil.copy(part, self.own) for part in self.parts())
        return f"{popup} localhost {check} {pop3d} Maildir"


class QmailStunnel(Qmail):
    """The same with stunnel, which stays resident, before it for TLS."""
    name = "qmail-stunnel"
    packages = ("stunnel4", "ucspi-tcp")
    programs = ("/usr/bin/tcpserver", "/usr/bin/stunnel4")
    tls = True
    open_files = 16384

    def commands(self, site):
        conf = self.write("stunnel.conf", f"""
foreground = yes
syslog = no
debug = warning
pid =
setuid = nobody
setgid = nogroup
[pop3s]
accept = {HOST}:{self.tls_port}
connect = {HOST}:{self.port}
cert = {site.certificate}
key = {site.key}
""")
        return super().commands(site) + f"\nstunnel4 {conf} &"


class Courier(Peer):
    """With Debian's settings but for the limits, and the users in a userdb."""
    name = "courier"
    packages = ("courier-pop", "courier-authlib-userdb")
    programs = ("/usr/lib/courier/courier/courierpop3login", "/usr/sbin/couriertcpd",
                "/usr/lib/courier/courier-authlib/authdaemond", "/usr/lib/courier-authlib/libauthuserdb.so")
    stls = tls = True

    def etc(self, site):
        # The two databases are mounted over these files.
        return {"courier/userdb.dat": "", "courier/userdbshadow.dat": "",
                "courier/authdaemonrc": 'authmodulelist="authuserdb"\ndaemons=5\n'
                                        "authdaemonvar=/run/courier/authdaemon\n"}

    def commands(self, site):
        # In the form which makedatprog reads.
        self.write("userdb", site.each(f"user{{n}}\thome={{home}}|uid={site.uid}|gid={site.gid}") + ".\n")
        self.write("userdbshadow", site.each(f"user{{n}}\tpop3pw={site.hash}") + ".\n", 0o600)
        self.write("pop3d.pem", Path(site.key).read_text() + Path(site.certificate).read_text(), 0o600)
        lib = "/usr/lib/courier/courier"
        server = f"{lib}/courierpop3login {lib}/courierpop3d Maildir"
        tcpd = (f"couriertcpd -address={HOST} -listen={BACKLOG} -maxprocs={SESSIONS} -maxperip={SESSIONS} "
                "-nodnslookup -noidentlookup")
        return f"""
mkdir -p /run/courier/authdaemon
touch /run/courier/cache
cp {self.own}/pop3d.pem /run/courier
chown -R courier: /run/courier
for name in userdb userdbshadow; do
  {lib}-authlib/makedatprog - /run/courier/new /run/courier/$name.dat <{self.own}/$name
  mount --bind /run/courier/$name.dat /etc/courier/$name.dat
done
set -a
. /etc/courier/authdaemonrc
{lib}-authlib/authdaemond &
while ! test -S /run/courier/authdaemon/socket; do sleep 0.05; done
. /etc/courier/pop3d
. /etc/courier/pop3d-ssl
TLS_CERTFILE=/run/courier/pop3d.pem TLS_CACHEFILE=/run/courier/cache
unset TLS_DHPARAMS
{tcpd} {self.port} {server} &
POP3_TLS=1 POP3_STARTTLS=NO
{tcpd} {self.tls_port} /usr/bin/couriertls -server -tcpd -user=courier {server} &
"""


class Mailutils(Peer):
    """GNU Mailutils' pop3d."""
    name = "mailutils"
    packages = ("mailutils-pop3d",)
    programs = ("/usr/sbin/pop3d", "/usr/bin/popauth")  # others have a pop3d, too
    stls = tls = True

    def commands(self, site):
        conf = self.write("pop3d.conf", f"""
mode daemon;
foreground yes;
max-children {SESSIONS};
logging {{ syslog no; }};
tcp-wrappers {{ enable no; }};
auth {{ authorization system; authentication generic:system; }};
mailbox {{ mailbox-pattern "maildir:{site.folder}/mail/${{user}}/Maildir"; }};
tls-file-checks {{ key-file none; cert-file none; }};
tls {{ ssl-certificate-file {site.certificate}; ssl-key-file {site.key}; }};
server {HOST}:{self.port} {{ backlog {BACKLOG}; tls-mode ondemand; }};
server {HOST}:{self.tls_port} {{ backlog {BACKLOG}; tls-mode connection; }};
""")
        # Its folder for locks is made by no package.
        return ("mkdir -p /run/lock/subsys; mkdir -m 1777 /run/lock/subsys/mail\n"
                f"/usr/sbin/pop3d --config-file={conf} &")


class SolidPop3d(Tcpserver):
    name = "solid-pop3d"
    packages = ("solid-pop3d", "ucspi-tcp")
    programs = ("/usr/bin/tcpserver", "/usr/sbin/solid-pop3d")

    def etc(self, site):
        return {"pam.d/solid-pop3d": "auth required pam_unix.so\naccount required pam_unix.so\n",
                "spop3d.conf": '<Global>\nMailDropName "Maildir"\nMailDropType maildir\n'
                               "AddBulletins no\n</Global>\n"}

    def program(self, site):
        return "/usr/sbin/solid-pop3d"


PEERS = DovecotTuned, DovecotReusing, DovecotShipped, Qmail, QmailStunnel, Courier, Mailutils, SolidPop3d, TcpserverTrue


def accounts(site):
    """The files of /etc that know the users: the system's, with the Site's added."""
    passwd, group = (Path("/etc", name).read_text() for name in ("passwd", "group"))
    for id, name in enumerate(OWN_USERS, 47100):
        if f"\n{name}:" not in "\n" + passwd:
            passwd += f"{name}:x:{id}:{id}::/nonexistent:/usr/sbin/nologin\n"
            group += f"{name}:x:{id}:\n"
    return {"passwd": site.each(f"user{{n}}:x:{site.uid}:{site.gid}::{{home}}:/bin/sh") + passwd,
            "group": group + f"popmail:x:{site.gid}:\n",
            "shadow": site.each(f"user{{n}}:{site.hash}:19000:0:99999:7:::"),
            "nsswitch.conf": "".join(f"{name}: files\n" for name in
                                     "passwd group shadow hosts services protocols".split())}


def free_ports(count):
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def inner_namespace(pid):
    """The process namespace that unshare has made for its child. An OSError until then."""
    namespace = os.readlink(f"/proc/{pid}/ns/pid_for_children")
    if namespace == os.readlink("/proc/self/ns/pid"):
        raise OSError("no namespace yet")
    return namespace


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def log_in(site, client):
    try:
        client.user("user1")
        client.pass_(site.password)
        client.stat()
        client.quit()
    finally:
        client.close()


def install():
    """Unpacks each server, with the packages it needs and the system lacks, into TOOLS."""
    for packages in dict.fromkeys(peer.packages for peer in PEERS):
        plan = subprocess.run(["apt-get", "--simulate", "--no-install-recommends", "install", *packages],
                              check=True, stdout=subprocess.PIPE, text=True).stdout
        wanted = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        wanted = [name for name in wanted if not name.startswith("exim4")]  # Courier would like an MTA
        print(f"{packages[0]}: {' '.join(wanted) or 'is installed'}", flush=True)
        if not wanted:
            continue
        folder = TOOLS / packages[0]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as archives:
            subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *wanted],
                           cwd=archives, check=True)
            for archive in Path(archives).glob("*.deb"):
                subprocess.run(["dpkg", "-x", archive, folder], check=True)
        if (folder / "lib").is_dir():       # which is a link to usr/lib today
            shutil.copytree(folder / "lib", folder / "usr/lib", symlinks=True, dirs_exist_ok=True)


def try_out(peer, site):
    """Starts and stops one, says how it went; returns whether it went well."""
    reason = peer.missing()
    try:
        if not reason:
            peer.start(site)
            pids = peer.pids()
            peer.stop()
            left = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
            reason = f"login ok: {' '.join(peer.logins) or '-'}; {len(pids)} processes; left: {left or 'none'}"
            print(f"{peer.name:16} {reason}", flush=True)
            return not left
        print(f"{peer.name:16} missing: {reason}", flush=True)
        return True
    except RuntimeError as error:
        print(error, flush=True)
        return False
    finally:
        peer.stop()


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        install()
    elif sys.argv[1:2] == ["try"]:
        with tempfile.TemporaryDirectory(prefix="peers.") as place:
            sample = Site(place, 4)
            for n in range(1, 5):
                sample.fill(n, 3, 1000)
            chosen = [kind() for kind in PEERS if kind.name in sys.argv[2:] or not sys.argv[2:]]
            sys.exit(not all([try_out(peer, sample) for peer in chosen]))
    else:
        sys.exit(__doc__)
