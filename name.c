/* See name.h.  Runs in the monitor. */
#include "name.h"

#include <string.h>

size_t name_base_length(const char *name)
{
	const char *colon = strchr(name, ':');

	return colon ? (size_t)(colon - name) : strlen(name);
}

/* Reads digits up to `end`; a number that is too large becomes the largest. */
static const char *digits(const char *p, const char *end, uint64_t *number)
{
	for (*number = 0; p < end && *p >= '0' && *p <= '9'; p++) {
		unsigned digit = (unsigned)(*p - '0');

		*number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX
							      : *number * 10 + digit;
	}
	return p;
}

bool name_number(const char *name, char key, uint64_t *number)
{
	const char tag[] = {',', key, '=', '\0'};
	const char *end = name + name_base_length(name), *at = strstr(name, tag), *after;

	if (!at || at >= end)
		return false;
	after = digits(at + 3, end, number);
	return after > at + 3 && *number < UINT64_MAX && (after == end || *after == ',');
}

bool name_delivery(const char *name, size_t length, struct name_time *time)
{
	const char *colon = memchr(name, ':', length);
	const char *end = colon ? colon : name + length;
	const char *p = digits(name, end, &time->seconds);
	bool timed = p > name;

	time->microseconds = 0;
	if (p == end || *p != '.')
		return timed;
	for (p++; p < end && *p != '.' && *p != ','; p++) {
		if (*p == 'M' && digits(p + 1, end, &time->microseconds) > p + 1)
			break;
	}
	return timed;
}

int name_compare_times(const struct name_time *a, const struct name_time *b)
{
	if (a->seconds != b->seconds)
		return a->seconds < b->seconds ? -1 : 1;
	if (a->microseconds != b->microseconds)
		return a->microseconds < b->microseconds ? -1 : 1;
	return 0;
}

static const char *flags_of(const char *name)
{
	const char *info = strchr(name, ':');

	return info && strncmp(info, ":2,", 3) == 0 ? info + 3 : NULL;
}

bool name_has_flag(const char *name, char flag)
{
	const char *flags = flags_of(name);

	return flags && strchr(flags, flag);
}

bool name_in_cur(const char *name, bool seen, char *out, size_t size)
{
	const char *flags = flags_of(name);
	const char *insert = "", *at = name + strlen(name);

	if (name[name_base_length(name)] == '\0') {
		insert = seen ? ":2,S" : ":2,";
	} else if (seen && flags && !strchr(flags, 'S')) {
		insert = "S";
		for (at = flags; *at >= 'A' && *at < 'S'; at++)
			;
	}
	if (strlen(name) + strlen(insert) >= size)
		return false;
	memcpy(out, name, (size_t)(at - name));
	strcpy(out + (at - name), insert);
	strcat(out, at);
	return true;
}
