# pop3d: `make`, `make check`, `make install`.
# CFLAGS, CPPFLAGS, LDFLAGS and LDLIBS are yours; what pop3d needs stands beside them.

VERSION = 0.1.0
PREFIX = /usr/local
SBINDIR = $(PREFIX)/sbin
LIBDIR = $(PREFIX)/lib/pop3d
MANDIR = $(PREFIX)/share/man
DOCDIR = $(PREFIX)/share/doc/pop3d
EXAMPLEDIR = $(DOCDIR)/examples
UNITDIR = $(PREFIX)/lib/systemd/system
SYSCONFDIR = /etc
XINETD = $(DESTDIR)$(SYSCONFDIR)/xinetd.d/pop3d
PAM_SERVICE = $(DESTDIR)$(SYSCONFDIR)/pam.d/pop3d
INSTALL = install
FILL = umask 022 && sed -e 's|@SBINDIR@|$(SBINDIR)|g' -e '/@HARDENING@/r dist/hardening.conf' -e '/@HARDENING@/d'
UNITS = pop3d.socket pop3d@.service pop3s.socket pop3s@.service \
	pop3d-fork.socket pop3s-fork.socket pop3d-fork.service \
	pop3d-expire.service pop3d-expire.timer

CC = cc
CFLAGS = -O2 -g
HARDEN_CFLAGS = -D_FORTIFY_SOURCE=2 -fstack-protector-strong
HARDEN_LDFLAGS = $(LINK_$(STATIC)) -Wl,-z,relro,-z,now
HARDEN_SO_LDFLAGS = -Wl,-z,relro,-z,now

# Where objects and the program go, for builds beside one another.
O = .

POP3D_CPPFLAGS = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 \
	-DVERSION='"$(VERSION)"' -DEMPTY_DIR='"$(LIBDIR)/empty"' -DTLS_OBJECT='"$(LIBDIR)/tls.so"'
POP3D_CFLAGS = -std=c11 -fPIC -fvisibility=hidden -Wall -Wextra -Wshadow -Wconversion -Wwrite-strings \
	-Wmissing-prototypes $(HARDEN_CFLAGS)
POP3D_LDLIBS = -lcrypt -lmd -ldl

OBJECTS = aside.o auth.o base64.o capa.o checkpassword.o conf.o conf_keys.o digest.o expire.o external.o folder.o index.o index_write.o landlock.o lines.o listen.o log.o \
	login.o maildrop.o marks.o memory.o message.o monitor.o monitor_login.o monitor_tls.o name.o network.o oauth.o pop3d.o program.o quota.o \
	request.o sandbox.o sasl.o sasl_external.o sasl_oauth.o sasl_scram.o saslprep.o scan.o scan_read.o scan_table.o scan_unique.o scram.o seccomp.o secure.o serve.o session.o stamp.o takeover.o text.o tls_load.o transaction.o update.o \
	users.o users_check.o users_file.o users_index.o users_summary.o wire.o

# TLS=no: without.  Where it is there, it is loaded when it is needed.
TLS = yes

# STATIC=yes: nothing can be loaded when it runs, so TLS is linked as all else is, there is no PAM and no
# libidn, and users are those of /etc/passwd only.  (Of that the linker warns.)
STATIC = no
LINK_yes = -static-pie
LINK_no = -pie
LOADER_yes = static.o
OBJECTS += $(LOADER_$(STATIC))
ifeq ($(TLS)$(STATIC),yesyes)
OBJECTS += $(TLS_OBJECTS)
POP3D_LDLIBS += -lssl -lcrypto
endif

# PAM=no: without `users pam`.  It takes a header only: the library is loaded where it is used.
PAM_yes = no
PAM_no = $(if $(wildcard /usr/include/security/pam_appl.h),yes,no)
PAM = $(PAM_$(STATIC))
ifeq ($(PAM),yes)
OBJECTS += pam.o
POP3D_CPPFLAGS += -DWITH_PAM
endif

# -DPROOF in CPPFLAGS: see proof.h.
OBJECTS += $(if $(findstring PROOF,$(CPPFLAGS)),proof.o)

# Those that pop3passwd shares with pop3d are among the latter's.
PASSWD_OBJECTS = ask.o output.o pop3passwd.o store.o users_edit.o users_index_write.o
PASSWD_SHARED = auth.o base64.o conf.o conf_keys.o digest.o lines.o log.o memory.o network.o saslprep.o scram.o users.o users_file.o users_index.o users_summary.o $(LOADER_$(STATIC))

TLS_OBJECTS = certificate.o tls.o tls_binding.o tls_client.o tls_handshake.o tls_key.o tls_memory.o tls_rehearsal.o tls_server.o tls_ticket.o tls_transcript.o

# What is loaded when it runs.
LOADED = $(if $(filter yesno,$(TLS)$(STATIC)),$(O)/tls.so)

all: $(O)/pop3d $(O)/pop3passwd $(LOADED)

$(O)/pop3d: $(OBJECTS:%=$(O)/%)
	$(CC) $(CFLAGS) $(HARDEN_LDFLAGS) $(LDFLAGS) -o $@ $(OBJECTS:%=$(O)/%) \
		$(POP3D_LDLIBS) $(LDLIBS)

$(O)/pop3passwd: $(PASSWD_OBJECTS:%=$(O)/%) $(PASSWD_SHARED:%=$(O)/%)
	$(CC) $(CFLAGS) $(HARDEN_LDFLAGS) $(LDFLAGS) -o $@ $(PASSWD_OBJECTS:%=$(O)/%) \
		$(PASSWD_SHARED:%=$(O)/%) -lcrypt -lmd -ldl $(LDLIBS)

$(O)/tls.so: $(TLS_OBJECTS:%=$(O)/%)
	$(CC) -shared $(CFLAGS) $(HARDEN_SO_LDFLAGS) $(LDFLAGS) -o $@ $(TLS_OBJECTS:%=$(O)/%) \
		-lssl -lcrypto $(LDLIBS)

# Changes with what all is built for, and all is built anew.
$(O)/settings.d: always
	@mkdir -p $(O)
	@echo '# STATIC=$(STATIC) TLS=$(TLS) PAM=$(PAM)' | cmp -s - $@ || echo '# STATIC=$(STATIC) TLS=$(TLS) PAM=$(PAM)' >$@

$(O)/%.o: %.c Makefile $(O)/settings.d
	$(CC) -MMD -MP $(POP3D_CPPFLAGS) $(CPPFLAGS) $(POP3D_CFLAGS) $(CFLAGS) -c -o $@ $<

-include $(OBJECTS:%.o=$(O)/%.d) $(PASSWD_OBJECTS:%.o=$(O)/%.d) $(TLS_OBJECTS:%.o=$(O)/%.d)

# What tests/fault.c describes; for `make check`.
$(O)/fault.so: tests/fault.c
	@mkdir -p $(O)
	$(CC) -shared -fPIC $(FAULT_CFLAGS) -o $@ $< -ldl

$(O)/monitor: tests/asked.c tests/asked.h
$(O)/monitor $(O)/unit: $(O)/%: tests/%.c $(filter-out $(O)/pop3d.o,$(OBJECTS:%=$(O)/%))
	$(CC) $(POP3D_CPPFLAGS) $(CPPFLAGS) $(POP3D_CFLAGS) $(CFLAGS) -I. $(HARDEN_LDFLAGS) \
		$(LDFLAGS) -o $@ $(filter %.c %.o,$^) $(POP3D_LDLIBS) $(LDLIBS)

$(O)/lookup: tests/lookup.c $(PASSWD_SHARED:%=$(O)/%)
	$(CC) $(POP3D_CPPFLAGS) $(CPPFLAGS) $(POP3D_CFLAGS) $(CFLAGS) -I. $(HARDEN_LDFLAGS) \
		$(LDFLAGS) -o $@ tests/lookup.c $(PASSWD_SHARED:%=$(O)/%) -lcrypt -lmd -ldl $(LDLIBS)

$(O)/external: tls_handshake.c
$(O)/external $(O)/external_asked: $(O)/%: tests/%.c tests/shaken.c tests/asked.c tests/shaken.h tests/asked.h $(filter-out $(O)/pop3d.o,$(OBJECTS:%=$(O)/%))
	$(CC) $(POP3D_CPPFLAGS) $(CPPFLAGS) $(POP3D_CFLAGS) $(CFLAGS) -I. $(HARDEN_LDFLAGS) \
		$(LDFLAGS) -o $@ $(filter-out tls_handshake.c,$(filter %.c %.o,$^)) $(POP3D_LDLIBS) -lssl -lcrypto $(LDLIBS)

# The same, with orders to break out: proof.h.
$(O)/proof/pop3d: $(OBJECTS:%.o=%.c) proof.c $(wildcard *.h) Makefile
	@$(MAKE) --no-print-directory O=$(O)/proof CPPFLAGS='$(CPPFLAGS) -DPROOF' $(O)/proof/pop3d

$(O)/filter: tests/filter.c seccomp.c seccomp.h
	$(CC) $(POP3D_CPPFLAGS) $(CPPFLAGS) $(POP3D_CFLAGS) $(CFLAGS) -I. $(LDFLAGS) -o $@ $<

$(O)/without: tests/without.c
	$(CC) $(POP3D_CPPFLAGS) $(CPPFLAGS) $(POP3D_CFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<

TESTED_no = $(O)/external $(O)/external_asked
TESTED = $(O)/fault.so $(O)/filter $(O)/lookup $(O)/unit $(O)/monitor $(O)/proof/pop3d $(O)/without $(TESTED_$(STATIC))
tested: all $(TESTED)

# The suite, over $(O)/pop3d.  JOBS tests run at a time.
JOBS = 4
check: tested
	BUILT=$(abspath $(O)) bats --jobs $(JOBS) $(BATSFLAGS) tests

# Other servers beside this one: bench/README.md.
bench:
	bench/run --short --output build/bench

install: all
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(MANDIR)/man5 \
		$(DESTDIR)$(EXAMPLEDIR) $(DESTDIR)$(DOCDIR)/conformance $(DESTDIR)$(UNITDIR) \
		$(DESTDIR)$(SYSCONFDIR)/xinetd.d $(DESTDIR)$(SYSCONFDIR)/fail2ban/filter.d
	$(INSTALL) -m 755 $(O)/pop3d $(DESTDIR)$(SBINDIR)/pop3d
	$(INSTALL) -m 755 $(O)/pop3passwd $(DESTDIR)$(SBINDIR)/pop3passwd
	$(if $(LOADED),$(INSTALL) -m 644 $(LOADED) $(DESTDIR)$(LIBDIR))
	$(INSTALL) -d -m 755 $(DESTDIR)$(LIBDIR)/empty
	$(INSTALL) -m 644 man/pop3d.8 $(DESTDIR)$(MANDIR)/man8/pop3d.8
	$(INSTALL) -m 644 man/pop3passwd.8 $(DESTDIR)$(MANDIR)/man8/pop3passwd.8
	$(INSTALL) -m 644 man/pop3d.conf.5 $(DESTDIR)$(MANDIR)/man5/pop3d.conf.5
	$(INSTALL) -m 644 README.md ARCHITECTURE.md SECURITY.md CHANGES LICENSE $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 755 conformance/pop3conform $(DESTDIR)$(DOCDIR)/conformance/pop3conform
	$(INSTALL) -m 644 conformance/dovecot.expected $(DESTDIR)$(DOCDIR)/conformance
	$(INSTALL) -m 644 dist/pop3d.conf $(DESTDIR)$(EXAMPLEDIR)/pop3d.conf
	$(INSTALL) -m 755 dist/oauth-jwt dist/oauth-introspect $(DESTDIR)$(EXAMPLEDIR)
	$(FILL) dist/inetd.conf >$(DESTDIR)$(EXAMPLEDIR)/inetd.conf
	for unit in $(UNITS); do $(FILL) dist/$$unit >$(DESTDIR)$(UNITDIR)/$$unit || exit 1; done
	test -e $(XINETD) || { $(FILL) dist/xinetd.conf >$(XINETD); }
ifeq ($(PAM),yes)
	$(INSTALL) -d $(DESTDIR)$(SYSCONFDIR)/pam.d
	test -e $(PAM_SERVICE) || $(INSTALL) -m 644 dist/pam.conf $(PAM_SERVICE)
endif
	$(INSTALL) -m 644 dist/fail2ban.conf \
		$(DESTDIR)$(SYSCONFDIR)/fail2ban/filter.d/pop3d.conf

uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/pop3d $(DESTDIR)$(MANDIR)/man8/pop3d.8 \
		$(DESTDIR)$(SBINDIR)/pop3passwd $(DESTDIR)$(MANDIR)/man8/pop3passwd.8 \
		$(DESTDIR)$(MANDIR)/man5/pop3d.conf.5 $(UNITS:%=$(DESTDIR)$(UNITDIR)/%) \
		$(DESTDIR)$(SYSCONFDIR)/fail2ban/filter.d/pop3d.conf
	! { $(FILL) dist/xinetd.conf | cmp -s - $(XINETD); } || rm -f $(XINETD)
	! cmp -s dist/pam.conf $(PAM_SERVICE) || rm -f $(PAM_SERVICE)
	rm -rf $(DESTDIR)$(DOCDIR) $(DESTDIR)$(LIBDIR)

# pop3d-VERSION.tar.gz of what is committed.
dist:
	git archive --prefix=pop3d-$(VERSION)/ -o pop3d-$(VERSION).tar.gz HEAD

# Applies .clang-format.
format:
	clang-format -i *.c *.h tests/*.c

clean:
	rm -rf build proof
	rm -f *.o *.d pop3d pop3passwd tls.so fault.so filter lookup unit monitor external external_asked without

.PHONY: always all tested check bench install uninstall dist format clean
