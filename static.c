/* What stands in for the dynamic linker where pop3d is linked statically (make STATIC=yes): nothing is
 * loaded, neither libidn nor what nsswitch.conf(5) names, and whoever asks is told so.  (glibc would
 * load from a static program what is of its own version, with a second copy of itself.)  What
 * would be in tls.so is in the program, but for TLS=no. */
#include "tls.h"

#include <dlfcn.h>
#include <nss.h>
#include <stddef.h>
#include <string.h>

extern const struct tls_library tls_library __attribute__((weak));

void *dlopen(const char *name, int flags)
{
	(void)flags;
	return name && strcmp(name, TLS_OBJECT) == 0 ? (void *)&tls_library : NULL;
}

/* Of what dlopen() has opened. */
void *dlsym(void *object, const char *name)
{
	return object && strcmp(name, "tls_library") == 0 ? object : NULL;
}

char *dlerror(void)
{
	static char text[] = "this pop3d is linked statically, without it";

	return text;
}

/* Users, groups and services are those of /etc. */
__attribute__((constructor)) static void use_files(void)
{
	static const char *const databases[] = {"passwd", "shadow", "group", "initgroups",
		"hosts", "services", "protocols"};
	size_t i;

	for (i = 0; i < sizeof(databases) / sizeof(databases[0]); i++)
		__nss_configure_lookup(databases[i], "files");
}
