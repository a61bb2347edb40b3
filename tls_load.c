/* Loading tls.so.  Runs in the listener, and in the monitor before the session is started
 * that will use it: what is jailed can load nothing. */
#include "tls.h"

#include <dlfcn.h>
#include <stdio.h>

/* Beside the program, or where the Makefile has installed it: see -rpath there. */
#define OBJECT "tls.so"

const struct tls_library *tls_load(char *why)
{
	static const struct tls_library *library;
	void *object;

	if (library)
		return library;
	object = dlopen(OBJECT, RTLD_NOW | RTLD_LOCAL);
	if (object)
		library = dlsym(object, "tls_library");
	if (!library)
		snprintf(why, LOG_LINE_MAX, "TLS can't be loaded: %s", dlerror());
	return library;
}
