# pop3d: `make`, `make check`, `make install`.
# CFLAGS, CPPFLAGS, LDFLAGS and LDLIBS are yours; what pop3d needs stands beside them.

VERSION = 0.1.0
PREFIX = /usr/local
SBINDIR = $(PREFIX)/sbin
MANDIR = $(PREFIX)/share/man
DOCDIR = $(PREFIX)/share/doc/pop3d
UNITDIR = $(PREFIX)/lib/systemd/system
SYSCONFDIR = /etc
INSTALL = install

CC = cc
CFLAGS = -O2 -g
HARDEN_CFLAGS = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
HARDEN_LDFLAGS = -pie -Wl,-z,relro,-z,now

# Where objects and the program go, for builds beside one another.
O = .

POP3D_CPPFLAGS = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 \
	-DVERSION='"$(VERSION)"' -MMD -MP
POP3D_CFLAGS = -std=c11 -Wall -Wextra -Wshadow -Wconversion $(HARDEN_CFLAGS)
POP3D_LDLIBS = -lcrypt -ldl

OBJECTS = auth.o capa.o conf.o crypto.o index.o index_write.o lines.o listen.o log.o \
	login.o maildrop.o message.o monitor.o pop3d.o quota.o request.o sandbox.o scan.o \
	serve.o session.o text.o transaction.o update.o users.o wire.o

all: $(O)/pop3d

$(O)/pop3d: $(OBJECTS:%=$(O)/%)
	$(CC) $(HARDEN_LDFLAGS) $(LDFLAGS) -o $@ $(OBJECTS:%=$(O)/%) $(POP3D_LDLIBS) $(LDLIBS)

$(O)/%.o: %.c Makefile
	@mkdir -p $(O)
	$(CC) $(POP3D_CPPFLAGS) $(CPPFLAGS) $(POP3D_CFLAGS) $(CFLAGS) -c -o $@ $<

-include $(OBJECTS:%.o=$(O)/%.d)

clean:
	rm -rf build
	rm -f *.o *.d pop3d

.PHONY: all clean
