/* Addresses and the networks that they belong to: `allow`, `deny` and `plaintext` of
 * pop3d.conf(5). */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <sys/socket.h>

/* Who is at the other end. */
struct address {
	bool local; /* loopback, a Unix socket or a pipe */
	bool known; /* it has an address: */
	unsigned char octets
		[16]; /* IPv6; an IPv4 address is ::ffff:a.b.c.d, whatever it came by */
};

enum network_kind { NETWORK_ALL, NETWORK_LOCAL, NETWORK_ADDRESS };

struct network {
	enum network_kind kind;
	unsigned char octets[16];
	unsigned bits; /* of these, that count */
};

struct address network_address(const struct sockaddr_storage *address);

/* Those that may be one client: an IPv6 client has 64 bits to choose from. */
struct address network_around(const struct address *address);

/* For the log; `?` where there is none. */
#define NETWORK_TEXT 46
void network_text(char text[NETWORK_TEXT], const struct address *address);

/* `all`, `local`, an address, or `address/bits`.  Returns NULL, or what is wrong with it. */
const char *network_parse(struct network *network, const char *text);

bool network_has(const struct network *network, const struct address *address);

#endif
