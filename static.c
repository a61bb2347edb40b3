/* What stands in for the dynamic linker where pop3d is linked statically (make STATIC=yes): nothing is
 * loaded, neither TLS nor libidn nor what nsswitch.conf(5) names, and whoever asks is told so.  (glibc
 * would load from a static program what is of its own version, with a second copy of itself.) */
#include <dlfcn.h>
#include <nss.h>
#include <stddef.h>

void *dlopen(const char *name, int flags)
{
	(void)name;
	(void)flags;
	return NULL;
}

void *dlsym(void *object, const char *name)
{
	(void)object;
	(void)name;
	return NULL;
}

char *dlerror(void)
{
	static char text[] = "this pop3d is linked statically";

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
