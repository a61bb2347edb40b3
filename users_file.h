/* The users file: lines of passwd(5) with an eighth field.  For users.c, users_check.c and
 * users_summary.c. */
#ifndef USERS_FILE_H
#define USERS_FILE_H

#include "users.h"

enum users_field {
	USERS_FIELD_NAME,
	USERS_FIELD_PASSWORD,
	USERS_FIELD_UID,
	USERS_FIELD_GID,
	USERS_FIELD_GECOS,
	USERS_FIELD_HOME,
	USERS_FIELD_SHELL,
	USERS_FIELD_EXTRA,
	USERS_FIELDS
};

/* Comments and empty lines are nobody's. */
bool users_file_is_comment(const char *line);

/* Splits a line at its colons; the last field takes the rest.  Fields that are not there are
 * empty. */
void users_file_split(char *line, char *field[USERS_FIELDS]);

/* What the fields say of an account.  Returns NULL or what is wrong with the line. */
const char *users_file_parse(char *field[USERS_FIELDS], struct account *account);

/* Takes the words of the extra field, which is cut into pieces.  `maildir` is NULL, or gets what
 * stands there.  Returns NULL or what is wrong. */
const char *users_file_extra(char *extra, struct terms *terms, const char **maildir);

/* Whether a password that is stored so can be right. */
bool users_can_be_right(enum users_stored kind);

/* Returns false where it does not fit; then `to` is as it was. */
bool users_copy(char *to, size_t size, const char *from);

/* users_find() and users_each() for `users file`. */
enum users_found users_file_find(
	const char *file, const char *name, struct account *account, char *why);
bool users_file_each(const struct conf *conf, const char *file, users_visitor *each,
	void *argument, char *why);

#endif
