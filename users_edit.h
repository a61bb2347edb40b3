/* Changing a users file, as pop3passwd(8) does it: under a lock (FILE.lock, which stays), into a new
 * file beside it (FILE.new) that takes its place when it is whole and on the disk.  Whatever ends the
 * process, the file is as it was or as it is to be.  Other lines, and comments, stay as they are. */
#ifndef USERS_EDIT_H
#define USERS_EDIT_H

#include "log.h"

#include <stdbool.h>

/* From how many users on an index is made without being asked for. */
#define USERS_EDIT_INDEXED 1000

/* As they stand in a line. */
enum users_edit_field {
	USERS_EDIT_NAME,
	USERS_EDIT_PASSWORD,
	USERS_EDIT_UID,
	USERS_EDIT_GID,
	USERS_EDIT_GECOS,
	USERS_EDIT_HOME,
	USERS_EDIT_SHELL,
	USERS_EDIT_EXTRA,
	USERS_EDIT_FIELDS
};

/* No field has a colon or a line end in it, but that `extra` may have colons.  NULL: as it is, or empty
 * where the user is new. */
struct users_edit {
	const char *field[USERS_EDIT_FIELDS]; /* the name always */
	bool remove;                          /* all lines of that name */
	bool is_new; /* set by users_edit(): there was no such user */
};

/* A line of LINES_MAX octets at most, and an LF: `old` with that changed, or where it is NULL a new
 * one.  Returns its length, or 0: it would be too long. */
size_t users_edit_line(char *line, const char *old, const struct users_edit *edit);

/* Each returns EX_OK, or another status of sysexits.h and `why` (LOG_LINE_MAX octets); and
 * USERS_EDIT_ABSENT where there was nobody to remove.  Both change nothing where they fail, but that
 * EX_IOERR may come when only the last step, a sync of the directory, has failed. */
#define USERS_EDIT_ABSENT 1
int users_edit(const char *file, struct users_edit *edit, char *why);

/* Makes FILE.index anew, of a file as it is. */
int users_edit_index(const char *file, char *why);

#endif
