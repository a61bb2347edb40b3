/* Loading tls.so.  Runs in the listener, and in the monitor before the session is started
 * that will use it: what is jailed can load nothing. */
#include "tls.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Beside the program, in lib/pop3d beside sbin, or where it was to be installed.  (An -rpath would
 * do, and have every start of the program look for libc there.) */
static const char *const places[] = {"%.*s/tls.so", "%.*s/../lib/pop3d/tls.so"};

static void *open_object(void)
{
	char program[PATH_MAX], path[PATH_MAX + 32];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	void *object = NULL;
	size_t i;

	program[length > 0 ? length : 0] = '\0';
	for (i = 0; i < sizeof(places) / sizeof(places[0]) && !object; i++) {
		char *slash = strrchr(program, '/');

		if (!slash)
			break;
		snprintf(path, sizeof(path), places[i], (int)(slash - program), program);
		if (access(path, R_OK) == 0)
			object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	return object ? object : dlopen(TLS_OBJECT, RTLD_NOW | RTLD_LOCAL);
}

const struct tls_library *tls_load(char *why)
{
	static const struct tls_library *library;
	void *object;

	if (library)
		return library;
	object = open_object();
	if (object)
		library = dlsym(object, "tls_library");
	if (!library)
		snprintf(why, LOG_LINE_MAX, "TLS can't be loaded: %s", dlerror());
	return library;
}
