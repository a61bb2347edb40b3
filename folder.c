/* See folder.h.  A folder has a file `maildirfolder`, by which delivery agents know it. */
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int open_or_make(int parent, const char *name)
{
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, FLAGS);
}

/* What a folder has beside cur/.  Nobody is lost without. */
static void make_rest(int folder)
{
	int file = openat(folder, "maildirfolder",
		O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	if (file >= 0)
		close(file);
	mkdirat(folder, "new", 0700);
	mkdirat(folder, "tmp", 0700);
}

int folder_open(int maildir, const char *name)
{
	char path[256];
	int folder, cur, error;

	snprintf(path, sizeof(path), ".%s", name);
	folder = open_or_make(maildir, path);
	if (folder < 0)
		return -1;
	cur = openat(folder, "cur", FLAGS);
	if (cur < 0 && errno == ENOENT) {
		make_rest(folder);
		cur = open_or_make(folder, "cur");
	}
	error = errno;
	close(folder);
	errno = error;
	return cur;
}

bool folder_counts(const char *name)
{
	return strcmp(name, "Trash") != 0;
}
