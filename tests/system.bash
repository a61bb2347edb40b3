# The system as a test would have it, in mount namespaces of their own; as root.

# A home with a Maildir in it, and the system's users, of whom there can be more then; $HASH is that of
# "secret", $TODAY a day of shadow(5).
start_system() {
	mkdir -p "$T/home"
	MAILDIR=$T/home/Maildir
	make_maildir "$MAILDIR"
	chown 47110:47110 "$T/home"
	cp /etc/passwd /etc/shadow /etc/group "$T"
	chmod 600 "$T/shadow"
	echo 'extra:x:47199:jane' >>"$T/group"
	HASH=$(mkpasswd -m sha512crypt -R 1000 secret)
	TODAY=$(($(date +%s) / 86400))
	export HASH TODAY
}

# system_user NAME PASSWORD [REST] [ID]: with what shadow(5) has of it.
system_user() {
	echo "$1:x:${4:-47110}:${4:-47110}::$T/home:/bin/sh" >>"$T/passwd"
	echo "$1:$2:${3:-$TODAY:0:99999:7:::}" >>"$T/shadow"
}

# Runs a command where passwd, shadow, group and pam.d are those in $T, where they are there.
with_users() {
	unshare --mount --propagation private bash -c '
		T=$1; shift
		for file in passwd shadow group pam.d; do
			[ ! -e "$T/$file" ] || mount --bind "$T/$file" "/etc/$file"
		done
		exec "$@"' with_users "$T" "$@"
}

# Runs a command where a syslog is that writes to $T/syslog, until there is the end of a session.
with_syslog() {
	mkdir "$T/dev"
	unshare --mount --propagation private bash -c '
		T=$1; shift
		mount -t tmpfs tmpfs "$T/dev"
		cp -a /dev/null /dev/urandom "$T/dev/"
		mount --bind "$T/dev" /dev
		exec 3>&-
		python3 - "$T/syslog" <<-"E" &
			import socket, sys
			s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
			s.bind("/dev/log")
			s.settimeout(20)
			with open(sys.argv[1], "wb", buffering=0) as out:
			    while True:
			        line = s.recv(4096)
			        out.write(line + b"\n")
			        if b"end address" in line: break
		E
		while [ ! -S /dev/log ]; do sleep 0.1; done
		"$@" <"$T/in" >"$T/out"
		wait' with_syslog "$T" "$@"
}
