/* Networks: RFC 4291 sections 2.3 and 2.5.5.2, RFC 4632 section 3.1.  Runs before the processes
 * part, and in the session. */
#include "network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const unsigned char octets[16])
{
	return memcmp(octets, mapped, sizeof(mapped)) == 0;
}

static bool is_loopback(const unsigned char octets[16])
{
	return is_v4(octets) ? octets[sizeof(mapped)] == 127
			     : memcmp(octets, &in6addr_loopback, 16) == 0;
}

struct address network_address(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;
	struct address result = {.known = true};

	if (address->ss_family == AF_INET) {
		memcpy(result.octets, mapped, sizeof(mapped));
		memcpy(result.octets + sizeof(mapped), &v4->sin_addr, 4);
	} else if (address->ss_family == AF_INET6) {
		memcpy(result.octets, &v6->sin6_addr, sizeof(result.octets));
	} else {
		result.known = false;
		result.local = address->ss_family == AF_UNIX;
	}
	if (result.known)
		result.local = is_loopback(result.octets);
	return result;
}

struct address network_around(const struct address *address)
{
	struct address result = *address;

	if (!is_v4(result.octets))
		memset(result.octets + 8, 0, 8);
	return result;
}

void network_text(char text[NETWORK_TEXT], const struct address *address)
{
	const unsigned char *octets = address->octets;

	strcpy(text, "?");
	if (address->known && is_v4(octets))
		inet_ntop(AF_INET, octets + sizeof(mapped), text, NETWORK_TEXT);
	else if (address->known)
		inet_ntop(AF_INET6, octets, text, NETWORK_TEXT);
}

/* Whether the first `bits` are the same. */
static bool are_equal(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned char rest = (unsigned char)(0xff00u >> (bits % 8));

	return memcmp(a, b, bits / 8) == 0
		&& (bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & rest) == 0);
}

/* Returns how many bits stand before the address, or -1. */
static int parse_address(unsigned char octets[16], const char *text, size_t length)
{
	char host[INET6_ADDRSTRLEN];

	if (length >= sizeof(host))
		return -1;
	memcpy(host, text, length);
	host[length] = '\0';
	memcpy(octets, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, host, octets + sizeof(mapped)) == 1)
		return 8 * sizeof(mapped);
	return inet_pton(AF_INET6, host, octets) == 1 ? 0 : -1;
}

const char *network_parse(struct network *network, const char *text)
{
	static const char *const words[] = {"all", "local"};
	size_t length = strcspn(text, "/"), i;
	const char *bits = text + length + (text[length] == '/');
	int before;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		network->kind = (enum network_kind)i;
		if (strcmp(text, words[i]) == 0)
			return NULL;
	}
	network->kind = NETWORK_ADDRESS;
	network->bits = 128;
	before = parse_address(network->octets, text, length);
	if (before < 0)
		return "must be `all`, `local`, an address or a network, such as "
		       "192.0.2.0/24 or 2001:db8::/32";
	if (text[length] == '\0')
		return NULL;
	if (strspn(bits, "0123456789") != strlen(bits) || !*bits || strlen(bits) > 3
		|| before + atoi(bits) > 128)
		return "has no number of bits behind the /, or more than there are";
	network->bits = (unsigned)(before + atoi(bits));
	/* 10.1.0.0/8 is more likely a mistake than all of 10. */
	for (i = network->bits; i < 128; i++) {
		if (network->octets[i / 8] & (0x80u >> (i % 8)))
			return "has more in its address than the bits behind the / count";
	}
	return NULL;
}

bool network_has(const struct network *network, const struct address *address)
{
	switch (network->kind) {
	case NETWORK_ALL:
		return true;
	case NETWORK_LOCAL:
		return address->local;
	default:
		return address->known
			&& are_equal(network->octets, address->octets, network->bits);
	}
}
