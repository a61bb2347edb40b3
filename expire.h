/* pop3d -x: what is too old goes, without a session.  RFC 2449 section 6.7. */
#ifndef EXPIRE_H
#define EXPIRE_H

#include "serve.h"

/* Removes what has expired by each user's own terms, in the user's own rights, but for maildrops in
 * use.  One log line for each user who had something.  Returns the exit status. */
int expire_all(struct server *server);

#endif
