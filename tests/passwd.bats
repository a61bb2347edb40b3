# pop3passwd, and the index of the users file: users_index.h.

load helper

PASSWD=${PASSWD:-$BUILT/pop3passwd}

python() {
	PYTHONPATH=$TESTS PYTHONDONTWRITEBYTECODE=1 T=$T PORT=$PORT python3 -c "
import os
from sasl import *
PORT = os.environ['PORT']
$(cat)"
}

# set_password PASSWORD ARGUMENT...
set_password() {
	local password=$1
	shift
	printf '%s\n' "$password" | "$PASSWD" -f "$USERS" "$@"
}

# right PASSWORD USER: the status of -c.
right() {
	printf '%s\n' "$1" | "$PASSWD" -f "$USERS" -c "$2" 2>"$T/why"
}

# Options for a user whom pop3d serves.
ids() {
	[ -z "$MAIL_UID" ] || printf '%s\n' -u "$MAIL_UID" -g "$MAIL_GID"
}

# What logs joe in: PASS, and methods by AUTH.
logs_in() { # logs_in PASSWORD METHOD...
	local password=$1
	shift
	start_listening
	PASSWORD=$password METHODS=$* python <<-'P'
		password = os.environ["PASSWORD"]
		for method in os.environ["METHODS"].split():
		    c = Client(PORT)
		    if method == "PASS":
		        assert c.say(b"USER joe").startswith(b"+OK")
		        reply = c.say(b"PASS " + password.encode())
		    elif method == "APOP":
		        stamp = re.search(rb"<.*>", c.greeting)
		        assert stamp, c.greeting
		        reply = c.say(b"APOP joe " + hashlib.md5(stamp.group() + password.encode()).hexdigest().encode())
		    elif method == "PLAIN":
		        reply = c.say(b"AUTH PLAIN " + b64("\0joe\0" + password))
		    elif method == "CRAM-MD5":
		        reply = cram_md5(c, "joe", password)
		    else:
		        reply = gsasl(c, method, {AUTHID: "joe", PASSWORD: password})
		    assert reply and reply.startswith(b"+OK"), (method, reply)
		    c.quit()
		    if method.startswith("SCRAM"):
		        c = Client(PORT)
		        assert Scram(c, method, "joe", password + "x").run() == b"-ERR [AUTH] Wrong user name or password"
		        c.quit()
	P
	stop_listening
}

# many_users COUNT [LINE]: user1 and so on, with passwords secret1 and so on.
many_users() {
	{
		[ -z "${2:-}" ] || printf '%s\n' "$2"
		seq 1 "$1" | sed "s/.*/user&:{PLAIN}secret&:$MAIL_UID:$MAIL_GID::${T//\//\\/}/"
	} >"$USERS"
	touch -d '1 minute ago' "$USERS"
}

# The same, and their index.
indexed_users() {
	many_users "$@"
	"$PASSWD" -f "$USERS" -i
}

log_in() { # log_in NUMBER
	answers "USER user$1" "PASS secret$1" QUIT | grep -q '^+OK Maildrop'
}

# System calls of a login, one a line in $T/calls: of the monitor, from its start.
count_calls() {
	rm -f "$T"/trace.*
	strace -ff -o "$T/trace" "$POP3D" -f "$CONF" \
		< <(printf 'USER %s\r\nPASS %s\r\nQUIT\r\n' "$1" "$2") >"$T/out" 2>>"$LOG"
	cp "$(grep -L "USER $1" "$T"/trace.* | head -n 1)" "$T/calls"
}

# What is done with files: how the other process is waited for depends on the clock.
file_calls() {
	grep -cE '^(open|openat|readlink|read|pread64|lseek|_llseek|close|[a-z]*stat[a-z0-9]*)\(' "$T/calls"
}

# How often the index was opened, and was one.
lookups() {
	grep -c 'pread64.*pop3user' "$T/calls" || true
}

@test "each scheme: what is written logs in, by all that the scheme serves" {
	local scheme methods
	while read -r scheme methods; do
		rm "$USERS"
		# shellcheck disable=SC2046,SC2086
		set_password 'a $ecret' -s "$scheme" $(ids) -H "$T" joe
		right 'a $ecret' joe
		run -1 right 'a $ecre' joe
		[ "$("$PASSWD" -f "$USERS" -l)" = "joe	$scheme" ] || fail "$("$PASSWD" -f "$USERS" -l)"
		"$POP3D" -t -f "$CONF"
		# shellcheck disable=SC2086
		logs_in 'a $ecret' PASS PLAIN $methods || fail "$scheme"
	done <<-'S'
		yescrypt
		sha512crypt
		bcrypt
		SCRAM-SHA-256 SCRAM-SHA-256
		SCRAM-SHA-1 SCRAM-SHA-1
		PLAIN APOP CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256
	S
}

@test "SCRAM keys are those that GNU SASL makes of the same salt, hashes those of crypt(3) under Perl" {
	local scheme rounds count field salt
	for scheme in SCRAM-SHA-1 SCRAM-SHA-256; do
		for rounds in '' '-r 4321'; do
			# shellcheck disable=SC2086
			field=$(echo secret | "$PASSWD" -n -s "${scheme,,}" $rounds joe | cut -d : -f 2)
			count=${rounds#-r }
			count=${count:-4096}
			[[ $field == "{$scheme}$count,"* ]]
			salt=$(cut -d , -f 2 <<<"$field")
			[ "$(base64 -d <<<"$salt" | wc -c)" = 16 ]
			[ "$(gsasl --mkpasswd -m "$scheme" --password secret --salt "$salt" \
				--iteration-count "$count")" = "$field" ]
		done
	done
	for scheme in yescrypt sha512crypt bcrypt; do
		field=$(echo secret | "$PASSWD" -n -s "$scheme" joe | cut -d : -f 2)
		# shellcheck disable=SC2016
		[ "$(perl -e 'print crypt("secret", $ARGV[0])' "$field")" = "$field" ] || fail "$field"
	done
}

# bats test_tags=loads
@test "yescrypt is the default; where crypt(3) does not know it, sha512crypt; salts differ" {
	[[ $(echo secret | "$PASSWD" -n joe) == 'joe:$y$j9T$'* ]]
	[[ $(echo secret | LD_PRELOAD=$FAULT FAULT_CRYPT='$y$' "$PASSWD" -n joe) == 'joe:$6$'* ]]
	LD_PRELOAD=$FAULT FAULT_CRYPT='$y$' run -65 "$PASSWD" -n -s yescrypt joe <<<secret
	[[ $output == *'does not know that scheme'* ]]
	[ "$(for _ in 1 2 3; do echo x | "$PASSWD" -n joe; done | sort -u | wc -l)" = 3 ]
	[[ $(echo secret | "$PASSWD" -n -s sha512crypt -r 2000 joe) == 'joe:$6$rounds=2000$'* ]]
	[[ $(echo secret | "$PASSWD" -n -s BCRYPT -r 5 joe) == 'joe:$2b$05$'* ]]
}

@test "the users file and scram_iterations are the configuration's; without one it is 78" {
	configure 'scram_iterations 5000'
	echo other | "$PASSWD" -C "$CONF" -s SCRAM-SHA-256 joe
	grep -q '^joe:{SCRAM-SHA-256}5000,' "$USERS"
	echo other | "$PASSWD" -C "$CONF" -c joe
	echo other | "$PASSWD" -C "$CONF" -s SCRAM-SHA-256 -r 4096 joe
	grep -q '^joe:{SCRAM-SHA-256}4096,' "$USERS"
	echo 'users system' >"$CONF"
	run -78 "$PASSWD" -C "$CONF" joe <<<x
	[[ $output == *"there is no \`users file\` in $CONF"* ]]
	run -78 "$PASSWD" -C "$T/none" joe <<<x
	echo 'users fire' >"$CONF"
	run -78 "$PASSWD" -C "$CONF" joe <<<x
}

@test "a new file has a seed and mode 600; the next user leaves both as they are" {
	rm "$USERS"
	(umask 0 && set_password secret -u 5000 -g 5000 -s PLAIN joe)
	[ "$(stat -c %a "$USERS")" = 600 ]
	[[ $(head -n 1 "$USERS") =~ ^'#seed '[0-9a-f]{32}$ ]]
	head -n 1 "$USERS" >"$T/first"
	set_password secret -u 5001 -g 5001 -s PLAIN ann
	head -n 1 "$USERS" | cmp - "$T/first"
	[ "$(sed 1d "$USERS")" = $'joe:{PLAIN}secret:5000:5000\nann:{PLAIN}secret:5001:5001' ]
	# The same in the directory where one is; and no seed where there was a file.
	(cd "$T" && echo secret | "$PASSWD" -f relative -s PLAIN -u 1 -g 1 joe && [ -s relative ])
	: >"$USERS"
	set_password secret -s PLAIN -u 5000 -g 5000 joe
	[ "$(cat "$USERS")" = 'joe:{PLAIN}secret:5000:5000' ]
}

@test "a user's line keeps its other fields, others stay octet for octet" {
	printf '%s\n' '# comment: here' '' 'no colon' '#joe:{PLAIN}x' ':empty:' 'joey:x' 'jo:x' \
		'joe:old:1:2:Joe, the:/home/joe:/bin/sh:a=b maildir=/x:y' 'ann:x::::' 'joe:second:9:9' >"$T/before"
	printf 'last:x' >>"$T/before"
	cp "$T/before" "$USERS"
	set_password new -s PLAIN joe
	sed '8s/old/{PLAIN}new/' "$T/before" | diff - "$USERS" >"$T/diff" || true
	[ "$(cat "$T/diff")" = "$(printf '11c11\n< last:x\n\\ No newline at end of file\n---\n> last:x\n')" ] || fail "$(cat "$T/diff")"
	set_password new -s PLAIN -u 7 -H /new joe
	grep -qx 'joe:{PLAIN}new:7:2:Joe, the:/new:/bin/sh:a=b maildir=/x:y' "$USERS"
	set_password new -s PLAIN -e 'c=d:e' ann
	grep -qx 'ann:{PLAIN}new::::::c=d:e' "$USERS"
	set_password new -s PLAIN -e '' joe
	grep -qx 'joe:{PLAIN}new:7:2:Joe, the:/new:/bin/sh:' "$USERS"
	set_password new -s PLAIN -g 5 last
	[ "$(tail -n 1 "$USERS")" = 'last:{PLAIN}new::5' ]
	set_password new -s PLAIN -u 1 -g 2 -H /h -e 'maildir=/m' other
	[ "$(tail -n 1 "$USERS")" = 'other:{PLAIN}new:1:2::/h::maildir=/m' ]
	[ "$(wc -l <"$USERS")" = 12 ]
}

@test "-d deletes all lines of a user and no other; who is not there is 1" {
	printf '%s\n' '# joe:x' 'joe:1' 'joey:2' 'joe:3' 'ann:4' >"$USERS"
	"$PASSWD" -f "$USERS" -d joe
	[ "$(cat "$USERS")" = $'# joe:x\njoey:2\nann:4' ]
	cp -p "$USERS" "$T/before"
	run -1 "$PASSWD" -f "$USERS" -d joe
	[ "$output" = 'pop3passwd: there is no such user' ]
	cmp "$USERS" "$T/before"
	for name in 'ann:4' '#' '# joe' ''; do run -64 "$PASSWD" -f "$USERS" -d "$name"; done
	cmp "$USERS" "$T/before"
	run -66 "$PASSWD" -f "$T/none" -d joe
	[ ! -e "$T/none" ]
}

@test "-c judges as pop3d does, whatever is stored" {
	local field
	for field in "$(mkpasswd -m md5crypt secret)" "{CRYPT}$(mkpasswd -m sha256crypt secret)" '{CLEARTEXT}secret' \
		"$(gsasl --mkpasswd -m SCRAM-SHA-1 --password secret --iteration-count 4096)"; do
		printf 'joe:%s:1:1\njoe:{PLAIN}other\n' "$field" >"$USERS"
		right secret joe || fail "$field"
		run -1 right other joe
	done
	for field in '' '!' '{SSHA}secret' '{PLAIN}'; do
		printf 'joe:%s:1:1\n' "$field" >"$USERS"
		run -1 right secret joe
		run -1 right '' joe
	done
	run -1 right secret ann
	grep -q 'no such user' "$T/why"
	run -66 "$PASSWD" -f "$T/none" -c joe <<<x
}

@test "-l: names and how passwords are stored; -n changes nothing" {
	printf '%s\n' '# x:y' 'a:$y$j9T$x' 'b:{SHA512-CRYPT}$6$x' 'c:!' 'd:{SSHA}x' 'e' 'f:$1$x$y' 'g:ab12' 'h:$5$x:' \
		$'\033[2J:{PLAIN}x' >"$USERS"
	"$PASSWD" -f "$USERS" -l >"$T/list"
	[ "$(cat "$T/list")" = $'a\tyescrypt\nb\tsha512crypt\nc\tlocked\nd\tunknown\nf\tmd5crypt\ng\tcrypt\nh\tsha256crypt\n\\x1B[2J\tPLAIN' ] ||
		fail "$(cat "$T/list")"
	run -66 "$PASSWD" -f "$T/none" -l
	[ "$(echo secret | "$PASSWD" -f "$T/none" -n -s PLAIN -u 5 joe)" = 'joe:{PLAIN}secret:5' ]
	[ ! -e "$T/none" ] && [ ! -e "$T/none.lock" ]
	run -74 bash -c "'$PASSWD' -f '$USERS' -l >/dev/full"
}

@test "names, numbers, options and passwords that can't be are refused, and nothing is written" {
	local argument
	cp "$USERS" "$T/before"
	for argument in '' '#joe' 'a:b' 'a b' 'a/b' .joe joe@.x $'a\nb' "$(printf 'x%.0s' {1..256})"; do
		run -64 set_password secret -s PLAIN "$argument"
	done
	for argument in '-u x' '-u 0' '-u 00' '-u 4294967295' '-u -1' '-g 1:2' '-H home' '-H /a:b' '-r 0' '-r x' \
		'-s SSHA' '-s PLAIN -r 5000' '-s SCRAM-SHA-1 -r 4095' '-s yescrypt -r 12' '-s bcrypt -r 3' '-x' '-c -d' \
		'-c -u 5' '-i' '-l' '-C x' '-d -s PLAIN' 'ann'; do
		# shellcheck disable=SC2086
		run -64 set_password secret $argument joe
	done
	for argument in $'-e\na' $'-H/a\tb'; do run -64 set_password secret -s PLAIN "$argument" joe; done
	run -64 "$PASSWD" -f "$USERS"
	run -65 "$PASSWD" -f "$USERS" joe </dev/null
	for argument in '' 'a\0b' 'ab\0' 'a\rb' 'a\r' "$(printf 'x%.0s' {1..256})" "$(printf 'x%.0s' {1..9999})"; do
		run -65 "$PASSWD" -f "$USERS" -s PLAIN joe < <(printf "$argument\n")
		[[ $output == pop3passwd:\ the\ password\ * ]]
		[[ $output != *xx* ]]
	done
	run -65 set_password a:b -s PLAIN joe
	run -65 set_password "$(printf 'x%.0s' {1..73})" -s bcrypt joe
	run -65 set_password secret -s PLAIN -e "$(printf 'x%.0s' {1..4090})" joe
	cmp "$USERS" "$T/before"
	argument=$(printf 'x%.0s' {1..255})
	set_password "$argument" -s PLAIN joe
	right "$argument" joe
	set_password a:b -s SCRAM-SHA-256 joe
	right a:b joe
	set_password ' tab	and space ' -s PLAIN joe
	right ' tab	and space ' joe
}

@test "one line of standard input, and nothing behind it, is taken" {
	printf 'one\ntwo\nthree' | {
		"$PASSWD" -f "$USERS" -s PLAIN -u 1 -g 1 a
		"$PASSWD" -f "$USERS" -s PLAIN -u 1 -g 1 b
		"$PASSWD" -f "$USERS" -s PLAIN -u 1 -g 1 c
	}
	[ "$(tail -n 3 "$USERS" | cut -d : -f 2 | tr '\n' ' ')" = '{PLAIN}one {PLAIN}two {PLAIN}three ' ]
}

@test "a file with a NUL, a CR or too long a line is refused and stays as it is" {
	local bad
	for bad in 'a:{PLAIN}\0x:1:1' 'a:x:1:1\r' "$(printf 'x%.0s' {1..4096})"; do
		printf "joe:x\n$bad\nann:y\n" >"$USERS"
		cp "$USERS" "$T/before"
		run -65 set_password secret -s PLAIN joe
		[[ $output == "pop3passwd: $USERS:2: the line "*'; nothing was changed' ]] || fail "$output"
		run -65 "$PASSWD" -f "$USERS" -d ann
		cmp "$USERS" "$T/before"
		[ ! -e "$USERS.new" ]
	done
}

@test "owner and mode stay, links are followed, the file behind them is replaced" {
	mkdir "$T/real"
	mv "$USERS" "$T/real/file"
	chmod 640 "$T/real/file"
	own "$T/real/file"
	ln -s real/file "$T/link"
	ln -s link "$USERS"
	before=$(stat -c '%u:%g %a' "$T/real/file")
	set_password other -s PLAIN joe
	"$PASSWD" -f "$USERS" -i
	[ -L "$USERS" ] && [ -L "$T/link" ]
	grep -q 'joe:{PLAIN}other' "$T/real/file"
	[ "$(stat -c '%u:%g %a' "$T/real/file")" = "$before" ]
	[ "$(stat -c '%u:%g %a' "$T/real/file.index")" = "$before" ]
	[ "$(ls "$T/real")" = $'file\nfile.index\nfile.lock' ]
	run -0 "$POP3D" -t -f "$CONF"
	[ -z "$(grep index <<<"$output")" ]
	rm "$T/real/file"
	run -66 set_password other -s PLAIN joe
	[ ! -e "$T/real/file" ]
}

@test "-V and -h; each option and exit status is in pop3passwd(8)" {
	local word page=$TOP/man/pop3passwd.8
	"$PASSWD" -V | grep -qx 'schemes: yescrypt sha512crypt bcrypt SCRAM-SHA-256 SCRAM-SHA-1 PLAIN'
	for word in $("$PASSWD" -V | sed -n 's/^schemes://p'); do grep -q "Li $word" "$page" || fail "$word"; done
	for word in $("$PASSWD" -h | sed -n 's/^  -\(.\) .*/\1/p'); do
		grep -q "^\.It Fl $word\>" "$page" || fail "-$word"
		grep -q "^\.Dl .*pop3passwd.* -[a-zA-Z]*$word" "$page" || fail "an example of -$word"
	done
	for word in 0 1 64 65 66 71 73 74 77 78; do grep -q "^\.It $word\$" "$page" || fail "$word"; done
}

# A person at a terminal: a script over a pseudo terminal, with `asked`, `say`, `echo_is_on` and `status`.
terminal() {
	T=$T PASSWD=$PASSWD USERS=$USERS python3 -c "
import os, pty, select, signal, termios, time
class Terminal:
    def __init__(self, *arguments, ignored=()):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Whoever runs the tests may ignore some.
            for number in signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP:
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
            program = os.environ['PASSWD']
            os.execv(program, [program, '-f', os.environ['USERS'], *arguments])
        self.seen, self.done = b'', None
    def asked(self, text):
        end = time.monotonic() + 60
        while text not in self.seen:
            assert select.select([self.fd], [], [], end - time.monotonic())[0], self.seen
            self.seen += os.read(self.fd, 1000)
        self.seen = self.seen.split(text, 1)[1]
    def say(self, text):
        assert not self.echo_is_on()
        os.write(self.fd, text)
    def echo_is_on(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)
    def status(self):
        if self.done is None:
            try:
                while True:
                    data = os.read(self.fd, 1000)
                    if not data: break
                    self.seen += data
            except OSError:
                pass
            self.done = os.waitpid(self.pid, 0)[1]
        return os.waitstatus_to_exitcode(self.done)
$(cat)"
}

@test "at a terminal: asked twice, without echo; -c asks once" {
	terminal <<-'P'
		t = Terminal("-s", "PLAIN", "joe")
		t.asked(b"New password for joe: ")
		t.say(b"top secret\n")
		t.asked(b"The same again: ")
		t.say(b"top secret\n")
		assert t.status() == 0 and b"secret" not in t.seen
		t = Terminal("-s", "PLAIN", "joe")
		t.asked(b"New password for joe: ")
		t.say(b"one\n")
		t.asked(b"The same again: ")
		t.say(b"two\n")
		assert t.status() == 65 and b"not the same" in t.seen
		t = Terminal("joe")
		t.asked(b"New password for joe: ")
		t.say(b"\n")
		assert t.status() == 65 and b"empty" in t.seen
		for password, status in ("top secret", 0), ("top secre", 1):
		    t = Terminal("-c", "joe")
		    t.asked(b"Password for joe: ")
		    t.say(password.encode() + b"\n")
		    assert t.status() == status
	P
	grep -q '^joe:{PLAIN}top secret:' "$USERS"
}

@test "at a terminal: whatever signal ends or stops it, the echo comes back" {
	cp "$USERS" "$T/before"
	terminal <<-'P'
		# The keys, and signals.
		for key, number in (b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT), (None, signal.SIGTERM), (None, signal.SIGHUP):
		    for again in False, True:
		        t = Terminal("joe")
		        t.asked(b"New password for joe: ")
		        if again:
		            t.say(b"secret\n")
		            t.asked(b"The same again: ")
		        held = os.open(os.readlink(f"/proc/{t.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
		        if key:
		            t.say(key)
		        else:
		            assert not t.echo_is_on()
		            os.kill(t.pid, number)
		        assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == -number, (number, again)
		        assert termios.tcgetattr(held)[3] & termios.ECHO, number
		# What is ignored, as under nohup, stays so.
		t = Terminal("-s", "PLAIN", "joe", ignored=(signal.SIGQUIT, signal.SIGHUP))
		t.asked(b"New password for joe: ")
		for line in open(f"/proc/{t.pid}/status"):
		    if line.startswith("SigIgn:"):
		        ignored = int(line.split()[1], 16)
		assert all(ignored >> n - 1 & 1 for n in (signal.SIGQUIT, signal.SIGHUP)), hex(ignored)
		t.say(b"\x1c")
		t.say(b"one\n")
		t.asked(b"The same again: ")
		t.say(b"one\n")
		assert t.status() == 0
		# Stopped and continued: it asks again, from the beginning of that password.
		t = Terminal("-s", "PLAIN", "joe")
		t.asked(b"New password for joe: ")
		t.say(b"half")
		# (Here nobody could continue it, so the kernel leaves out the stop itself.)
		os.kill(t.pid, signal.SIGTSTP)
		t.asked(b"New password for joe: ")
		t.say(b"whole\n")
		t.asked(b"The same again: ")
		t.say(b"whole\n")
		assert t.status() == 0
	P
	grep -q '^joe:{PLAIN}whole:' "$USERS"
}

@test "fifty at once lose nothing" {
	local i pids=()
	for ((i = 1; i <= 50; i++)); do
		set_password "secret$i" -s PLAIN -u "$i" -g "$i" "user$i" 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	[ "$(grep -c . "$USERS")" = 51 ]
	for ((i = 1; i <= 50; i++)); do grep -qx "user$i:{PLAIN}secret$i:$i:$i" "$USERS" || fail "user$i"; done
	[ "$(ls "$USERS"*)" = "$USERS"$'\n'"$USERS.lock" ]
}

# calls_of COMMAND...: the system calls that it makes, a kind and how often a line.
calls_of() {
	strace -f -o "$T/strace" "$@" >/dev/null 2>&1 </dev/null
	sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' "$T/strace" | sort | uniq -c
}

# Each change that pop3passwd makes, with what strace is to do then.  `check` looks at what is left.
at_each_call() { # at_each_call WHAT CALL... -- COMMAND...
	local what=$1 call calls=() count n
	shift
	while [ "$1" != -- ]; do calls+=("$1") && shift; done
	shift
	prepare
	calls_of "$@" >"$T/kinds"
	points=0
	for call in "${calls[@]}"; do
		count=$(awk -v call="$call" '$2 == call { print $1 }' "$T/kinds")
		for ((n = 1; n <= ${count:-0}; n++)); do
			prepare
			status=0
			strace -f -o "$T/strace" -e "trace=$call" -e "inject=$call:$what:when=$n" "$@" >"$T/out" 2>&1 </dev/null || status=$?
			check || fail "$call, number $n: $(cat "$T/out"; ls "$T"; cat "$USERS")"
			points=$((points + 1))
		done
	done
}

# bats test_tags=calls,loads
@test "killed at any call: the old file or the new one, whole, and the next change works" {
	local kind
	prepare() {
		rm -f "$USERS".*
		printf '#seed x\njoe:{PLAIN}old:1:1\nann:{PLAIN}y:1:1\n' >"$USERS"
		touch -d '1 minute ago' "$USERS"
		if [ "$kind" = indexed ]; then "$PASSWD" -f "$USERS" -i; fi
		cp "$USERS" "$T/old"
	}
	check() {
		[ "$status" = 137 ] || return 1
		cmp -s "$USERS" "$T/old" || cmp -s "$USERS" "$T/new" || return 1
		[ "$(printf 'y\n' | "$PASSWD" -f "$USERS" -c ann; echo $?)" = 0 ] || return 1
		printf 'next\n' | "$PASSWD" -f "$USERS" -s PLAIN ann || return 1
		[ "$(sed -n 's/^ann:{PLAIN}\(.*\):1:1/\1/p' "$USERS")" = next ] && [ ! -e "$USERS.new" ] && [ ! -e "$USERS.index.new" ]
	}
	printf '#seed x\nann:{PLAIN}y:1:1\n' >"$T/new"
	for kind in '' indexed; do
		at_each_call signal=KILL openat unlink unlinkat fcntl write newfstatat fstat fchmod fsync utimensat rename renameat renameat2 close -- \
			"$PASSWD" -f "$USERS" -d joe
		[ "$points" -ge 30 ] || fail "only $points points"
	done
}

# bats test_tags=calls
@test "all is on the disk before it takes its place, the index first, and the directory after that" {
	many_users 10
	"$PASSWD" -f "$USERS" -i
	strace -f -y -o "$T/strace" -e trace=fsync,rename,renameat,renameat2 "$PASSWD" -f "$USERS" -d user1
	sed -n 's/.*fsync([0-9]*<\(.*\)>.*/fsync \1/p; s/.*rename.*"\(.*\)",.*"\(.*\)".*/rename \1 \2/p' "$T/strace" |
		sed "s|$(dirname "$USERS")|.|" >"$T/order"
	diff "$T/order" - <<-'E'
		fsync ./users.new
		fsync ./users.index.new
		rename users.index.new users.index
		rename users.new users
		fsync .
	E
}

# bats test_tags=calls
@test "each call that writes fails: the file is as it was, nothing is left over, and the status says so" {
	local kind=indexed
	prepare() {
		rm -f "$USERS".*
		printf '#seed x\njoe:{PLAIN}old:1:1\nann:{PLAIN}y:1:1\n' >"$USERS"
		touch -d '1 minute ago' "$USERS"
		"$PASSWD" -f "$USERS" -i
		cp "$USERS" "$T/old"
	}
	check() {
		# The last of all, fsync of the directory, can change nothing any more.
		[ "$status" = 74 ] && { cmp -s "$USERS" "$T/old" || [ "$call $n" = 'fsync 3' ]; } && [ ! -e "$USERS.new" ] && [ ! -e "$USERS.index.new" ]
	}
	at_each_call error=ENOSPC write fsync utimensat renameat renameat2 -- "$PASSWD" -f "$USERS" -d joe
	# (The first writes nothing but the file, the second its index; then two renames, and the times.)
	[ "$points" -ge 7 ] || fail "only $points points"
}

@test "no right to write is 77, no place 73, a full disk 74; the file stays" {
	chmod 500 "$T"
	if [ "$(id -u)" != 0 ]; then
		run -77 set_password x -s PLAIN joe
	fi
	chmod 711 "$T"
	run -66 set_password x -s PLAIN -f "$T/none/users" joe
	mkdir "$T/dir"
	run -65 set_password x -s PLAIN -f "$T/dir" joe
	cp "$USERS" "$T/before"
	many_users 3000
	cp "$USERS" "$T/before"
	run -74 bash -c "ulimit -f 8; echo x | '$PASSWD' -f '$USERS' -s PLAIN joe"
	cmp "$USERS" "$T/before"
	[ ! -e "$USERS.new" ]
}

# The index.

@test "an index: made with more than 1000 users, kept where there is one, renewed by each change" {
	many_users 999
	# shellcheck disable=SC2046
	set_password secret1000 -s PLAIN $(ids) user1000
	[ ! -e "$USERS.index" ]
	# shellcheck disable=SC2046
	set_password secret1001 -s PLAIN $(ids) user1001
	[ -s "$USERS.index" ]
	"$PASSWD" -f "$USERS" -d user1
	"$PASSWD" -f "$USERS" -d user2
	cp "$USERS.index" "$T/before"
	[ "$(stat -c %a "$USERS.index")" = 600 ]
	set_password other -s PLAIN user500
	run ! cmp -s "$USERS.index" "$T/before"
	run -0 "$POP3D" -t -f "$CONF"
	[ -z "$output" ] || fail "$output"
}

@test "-t: an index that is not of the file, or not the owner's, or damaged, is a warning" {
	indexed_users 10
	run -0 "$POP3D" -t -f "$CONF"
	[ -z "$output" ]
	chmod g+w "$USERS.index"
	run -0 "$POP3D" -t -f "$CONF"
	[[ $output == "$USERS.index: warning: others than the owner of the users file may write it: run pop3passwd -i" ]]
	chmod g-w "$USERS.index"
	if [ "$(id -u)" = 0 ]; then
		chown 1 "$USERS.index"
		run -0 "$POP3D" -t -f "$CONF"
		[[ $output == *'others than the owner'* ]]
		chown 0 "$USERS.index"
	fi
	printf 'x' | dd of="$USERS.index" bs=1 seek=9 conv=notrunc status=none
	run -0 "$POP3D" -t -f "$CONF"
	[[ $output == "$USERS.index: warning: is damaged, or no index: run pop3passwd -i" ]]
	"$PASSWD" -f "$USERS" -i
	touch "$USERS"
	run -0 "$POP3D" -t -f "$CONF"
	[[ $output == "$USERS.index: warning: is not of this users file: run pop3passwd -i" ]]
	log_in 3
	"$PASSWD" -f "$USERS" -i
	run -0 "$POP3D" -t -f "$CONF"
	[ -z "$output" ]
	rm "$USERS.index"
	ln -s "$USERS" "$USERS.index"
	log_in 3
	run -0 "$POP3D" -t -f "$CONF"
	[[ $output == *"can't be read"* ]]
}

# bats test_tags=calls
@test "a login costs the same system calls with 10 users and with 20,000, for each user and for none" {
	local count user counts=
	for count in 10 20000; do
		indexed_users "$count" "locked:!:1:1"
		settle
		log_in 1
		for user in 1 5 "$count"; do
			count_calls "user$user" "secret$user"
			grep -q '^+OK Maildrop' "$T/out"
			# In the greeting, and at the login.
			[ "$(lookups)" = 2 ]
			counts="$counts $(file_calls)"
		done
	done
	[ "$(tr ' ' '\n' <<<"$counts" | grep . | sort -u | wc -l)" = 1 ] || fail "system calls:$counts"
	counts=
	for count in 10 20000; do
		indexed_users "$count" "locked:!:1:1"
		for user in nobody user1x user locked; do
			count_calls "$user" x
			grep -q '^-ERR \[AUTH\]' "$T/out"
			[ "$(lookups)" = 2 ]
			[ "$user" = locked ] || counts="$counts $(file_calls)"
		done
	done
	[ "$(tr ' ' '\n' <<<"$counts" | grep . | sort -u | wc -l)" = 1 ] || fail "system calls, of strangers:$counts"
	# It is the index that does it.
	rm "$USERS.index"
	count_calls user20000 secret20000
	[ "$(lookups)" = 0 ]
	[ "$(grep -c '^read(' "$T/calls")" -gt 50 ]
}

@test "20,000 users: all are found, each with its own line, and no other is" {
	indexed_users 20000 '# comment'
	printf 'user5:{PLAIN}no\nuser20001:{PLAIN}secret20001\nlast:{PLAIN}x' >>"$USERS"
	"$PASSWD" -f "$USERS" -i
	run -0 "$BUILT/lookup" all "$USERS"
	[ "$output" = '20002 users, 40006 strangers' ] || fail "$output"
	right secret5 user5
	right x last
	run -1 right no user5
}

@test "an index cut anywhere, and with any octet another one, never gives a wrong answer" {
	indexed_users 40 '#'
	printf 'hash:$6$x$y:1:1\nlocked:!:1:1\nodd:{X}x:1:1\nno uid:x:y\n' >>"$USERS"
	touch -d '1 minute ago' "$USERS"
	"$PASSWD" -f "$USERS" -i
	run "$BUILT/lookup" spoiled "$USERS"
	[ "$status" = 0 ] && [ "${output%% *}" -gt 4000 ] || fail "$output"
}

@test "an index of an older file, or of one with the same names elsewhere, is not believed" {
	indexed_users 50
	cp -p "$USERS.index" "$T/old"
	sed -i 's/^user7:/USER7:/' "$USERS"
	log_in 8
	run ! log_in 7
	answers 'USER USER7' 'PASS secret7' QUIT | grep -q '^+OK Maildrop'
	# The same in another file.
	touch -d '1 minute ago' "$USERS"
	"$PASSWD" -f "$USERS" -i
	cp -p "$USERS" "$USERS.2" && mv "$USERS.2" "$USERS"
	run -0 "$POP3D" -t -f "$CONF"
	[[ $output == *'is not of this users file'* ]]
	log_in 8
}

# How many seconds old the users file says that it is.
age() {
	echo $(($(date +%s) - $(stat -c %Y "$USERS")))
}

@test "a change in place right after a change by pop3passwd, or after -i, is seen" {
	many_users 1001
	# An index is never of a file so young that a later change might bear the same time.
	touch "$USERS"
	stat -c %y "$USERS" >"$T/time"
	"$PASSWD" -f "$USERS" -i
	[ "$(age)" -ge 2 ]
	stat -c %y "$USERS" | cmp - "$T/time"
	set_password secret1 -s PLAIN user1
	[ "$(age)" -ge 2 ]
	for i in 1 2 3 4 5; do
		set_password "secret$i" -s PLAIN "user$i"
		# The same size, as soon as can be.
		printf 'USER' | dd of="$USERS" bs=1 seek=0 conv=notrunc status=none
		answers 'USER USER1' 'PASS secret1' QUIT | grep -q '^+OK Maildrop'
		run ! log_in 1
		printf 'user' | dd of="$USERS" bs=1 seek=0 conv=notrunc status=none
	done
}

@test "the stand-in is the first hash of the file, by the index and without it" {
	local first second
	first=$(mkpasswd -m sha512crypt x) second=$(mkpasswd -m md5crypt x)
	printf 'locked:!:1:1\njoe:%s:1:1\nann:%s:1:1\nlast:*:1:1\n' "$first" "$second" >"$USERS"
	touch -d '1 minute ago' "$USERS"
	for _ in 1 2; do
		"$BUILT/lookup" stand-in "$USERS" locked joe ann last nobody >"$T/found"
		[ "$(sort -u "$T/found" | grep .)" = "$first" ] || fail "$(cat "$T/found")"
		"$PASSWD" -f "$USERS" -i
	done
}
