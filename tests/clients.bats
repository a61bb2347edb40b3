# Mail programs that others wrote.

load helper
load clients

@test "curl fetches and empties a tricky Maildir, every SHA-256 matches" {
	start_listening
	clients_empty "$PORT" curl
}

@test "mpop fetches and empties a tricky Maildir, every SHA-256 matches" {
	start_listening
	clients_empty "$PORT" mpop
}

@test "fetchmail fetches and empties a tricky Maildir, every SHA-256 matches" {
	start_listening
	clients_empty "$PORT" fetchmail
}

@test "getmail6 fetches and empties a tricky Maildir, every SHA-256 matches" {
	start_listening
	clients_empty "$PORT" getmail
}

@test "Python's poplib fetches and empties a tricky Maildir, every SHA-256 matches" {
	start_listening
	clients_empty "$PORT" poplib
}

@test "Perl's Net::POP3 fetches and empties a tricky Maildir, every SHA-256 matches" {
	start_listening
	clients_empty "$PORT" net_pop3
}

@test "curl lists, and logs in by APOP" {
	client_maildir
	start_listening
	[ "$(curl -sS --max-time 60 -u joe:secret "pop3://127.0.0.1:$PORT/" | wc -l)" = 8 ]
	curl -sS --max-time 60 -u joe:secret --login-options AUTH=+APOP "pop3://127.0.0.1:$PORT/" \
		>/dev/null
	grep -q 'login .*method=APOP' "$T/listening"
}

@test "leave on server, twice: mpop fetches nothing again" {
	client_maildir
	start_listening
	mkdir "$T/got"
	mpop_configuration "$PORT" "$T/got" apop on
	mpop -q -C "$T/mpoprc"
	same_as_sent "$T/got"
	rm "$T/got"/*
	mpop -q -C "$T/mpoprc"
	[ -z "$(ls "$T/got")" ]
	[ "$(messages_left)" = 8 ]
	# New mail alone is new.
	printf 'Subject: new\n\nnew\n' | put new 1700000000.M1P1.host
	mpop -q -C "$T/mpoprc"
	[ "$(ls "$T/got" | wc -l)" = 1 ]
}

@test "leave on server, twice: getmail6 fetches nothing again" {
	client_maildir
	start_listening
	mkdir "$T/got"
	getmail_configuration "$PORT" "$T/got" false false
	HOME=$T getmail --getmaildir "$T/getmail" --rcfile getmailrc
	same_as_sent "$T/got"
	rm "$T/got"/*
	HOME=$T getmail --getmaildir "$T/getmail" --rcfile getmailrc
	[ -z "$(ls "$T/got")" ]
	[ "$(messages_left)" = 8 ]
}

@test "leave on server, twice: fetchmail fetches nothing again" {
	client_maildir
	start_listening
	mkdir "$T/got"
	fetchmail_configuration "$PORT" "$T/got" uidl keep
	sed -i 's/ fetchall//' "$T/fetchmailrc"
	FETCHMAILHOME=$T HOME=$T fetchmail -s -f "$T/fetchmailrc" --nodetach --nosyslog \
		--pidfile "$T/fetchmail.pid"
	same_as_sent "$T/got"
	rm "$T/got"/*
	FETCHMAILHOME=$T HOME=$T fetchmail -s -f "$T/fetchmailrc" --nodetach --nosyslog \
		--pidfile "$T/fetchmail.pid" || [ $? = 1 ]
	[ -z "$(ls "$T/got")" ]
	[ "$(messages_left)" = 8 ]
}
