# shellcheck shell=bash disable=SC2119,SC2120,SC2034,SC2312 # arguments may be left out
# Mail programs that others wrote, fetching and deleting everything over port $1 of the
# loopback into the empty folder $2, a file a message.  OVER says how they get there: plain, or
# stls or tls, where they look at the certificate; VERSION is the TLS that they are to speak, 1.2
# or 1.3, where they can be told.

CLIENTS='curl mpop fetchmail getmail poplib net_pop3'
OVER=plain
VERSION=

# choice PLAIN STLS TLS: the one that OVER stands for.
choice() {
	case $OVER in
	stls) echo "$2" ;;
	tls) echo "$3" ;;
	*) echo "$1" ;;
	esac
}

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

curl_joe() {
	# shellcheck disable=SC2046
	curl -sS --max-time 60 -u joe:secret \
		$(choice '' "--ssl-reqd --cacert $PKI/ca.pem" "--cacert $PKI/ca.pem") \
		${VERSION:+"--tlsv$VERSION" --tls-max "$VERSION"} "$@"
}

with_curl() {
	local url number
	url=$(choice pop3 pop3 pop3s)://127.0.0.1:$1
	for number in 1 2 3 4 5 6 7 8; do
		curl_joe -o "$2/$number" "$url/1" || return 1
		curl_joe -I -X 'DELE 1' "$url/" >/dev/null || return 1
	done
	[ -z "$(curl_joe "$url/" | tr -d '\r\n')" ]
}

mpop_configuration() {
	cat >"$T/mpoprc" <<-RC
		account default
		host $(choice 127.0.0.1 localhost localhost)
		port $1
		tls $(choice off on on)
		tls_starttls $(choice on on off)
		$(choice '' "tls_trust_file $PKI/ca.pem" "tls_trust_file $PKI/ca.pem")
		${VERSION:+tls_priorities NORMAL:-VERS-ALL:+VERS-TLS$VERSION}
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

fetchmail_tls() {
	local version=${VERSION:+TLS$VERSION}
	choice "sslproto ''" "sslproto '${version:-auto}' sslcertck sslcertfile $PKI/ca.pem" \
		"ssl sslproto '${version:-auto}' sslcertck sslcertfile $PKI/ca.pem"
}

fetchmail_configuration() {
	cat >"$T/fetchmailrc" <<-RC
		set no bouncemail
		set invisible
		poll $(choice 127.0.0.1 localhost localhost) protocol POP3 service $1 timeout 60 ${3:-}
			user joe password secret $(fetchmail_tls) ${4:-no keep} fetchall
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
		type = Simple$(choice POP3 POP3 POP3SSL)Retriever
		server = localhost
		$(choice '' '' "ca_certs = $PKI/ca.pem")
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
	python3 - "$1" "$2" "$OVER" "$VERSION" "$PKI/ca.pem" <<-'PYTHON'
		import poplib, ssl, sys
		poplib._MAXLINE = 1 << 20
		port, folder, over, version, ca = sys.argv[1:]
		if over != "plain":
		    context = ssl.create_default_context(cafile=ca)
		    if version:
		        context.minimum_version = context.maximum_version = getattr(
		            ssl.TLSVersion, "TLSv" + version.replace(".", "_"))
		if over == "tls":
		    client = poplib.POP3_SSL("localhost", int(port), timeout=60, context=context)
		else:
		    client = poplib.POP3("localhost" if over == "stls" else "127.0.0.1", int(port), timeout=60)
		if over == "stls":
		    client.stls(context)
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
	perl - "$1" "$2" "$OVER" "$VERSION" "$PKI/ca.pem" <<-'PERL'
		use strict;
		use Net::POP3;
		my ($port, $folder, $over, $version, $ca) = @ARGV;
		my $known = $version ? "TLSv" . ($version =~ s/\./_/r) : "TLSv1_2:!TLSv1_1:!TLSv1";
		my @tls = (SSL_ca_file => $ca, SSL_verify_mode => 1, $version ? (SSL_version => $known) : ());
		my $client = Net::POP3->new($over eq "plain" ? "127.0.0.1" : "localhost", Port => $port, Timeout => 60,
		    $over eq "tls" ? (SSL => 1, @tls) : ()) or die "connect: $@";
		$over ne "stls" or $client->starttls(@tls) or die "starttls: $@";
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

# A session in one piece, for programs that only carry octets; they print other things too.
session_in_one_piece() {
	printf 'USER joe\r\nPASS secret\r\n'
	printf 'RETR %s\r\n' 1 2 3 4 5 6 7 8
	printf 'DELE %s\r\n' 1 2 3 4 5 6 7 8
	printf 'QUIT\r\n'
}

# The messages in its answers, on standard input, as $1/1 and so on.
messages_of_session() {
	python3 -c '
import re, sys
text = sys.stdin.buffer.read()
found = re.findall(rb"\+OK \d+ octets\r\n(.*?\r\n)\.\r\n", text, re.S)
assert len(found) == 8 and b"+OK Goodbye (maildrop empty)" in text, text
for number, message in enumerate(found, 1):
    with open(f"{sys.argv[1]}/{number}", "wb") as file:
        file.write(re.sub(rb"(?m)^\.", b"", message))' "$1"
}

with_s_client() {
	# shellcheck disable=SC2046
	session_in_one_piece | timeout 60 openssl s_client -quiet -connect "localhost:$1" -CAfile "$PKI/ca.pem" \
		-verify_return_error -verify_hostname localhost $(choice '' '-starttls pop3' '') \
		${VERSION:+"-tls${VERSION/./_}"} 2>"$T/s_client" | messages_of_session "$2"
}

with_gnutls() {
	# shellcheck disable=SC2046
	session_in_one_piece | timeout 60 gnutls-cli --x509cafile "$PKI/ca.pem" --port "$1" \
		$(choice '' --starttls-proto=pop3 '') ${VERSION:+--priority "NORMAL:-VERS-ALL:+VERS-TLS$VERSION"} \
		localhost 2>"$T/gnutls" | messages_of_session "$2"
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
