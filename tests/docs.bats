# The manual pages, the examples, and what `make install` puts where.

load helper

@test "the manual pages have no mistakes (mandoc -Tlint)" {
	run mandoc -Tlint -W warning "$TOP"/man/*
	[ "$status" = 0 ] && [ -z "$output" ]
}

@test "the manual pages name every key, option and exit status" {
	local word
	for word in $("$POP3D" -V | sed -n 's/^keys://p'); do
		grep -q "^\.It Ic $word\>" "$TOP/man/pop3d.conf.5" || fail "pop3d.conf(5) lacks $word"
	done
	for word in $("$POP3D" -h | sed -n 's/^  \(-.\) .*/\1/p'); do
		grep -q "^\.It Fl ${word#-}\>" "$TOP/man/pop3d.8" || fail "pop3d(8) lacks $word"
	done
	for word in $("$POP3D" -V | sed -n 's/^capabilities://p'); do
		grep -q "$word" "$TOP/man/pop3d.8" || fail "pop3d(8) lacks $word"
	done
}

@test "the defaults of pop3d.conf(5) and of the example are those of the program" {
	sed -n 's/^#\([a-z_][a-z_]* .*\)/\1/p' "$TOP/dist/pop3d.conf" | sort -u -k1,1 |
		grep -vE '^(listen|users file|tls_certificate|tls_key)' >"$T/conf"
	run "$POP3D" -t -f "$T/conf" -o "users file $USERS" -o "maildir $MAILDIR"
	[ "$status" = 0 ] || fail "$output"
	for word in auth_timeout:60 idle_timeout:600 max_connections:1000 max_per_address:50; do
		grep -q "^#${word%:*} ${word#*:}$" "$TOP/dist/pop3d.conf"
		grep -q "\"${word%:*}\", \"${word#*:}\"" "$TOP/conf_keys.c"
		sed -n "/^\.It Ic ${word%:*}/,/^\.It/p" "$TOP/man/pop3d.conf.5" |
			grep -q "default is ${word#*:}[.;]"
	done
}

# bats test_tags=plain
@test "make install, with DESTDIR, and uninstall" {
	make -s -C "$TOP" DESTDIR="$T/root" install
	[ -x "$T/root/usr/local/sbin/pop3d" ]
	local file
	[ -x "$T/root/usr/local/sbin/pop3passwd" ]
	for file in share/man/man8/pop3d.8 share/man/man8/pop3passwd.8 share/man/man5/pop3d.conf.5 share/doc/pop3d/README.md \
		share/doc/pop3d/examples/pop3d.conf share/doc/pop3d/examples/inetd.conf \
		share/doc/pop3d/SECURITY.md lib/pop3d/tls.so lib/systemd/system/pop3d.socket \
		lib/systemd/system/pop3d@.service lib/systemd/system/pop3d-fork.service; do
		[ -s "$T/root/usr/local/$file" ] || fail "$file"
	done
	for file in oauth-jwt oauth-introspect; do [ -x "$T/root/usr/local/share/doc/pop3d/examples/$file" ]; done
	[ -s "$T/root/etc/pam.d/pop3d" ] && [ -s "$T/root/etc/xinetd.d/pop3d" ] && [ -s "$T/root/etc/fail2ban/filter.d/pop3d.conf" ]
	run ! grep -r '@[A-Z]*@' "$T/root/usr/local/lib/systemd" "$T/root/etc"
	[ -d "$T/root/usr/local/lib/pop3d/empty" ] && [ -z "$(ls -A "$T/root/usr/local/lib/pop3d/empty")" ]
	[ -x "$T/root/usr/local/share/doc/pop3d/conformance/pop3conform" ]
	# What an administrator has changed stays.
	echo '# mine' >>"$T/root/etc/xinetd.d/pop3d"
	(umask 077 && make -s -C "$TOP" DESTDIR="$T/root" install uninstall)
	[ "$(find "$T/root" -type f)" = "$T/root/etc/xinetd.d/pop3d" ]
	rm "$T/root/etc/xinetd.d/pop3d"
	(umask 077 && make -s -C "$TOP" DESTDIR="$T/root" install)
	[ -z "$(find "$T/root" -type f ! -perm -444)" ] || fail "$(find "$T/root" -type f ! -perm -444)"
	make -s -C "$TOP" DESTDIR="$T/root" uninstall
	[ -z "$(find "$T/root" -type f)" ] || fail "$(find "$T/root" -type f)"
}

# bats test_tags=plain
@test "the systemd units are right (systemd-analyze verify)" {
	make -s -C "$TOP" PREFIX="$T/usr" SYSCONFDIR="$T/etc" install
	local units=$T/usr/lib/systemd/system name
	for name in pop3d pop3s; do cp "$units/$name@.service" "$units/$name@1.service"; done
	run systemd-analyze verify --man=no "$units"/*.socket "$units"/*@1.service "$units"/pop3d-fork.service
	[ "$status" = 0 ] || fail "$output"
	run ! grep -E 'pop3d' <<<"$output"
}

@test "message.c agrees with a slow and obvious version (unit)" {
	run "$BUILT/unit"
	[ "$status" = 0 ] || fail "$output"
}

@test "numbers and unique-ids of listings, each octet at each place (unit)" {
	run "$BUILT/unit" listings
	[ "$status" = 0 ] || fail "$output"
}

@test "the README's two commands stand alone in the first blocks under their headings" {
	local heading
	for heading in 'Try it' 'Test it'; do
		[ "$(sed -n "/^## $heading/,\$p" "$TOP/README.md" | awk '/^```/ { n++; next } n == 1' | grep -c .)" = 1 ]
	done
}

@test "the files that the documents name are there" {
	local name
	cd "$TOP"
	for name in $(grep -ohE '\b(tests|bench|dist)/[a-zA-Z0-9_./-]*[a-zA-Z0-9_]' README.md SECURITY.md ARCHITECTURE.md bench/README.md | sort -u); do
		[ -e "$name" ] || [ -e "$name.c" ] || fail "$name"
	done
	for name in $(grep -ohE '\b[a-z_]+\.[ch]\b' SECURITY.md ARCHITECTURE.md bench/README.md | sort -u); do
		[ -e "$name" ] || [ -e "tests/$name" ] || [ -e "bench/$name" ] || fail "$name"
	done
}
