/* A folder beside the inbox, as Maildir++ has them: .NAME in the Maildir.  Monitor only, as the
 * user. */
#ifndef FOLDER_H
#define FOLDER_H

#include <stdbool.h>

/* Opens cur/ of the folder, which is made where it is not there.  Returns a descriptor, or -1
 * with errno. */
int folder_open(int maildir, const char *name);

/* Whether what is in it counts for the quota. */
bool folder_counts(const char *name);

#endif
