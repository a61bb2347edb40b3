/* See base64.h.  Runs in both processes. */
#include "base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[]
	= "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(char *text, const void *data, size_t length)
{
	const unsigned char *in = data;
	char *out = text;
	size_t i, j;

	for (i = 0; i < length; i += 3) {
		uint32_t group = (uint32_t)in[i] << 16;

		if (i + 1 < length)
			group |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < length)
			group |= in[i + 2];
		for (j = 0; j < 4; j++)
			*out++ = j > length - i ? '='
						: digits[group >> (18 - 6 * j) & 63];
	}
	*out = '\0';
	return (size_t)(out - text);
}

/* The value of a digit, or -1. */
static int value(char c)
{
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -1;
}

ssize_t base64_decode(void *data, const char *text)
{
	size_t length = strlen(text), padding = 0, i;
	unsigned char *out = data;
	uint32_t group = 0;

	if (length % 4 != 0)
		return -1;
	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	for (i = 0; i < length; i++) {
		int digit = i < length - padding ? value(text[i]) : 0;

		if (digit < 0)
			return -1;
		group = group << 6 | (uint32_t)digit;
		if (i % 4 == 3) {
			*out++ = (unsigned char)(group >> 16);
			*out++ = (unsigned char)(group >> 8);
			*out++ = (unsigned char)group;
		}
	}
	/* What is cut off must be zero. */
	while (padding-- > 0) {
		if (*--out != 0)
			return -1;
	}
	*out = '\0';
	return out - (unsigned char *)data;
}
