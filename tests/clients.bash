# shellcheck shell=bash disable=SC2119,SC2120,SC2034,SC2312 # arguments may be left out
# Mail programs that others wrote, fetching and deleting everything over port $1 of the
# loopback into the empty folder $2, a file a message.

CLIENTS='curl mpop fetchmail getmail poplib net_pop3'

# The Maildir with the messages of data/mail, some in new, some in cur.
client_maildir() {
	local file number=0
	rm -rf "${MAILDIR:?}"
	make_maildir "$MAILDIR"
	for file in "$TESTS"/data/mail/*; do
		number=$((number + 1))
		if [ $((number % 2)) = 1 ]; then
			cp "$file" "$MAILDIR/new/160000000$number.M1P1.host"
		else
			cp "$file" "$MAILDIR/cur/160000000$number.M1P1.host:2,"
		fi
	done
	own "$MAILDIR"
}

# SHA-256 of each message, its lines ending in LF.
digests() {
	python3 - "$@" <<-'PYTHON'
		import hashlib, sys
		for name in sys.argv[1:]:
		    data = open(name, "rb").read().replace(b"\r\n", b"\n")
		    if not data.endswith(b"\n"):
		        data += b"\n"
		    print(hashlib.sha256(data).hexdigest())
	PYTHON
}

# Whether what is in the folder $1 is what data/mail holds.
same_as_sent() {
	diff <(digests "$TESTS"/data/mail/* | sort) <(digests "$1"/* | sort)
}

with_curl() {
	local url=pop3://127.0.0.1:$1 number
	for number in 1 2 3 4 5 6 7 8; do
		curl -sS --max-time 60 -u joe:secret -o "$2/$number" "$url/1" || return 1
		curl -sS --max-time 60 -u joe:secret -I -X 'DELE 1' "$url/" >/dev/null || return 1
	done
	[ -z "$(curl -sS --max-time 60 -u joe:secret "$url/" | tr -d '\r\n')" ]
}

mpop_configuration() {
	cat >"$T/mpoprc" <<-RC
		account default
		host 127.0.0.1
		port $1
		tls off
		auth ${3:-user}
		user joe
		password secret
		received_header off
		keep ${4:-off}
		uidls_file $T/mpop-uidls
		delivery mda cat >$2/\$\$
	RC
	chmod 600 "$T/mpoprc"
}

with_mpop() {
	mpop_configuration "$1" "$2"
	mpop -q -C "$T/mpoprc"
}

fetchmail_configuration() {
	cat >"$T/fetchmailrc" <<-RC
		set no bouncemail
		set invisible
		poll 127.0.0.1 protocol POP3 service $1 timeout 60 ${3:-}
			user joe password secret sslproto '' ${4:-no keep} fetchall
			no rewrite stripcr pass8bits no mimedecode no dropstatus
			mda "cat >$2/\$(mktemp -u XXXXXXXX)"
	RC
	chmod 600 "$T/fetchmailrc"
}

with_fetchmail() {
	fetchmail_configuration "$1" "$2"
	FETCHMAILHOME=$T HOME=$T fetchmail -s -f "$T/fetchmailrc" --nodetach --nosyslog --pidfile "$T/fetchmail.pid" 2>"$T/fetchmail"
	local status=$?
	# 1: nothing to fetch.
	[ $status -le 1 ] || cat "$T/fetchmail"
	return $status
}

# (getmail waits for ever for a child that ends before it begins to wait: hence the sleep.)
getmail_configuration() {
	mkdir -p "$T/getmail"
	cat >"$T/getmail/getmailrc" <<-RC
		[retriever]
		type = SimplePOP3Retriever
		server = 127.0.0.1
		port = $1
		username = joe
		password = secret
		timeout = 60
		[destination]
		type = MDA_external
		path = /bin/sh
		arguments = ("-c", "cat >$2/\$\$; sleep 0.1")
		allow_root_commands = true
		[options]
		delete = ${3:-true}
		read_all = ${4:-true}
		received = false
		delivered_to = false
		verbose = 0
	RC
}

with_getmail() {
	getmail_configuration "$1" "$2"
	HOME=$T getmail --getmaildir "$T/getmail" --rcfile getmailrc
}

with_poplib() {
	python3 - "$1" "$2" <<-'PYTHON'
		import poplib, sys
		poplib._MAXLINE = 1 << 20
		port, folder = sys.argv[1:]
		client = poplib.POP3("127.0.0.1", int(port), timeout=60)
		client.apop("joe", "secret")
		count, octets = client.stat()
		seen = 0
		for number in range(1, count + 1):
		    reply, lines, size = client.retr(number)
		    seen += sum(len(line) + 2 for line in lines)
		    with open(f"{folder}/{number}", "wb") as file:
		        file.write(b"\n".join(lines) + b"\n")
		    client.dele(number)
		assert seen == octets, (seen, octets)
		client.quit()
	PYTHON
}

with_net_pop3() {
	perl - "$1" "$2" <<-'PERL'
		use strict;
		use Net::POP3;
		my ($port, $folder) = @ARGV;
		my $client = Net::POP3->new("127.0.0.1", Port => $port, Timeout => 60) or die "connect: $@";
		defined $client->apop("joe", "secret") or die "apop";
		my $sizes = $client->list;
		for my $number (sort { $a <=> $b } keys %$sizes) {
		    my $lines = $client->get($number) or die "get $number";
		    open my $file, ">", "$folder/$number" or die;
		    print $file @$lines;
		    close $file;
		    $client->delete($number) or die "delete $number";
		}
		$client->quit or die "quit";
	PERL
}

# Each of $CLIENTS empties a Maildir of its own over port $1.
clients_empty() {
	local client
	for client in ${2:-$CLIENTS}; do
		client_maildir
		rm -rf "$T/got"
		mkdir "$T/got"
		"with_$client" "$1" "$T/got" || fail "$client: status $?"
		same_as_sent "$T/got" || fail "$client: got something else"
		[ "$(messages_left)" = 0 ] || fail "$client: $(messages_left) messages left"
	done
}
