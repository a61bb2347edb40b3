/* See saslprep.h.  GNU libidn does it, and is loaded when there is a text that is not ASCII. */
#include "saslprep.h"
#include "log.h"

#include <dlfcn.h>
#include <string.h>

/* As stringprep.h of libidn has them. */
typedef int preparer(char *text, size_t size, int flags, const void *profile);

static struct {
	bool tried;
	preparer *prepare;
	const void *profile;
} library;

static bool is_ascii(const char *text)
{
	while (*text && (unsigned char)*text < 0x80)
		text++;
	return *text == '\0';
}

static void load_library(void)
{
	static const char *const names[] = {"libidn.so.12", "libidn.so.11"};
	void *object = NULL, *address;
	size_t i;

	library.tried = true;
	for (i = 0; !object && i < sizeof(names) / sizeof(names[0]); i++)
		object = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (object) {
		library.profile = dlsym(object, "stringprep_saslprep");
		address = dlsym(object, "stringprep");
		memcpy(&library.prepare, &address, sizeof(address));
	}
	if (!library.prepare || !library.profile) {
		library.prepare = NULL;
		log_line(LOG_NOTICE,
			"%s is not there: names and passwords that are not ASCII "
			"are taken as they come",
			names[0]);
	}
}

bool saslprep(char *out, size_t size, const char *text)
{
	size_t length = strlen(text);
	bool fits = length < size;

	memcpy(out, text, fits ? length : size - 1);
	out[fits ? length : size - 1] = '\0';
	if (!fits || is_ascii(text))
		return fits;
	if (!library.tried)
		load_library();
	if (library.prepare && library.prepare(out, size, 0, library.profile) == 0)
		return true;
	memcpy(out, text, length + 1);
	return false;
}
