# RFC 1939 and RFC 2449: what every command answers, in lock step and pipelined.

load helper

@test "greeting: +OK, host, and no timestamp where no secret is stored (RFC 1939 s.4)" {
	printf 'joe:$6$x$y:%s:%s\n' "$MAIL_UID" "$MAIL_GID" >"$USERS"
	[ "$(answers QUIT | head -n 1)" = '+OK pop.example.org POP3 server ready' ]
}

@test "greeting: a timestamp where a user has a secret, never the same (RFC 1939 s.7 APOP)" {
	local one two
	one=$(answers QUIT | head -n 1)
	two=$(answers QUIT | head -n 1)
	[[ $one =~ ^\+OK\ pop\.example\.org\ POP3\ server\ ready\ \<[0-9]+\.[0-9]+\.[0-9a-f]+@pop\.example\.org\>$ ]]
	[ "$one" != "$two" ]
}

@test "CAPA: the same list before and after the login (RFC 2449 s.5)" {
	session <<-'E'
		C: CAPA
		S: +OK Capability list follows
		S: TOP
		S: USER
		S: SASL SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN
		S: RESP-CODES
		S: PIPELINING
		S: EXPIRE NEVER
		S: UIDL
		S~ IMPLEMENTATION pop3d-[0-9.]+
		S: AUTH-RESP-CODE
		S: .
		C: QUIT
		S~ \+OK .*
		S$
	E
	[ "$(answers CAPA QUIT | sed '1d;$d')" = \
		"$(answers 'USER joe' 'PASS secret' CAPA QUIT | sed '1,3d;$d')" ]
}

@test "CAPA: no line of it is longer than 512 octets, no argument is glued (RFC 2449 s.3)" {
	answers CAPA QUIT | awk 'length > 510 { exit 1 }'
	run ! grep -q EXPIRENEVER <(answers CAPA QUIT)
}

@test "CAPA between USER and PASS does not forget the user" {
	dialog <<-'E'
		C: USER joe
		S~ \+OK .*
		C: CAPA
		S~ \+OK .*
		S...
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
		S$
	E
}

@test "keywords are case-insensitive (RFC 1939 s.3)" {
	dialog <<-'E'
		C: uSeR joe
		S~ \+OK .*
		C: pass secret
		S~ \+OK .*
		C: StAt
		S: +OK 0 0
		C: quit
		S~ \+OK .*
		S$
	E
}

@test "a line may end in LF alone" {
	dialog <<-'E'
		C= USER joe\n
		S~ \+OK .*
		C= PASS secret\nNOOP\nQUIT\n
		S~ \+OK .*
		S~ \+OK .*
		S~ \+OK .*
		S$
	E
}

@test "USER and PASS open the maildrop (RFC 1939 s.7)" {
	three_messages
	dialog <<-'E'
		C: USER joe
		S: +OK Send the password
		C: PASS secret
		S: +OK Maildrop has 3 messages (124 octets)
		C: QUIT
		S: +OK Goodbye (3 messages left)
		S$
	E
}

@test "USER answers +OK whether or not there is such a user (RFC 1939 s.13)" {
	[ "$(answers 'USER joe' QUIT | sed -n 2p)" = "$(answers 'USER nobody-here' QUIT | sed -n 2p)" ]
}

@test "USER can be given again, the last one counts (RFC 1939 s.7)" {
	dialog <<-'E'
		C: USER someone
		S~ \+OK .*
		C: USER joe
		S~ \+OK .*
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "PASS without USER is -ERR (RFC 1939 s.7)" {
	dialog <<-'E'
		C: PASS secret
		S: -ERR Send USER first
		C: QUIT
		S: +OK Goodbye
		S$
	E
}

@test "PASS takes the rest of the line, spaces and all (RFC 1939 s.7)" {
	printf 'joe:{PLAIN} two  words :%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	dialog <<-'E'
		C: USER joe
		S~ \+OK .*
		C: PASS  two  words 
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "PASS takes 8-bit passwords" {
	printf 'joe:{PLAIN}p\303\244ss\377:%s:%s::%s\n' "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	dialog <<-'E'
		C: USER joe
		S~ \+OK .*
		C= PASS p\xc3\xa4ss\xff\r\n
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "APOP with the right digest opens the maildrop (RFC 1939 s.7)" {
	three_messages
	dialog <<-'E'
		A: joe secret
		S: +OK Maildrop has 3 messages (124 octets)
		C: STAT
		S: +OK 3 124
		C: QUIT
		S~ \+OK .*
	E
}

@test "QUIT before the login gets its answer (RFC 1939 s.4)" {
	dialog <<-'E'
		C: QUIT
		S: +OK Goodbye
		S$
	E
}

@test "STAT counts messages and octets, CR LF for each line end (RFC 1939 s.5, s.11)" {
	three_messages
	session <<-'E'
		C: STAT
		S: +OK 3 124
		C: QUIT
		S~ \+OK .*
	E
}

@test "STAT and LIST of an empty maildrop (RFC 1939 s.5)" {
	session <<-'E'
		C: STAT
		S: +OK 0 0
		C: LIST
		S: +OK 0 messages (0 octets)
		S: .
		C: UIDL
		S: +OK Unique-id listing follows
		S: .
		C: LIST 1
		S: -ERR No such message, there are 0
		C: QUIT
		S: +OK Goodbye (maildrop empty)
		S$
	E
}

@test "LIST and LIST n: number, one space, octets, nothing else (RFC 1939 s.5)" {
	three_messages
	session <<-'E'
		C: LIST
		S: +OK 3 messages (124 octets)
		S: 1 65
		S: 2 36
		S: 3 23
		S: .
		C: LIST 2
		S: +OK 2 36
		C: QUIT
		S~ \+OK .*
	E
}

@test "UIDL and UIDL n: the file name up to the colon (RFC 1939 s.7)" {
	three_messages
	session <<-'E'
		C: UIDL
		S: +OK Unique-id listing follows
		S: 1 1600000001.M1P1.host
		S: 2 1600000002.M1P1.host
		S: 3 1600000003.M1P1.host
		S: .
		C: UIDL 3
		S: +OK 3 1600000003.M1P1.host
		C: QUIT
		S~ \+OK .*
	E
}

@test "RETR sends CR LF for LF, stuffs dots, ends the last line (RFC 1939 s.3, s.5)" {
	three_messages
	session <<-'E'
		C: RETR 1
		S: +OK 65 octets
		S: From: one@example.org
		S: Subject: one
		S: 
		S: first line
		S: ..dot
		S: ...dots
		S: .
		C: RETR 2
		S: +OK 36 octets
		S: Subject: two
		S: 
		S: CR LF line
		S: ..
		S: ....
		S: .
		C: RETR 3
		S: +OK 23 octets
		S: Subject: three
		S: 
		S: end
		S: .
		C: QUIT
		S~ \+OK .*
		S$
	E
}

@test "RETR stuffs a dot that is the first octet of a message" {
	printf '.\n.first\n' | put cur 1:2,
	session <<-'E'
		C: LIST 1
		S: +OK 1 11
		C: RETR 1
		S: +OK 11 octets
		S: ..
		S: ..first
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "TOP n 0 sends the header and the empty line alone (RFC 1939 s.7)" {
	three_messages
	session <<-'E'
		C: TOP 1 0
		S: +OK Top of message follows
		S: From: one@example.org
		S: Subject: one
		S: 
		S: .
		C: TOP 2 0
		S: +OK Top of message follows
		S: Subject: two
		S: 
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "TOP n k sends k lines of the body; more than there are, all (RFC 1939 s.7)" {
	three_messages
	session <<-'E'
		C: TOP 1 2
		S: +OK Top of message follows
		S: From: one@example.org
		S: Subject: one
		S: 
		S: first line
		S: ..dot
		S: .
		C: TOP 3 1
		S: +OK Top of message follows
		S: Subject: three
		S: 
		S: end
		S: .
		C: TOP 1 99999999999999999999999
		S: +OK Top of message follows
		S: From: one@example.org
		S: Subject: one
		S: 
		S: first line
		S: ..dot
		S: ...dots
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "TOP of a message without a body, with and without the empty line" {
	printf 'Subject: a\n\n' | put cur 1:2,
	printf 'Subject: b\n' | put cur 2:2,
	printf '' | put cur 3:2,
	session <<-'E'
		C: TOP 1 5
		S: +OK Top of message follows
		S: Subject: a
		S: 
		S: .
		C: TOP 2 0
		S: +OK Top of message follows
		S: Subject: b
		S: .
		C: TOP 3 0
		S: +OK Top of message follows
		S: .
		C: RETR 3
		S: +OK 0 octets
		S: .
		C: QUIT
		S~ \+OK .*
	E
}

@test "DELE hides a message from LIST, UIDL and STAT, and renumbers none (RFC 1939 s.5)" {
	three_messages
	after() { [ "$(messages_left)" = 2 ]; }
	session <<-'E'
		C: DELE 2
		S: +OK Message 2 deleted
		C: STAT
		S: +OK 2 88
		C: LIST
		S: +OK 2 messages (88 octets)
		S: 1 65
		S: 3 23
		S: .
		C: UIDL
		S~ \+OK .*
		S: 1 1600000001.M1P1.host
		S: 3 1600000003.M1P1.host
		S: .
		C: LIST 3
		S: +OK 3 23
		C: QUIT
		S: +OK Goodbye (2 messages left)
		S$
	E
}

@test "a deleted message can't be named again (RFC 1939 s.5)" {
	three_messages
	session <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: DELE 1
		S: -ERR Message 1 is deleted
		C: RETR 1
		S: -ERR Message 1 is deleted
		C: LIST 1
		S: -ERR Message 1 is deleted
		C: UIDL 1
		S: -ERR Message 1 is deleted
		C: TOP 1 0
		S: -ERR Message 1 is deleted
		C: QUIT
		S~ \+OK .*
	E
}

@test "DELE of everything, then QUIT, leaves an empty maildrop (RFC 1939 s.6)" {
	three_messages
	after() { [ "$(messages_left)" = 0 ]; }
	session <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: DELE 2
		S~ \+OK .*
		C: DELE 3
		S~ \+OK .*
		C: LIST
		S: +OK 0 messages (0 octets)
		S: .
		C: QUIT
		S: +OK Goodbye (maildrop empty)
		S$
	E
}

@test "RSET takes the marks back (RFC 1939 s.5)" {
	three_messages
	after() { [ "$(messages_left)" = 3 ]; }
	session <<-'E'
		C: DELE 1
		S~ \+OK .*
		C: DELE 3
		S~ \+OK .*
		C: RSET
		S: +OK Maildrop has 3 messages (124 octets)
		C: STAT
		S: +OK 3 124
		C: LIST 1
		S: +OK 1 65
		C: QUIT
		S: +OK Goodbye (3 messages left)
		S$
	E
}

@test "DELE then disconnect keeps the message (RFC 1939 s.6)" {
	three_messages
	after() { [ "$(messages_left)" = 3 ] && [ -e "$MAILDIR/new/1600000003.M1P1.host" ]; }
	session <<-'E'
		C: RETR 3
		S~ \+OK .*
		S...
		C: DELE 1
		S~ \+OK .*
		C: DELE 3
		S~ \+OK .*
	E
}

@test "NOOP does nothing (RFC 1939 s.5)" {
	session <<-'E'
		C: NOOP
		S: +OK Nothing done
		C: QUIT
		S~ \+OK .*
	E
}

@test "commands of the TRANSACTION state are -ERR before the login (RFC 1939 s.3)" {
	local command
	for command in STAT LIST 'LIST 1' UIDL 'RETR 1' 'DELE 1' NOOP RSET 'TOP 1 0'; do
		dialog <<-E
			C: $command
			S: -ERR Log in first
			C: QUIT
			S: +OK Goodbye
			S$
		E
	done
}

@test "commands of the AUTHORIZATION state are -ERR after the login (RFC 1939 s.3)" {
	session <<-'E'
		C: USER joe
		S: -ERR You are logged in already
		C: PASS secret
		S: -ERR You are logged in already
		C: APOP joe 00000000000000000000000000000000
		S: -ERR You are logged in already
		C: STAT
		S: +OK 0 0
		C: QUIT
		S~ \+OK .*
	E
}

@test "unknown and unimplemented commands are -ERR, in both states (RFC 1939 s.3)" {
	local command
	for command in XYZZY AUTHENTICATE UTF8 LANG 'XTND ARCHIVE' 'LAST' 'GET / HTTP/1.0' ''; do
		dialog <<-E
			C: $command
			S: -ERR Unknown command
			C: USER joe
			S~ \+OK .*
			C: PASS secret
			S~ \+OK .*
			C: $command
			S: -ERR Unknown command
			C: QUIT
			S~ \+OK .*
			S$
		E
	done
}

@test "missing arguments are -ERR" {
	three_messages
	session <<-'E'
		C: RETR
		S: -ERR An argument is missing
		C: DELE
		S: -ERR An argument is missing
		C: TOP
		S: -ERR An argument is missing
		C: TOP 1
		S: -ERR An argument is missing
		C: QUIT
		S~ \+OK .*
	E
	dialog <<-'E'
		C: USER
		S: -ERR An argument is missing
		C: USER joe
		S~ \+OK .*
		C: PASS
		S: -ERR An argument is missing
		C: APOP joe
		S: -ERR An argument is missing
		C: QUIT
		S~ \+OK .*
	E
}

@test "extra arguments are -ERR" {
	three_messages
	session <<-'E'
		C: STAT 1
		S: -ERR Too many arguments, or spaces
		C: LIST 1 2
		S: -ERR Too many arguments, or spaces
		C: UIDL 1 2
		S: -ERR Too many arguments, or spaces
		C: RETR 1 2
		S: -ERR Too many arguments, or spaces
		C: DELE 1 2
		S: -ERR Too many arguments, or spaces
		C: TOP 1 2 3
		S: -ERR Too many arguments, or spaces
		C: NOOP x
		S: -ERR Too many arguments, or spaces
		C: RSET x
		S: -ERR Too many arguments, or spaces
		C: CAPA x
		S: -ERR Too many arguments, or spaces
		C: QUIT now
		S: -ERR Too many arguments, or spaces
		C: STAT
		S: +OK 3 124
		C: QUIT
		S~ \+OK .*
	E
	dialog <<-'E'
		C: USER joe smith
		S: -ERR Too many arguments, or spaces
		C: APOP joe x y
		S: -ERR Too many arguments, or spaces
		C: QUIT
		S~ \+OK .*
	E
}

@test "arguments that are no message-number are -ERR" {
	local argument
	three_messages
	for argument in -1 +1 1x x 1.0 0x1 "1,2" ' 1' '*'; do
		session <<-E
			C: RETR $argument
			S~ -ERR (Not a message-number|Too many arguments, or spaces)
			C: DELE $argument
			S~ -ERR (Not a message-number|Too many arguments, or spaces)
			C: LIST $argument
			S~ -ERR (Not a message-number|Too many arguments, or spaces)
			C: UIDL $argument
			S~ -ERR (Not a message-number|Too many arguments, or spaces)
			C: QUIT
			S: +OK Goodbye (3 messages left)
		E
	done
}

@test "message-numbers that no message has are -ERR" {
	local number
	three_messages
	for number in 0 4 00 65537 4294967296 4294967297 18446744073709551616 18446744073709551617 \
		99999999999999999999999999999999999999999; do
		session <<-E
			C: RETR $number
			S: -ERR No such message, there are 3
			C: DELE $number
			S: -ERR No such message, there are 3
			C: TOP $number 0
			S: -ERR No such message, there are 3
			C: QUIT
			S: +OK Goodbye (3 messages left)
		E
	done
}

@test "TOP with lines that are no number is -ERR" {
	three_messages
	session <<-'E'
		C: TOP 1 -1
		S: -ERR Not a number of lines
		C: TOP 1 x
		S: -ERR Not a number of lines
		C: TOP x 1
		S: -ERR Not a message-number
		C: QUIT
		S~ \+OK .*
	E
}

@test "spaces at the end of a line are no argument" {
	three_messages
	session <<-'E'
		C: STAT 
		S: +OK 3 124
		C: LIST  
		S~ \+OK .*
		S...
		C: RETR 3 
		S~ \+OK .*
		S...
		C: QUIT 
		S~ \+OK .*
	E
}

@test "a command of 255 octets is taken, one of 256 is -ERR (RFC 2449 s.4)" {
	local password
	password=$(printf 'p%.0s' $(seq 248))
	printf 'joe:{PLAIN}%s:%s:%s::%s\n' "$password" "$MAIL_UID" "$MAIL_GID" "$T" >"$USERS"
	dialog <<-E
		C: USER joe
		S~ \+OK .*
		C: PASS ${password}x
		S: -ERR Command line too long, or with a NUL octet
		C: PASS $password
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
	E
}

@test "a line without end is swallowed to its end and gets one -ERR" {
	local long
	long=$(printf 'x%.0s' $(seq 20000))
	dialog <<-E
		C: $long
		S: -ERR Command line too long, or with a NUL octet
		C: NOOP $long QUIT
		S: -ERR Command line too long, or with a NUL octet
		C: QUIT
		S: +OK Goodbye
		S$
	E
}

@test "a line with a NUL is swallowed and gets one -ERR" {
	dialog <<-'E'
		C= USER j\x00oe\r\n
		S: -ERR Command line too long, or with a NUL octet
		C= \x00\r\n
		S: -ERR Command line too long, or with a NUL octet
		C= USER joe\r\nPASS secret\x00\r\n
		S~ \+OK .*
		S: -ERR Command line too long, or with a NUL octet
		C: PASS secret
		S~ \+OK .*
		C: QUIT
		S~ \+OK .*
		S$
	E
}

@test "pipelined input is all run, what follows QUIT is not (RFC 2449 s.6.6)" {
	three_messages
	after() { [ "$(messages_left)" = 3 ]; }
	session <<-'E'
		C= STAT\r\nLIST 1\r\nRETR 3\r\nNOOP\r\nQUIT\r\nDELE 1\r\nQUIT\r\n
		S: +OK 3 124
		S: +OK 1 65
		S: +OK 23 octets
		S: Subject: three
		S: 
		S: end
		S: .
		S~ \+OK .*
		S: +OK Goodbye (3 messages left)
		S$
	E
}

@test "what comes in single octets is put together" {
	start_listening
	connect
	local i text=$'USER joe\r\nPASS secret\r\nQUIT\r\n'
	for ((i = 0; i < ${#text}; i++)); do printf '%s' "${text:i:1}" >&9; done
	run cat <&9
	exec 9>&-
	[ "${lines[2]}" = $'+OK Goodbye (maildrop empty)\r' ]
}

@test "no reply is longer than 512 octets (RFC 1939 s.3)" {
	three_messages
	answers 'USER joe' 'PASS secret' STAT 'LIST 1' 'UIDL 1' 'RETR 9' 'DELE 1' RSET \
		"$(printf 'x%.0s' $(seq 300))" "RETR $(printf '9%.0s' $(seq 240))" QUIT |
		awk 'length > 510 { exit 1 }'
}

@test "every reply has something behind its status indicator (RFC 1957)" {
	three_messages
	run ! grep -qxE '\+OK ?|-ERR ?' <(answers CAPA 'USER joe' 'PASS secret' NOOP RSET 'DELE 1' \
		'TOP 1 0' UIDL LIST XYZZY QUIT)
}
