# What a site announces and enforces: who may connect, LOGIN-DELAY, EXPIRE, what becomes of what is
# deleted, and of a session whose client is dead.

load helper

# greeting ADDRESS: what a client from that address of the loopback network is told first.
greeting() {
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.bind((sys.argv[1], 0))
s.connect(("::1" if ":" in sys.argv[1] else "127.0.0.1", int(sys.argv[2])))
print(s.makefile().readline().strip())' "$1" "$PORT"
}

NOT_HERE='-ERR [SYS/PERM] This address is not served'

@test "allow, deny: the first network that a client is in decides, before the greeting" {
	configure 'deny 127.0.0.8/29' 'allow 127.0.0.0/28' 'deny 127.0.0.3' 'allow 127.0.1.1'
	start_listening
	[[ $(greeting 127.0.0.1) == '+OK'* ]]
	[[ $(greeting 127.0.0.3) == '+OK'* ]]
	[[ $(greeting 127.0.0.7) == '+OK'* ]]
	[ "$(greeting 127.0.0.8)" = "$NOT_HERE" ]
	[ "$(greeting 127.0.0.15)" = "$NOT_HERE" ]
	# Where some are named, others are not.
	[ "$(greeting 127.0.0.16)" = "$NOT_HERE" ]
	[[ $(greeting 127.0.1.1) == '+OK'* ]]
	grep -q 'refused address=127.0.0.8 reason=deny' "$T/listening"
}

@test "deny alone: everybody else may connect; SIGHUP reads it anew" {
	configure 'deny 127.0.0.2'
	start_listening
	[[ $(greeting 127.0.0.1) == '+OK'* ]]
	[ "$(greeting 127.0.0.2)" = "$NOT_HERE" ]
	configure 'deny local'
	kill -HUP "$SERVER"
	wait_for grep -q 'configuration reloaded' "$T/listening"
	[ "$(greeting 127.0.0.1)" = "$NOT_HERE" ]
}

@test "allow, deny: IPv6, and IPv4 over an IPv6 socket" {
	configure 'allow ::1' 'deny all'
	start_listening -l '[::1]:0'
	PORT=$(sed -n 's/.*listening address=::1 port=//p' "$T/listening")
	[[ $(greeting ::1) == '+OK'* ]]
	stop_listening
	configure 'deny ::/1'
	start_listening -l '[::1]:0'
	PORT=$(sed -n 's/.*listening address=::1 port=//p' "$T/listening")
	[ "$(greeting ::1)" = "$NOT_HERE" ]
	stop_listening
	# A socket for both families, as a super server may have it.
	configure 'deny 127.0.0.1/32'
	PORT=$(free_port)
	python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", int(sys.argv[1])))
s.listen()
os.dup2(s.fileno(), 0)
os.execv(sys.argv[2], sys.argv[2:])' "$PORT" "$POP3D" -f "$CONF" 2>>"$LOG" 3>&- &
	PIDS="$PIDS $!"
	wait_for is_connectable "$PORT"
	[ "$(greeting 127.0.0.1)" = "$NOT_HERE" ]
	[[ $(greeting 127.0.0.2) == '+OK'* ]]
}

@test "deny: a connection that a super server brings, and a pipe" {
	configure 'deny local'
	[ "$(answers QUIT)" = "$NOT_HERE" ]
	[ "$(python3 -c '
import socket, subprocess, sys
a, b = socket.socketpair()
p = subprocess.Popen(sys.argv[1:], stdin=b, stdout=b)
b.close()
print(a.makefile().read().strip())
p.wait()' "$POP3D" -f "$CONF" 2>>"$LOG")" = "$NOT_HERE" ]
	# Where TLS is expected, nothing is said in the clear.
	make_certificates
	configure_tls rsa -- 'deny local'
	[ -z "$("$POP3D" -T -f "$CONF" </dev/null 2>>"$LOG")" ]
}

@test "allow, deny: what is no network is a mistake" {
	local value
	for value in 127.0.0.0/33 127.0.0.1/ 127.0.0.1/x 127.0.0.1/-1 127.0.0 localhost ::/129 1.2.3.4/8 \
		2001:db8::1/64 '0x7f.0.0.1' '127.0.0.1/0008' '/8' '[::1]' '10.0.0.0/8,all'; do
		configure "deny $value"
		run -78 "$POP3D" -t -f "$CONF"
		[[ $output == "$CONF:5: deny: "* ]] || fail "$value: $output"
	done
	# More than there is room for.
	# shellcheck disable=SC2046
	configure "allow $(printf '10.0.0.%s ' $(seq 65))"
	run -78 "$POP3D" -t -f "$CONF"
	[[ $output == *'too many networks' ]]
}

@test "plaintext by network" {
	configure 'plaintext 127.0.0.2 127.0.1.0/24'
	start_listening
	python3 - "$PORT" <<-'E'
		import socket, sys
		def offers(address):
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), source_address=(address, 0))
		    f = s.makefile("rw", newline="")
		    f.readline()
		    f.write("CAPA\r\nUSER joe\r\nQUIT\r\n")
		    f.flush()
		    answers = f.read()
		    assert ("\r\nUSER\r\n" in answers) == ("\r\n+OK Send" in answers), answers
		    assert ("PLAIN" in answers) == ("\r\nUSER\r\n" in answers), answers
		    return "\r\nUSER\r\n" in answers
		assert not offers("127.0.0.1")
		assert offers("127.0.0.2")
		assert not offers("127.0.0.3")
		assert offers("127.0.1.77")
	E
	run ! grep -qx USER <(answers CAPA QUIT)
	configure 'plaintext local 192.0.2.0/24'
	answers CAPA QUIT | grep -qx USER
}
