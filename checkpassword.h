/* Other programs that know users: the checkpassword interface, https://cr.yp.to/checkpwd/interface.html.
 * Runs in the monitor, before the login. */
#ifndef CHECKPASSWORD_H
#define CHECKPASSWORD_H

#include "auth.h"

auth_asker checkpassword;

/* Before that, at the start of the program: remembers where it is, for it may be replaced. */
void checkpassword_start(void);

/* What the command runs where it accepts: this program again, with that word, which is no option, for
 * some commands take those for their own.  It writes to standard output who it has become.  Returns the
 * exit status. */
#define CHECKPASSWORD_WORD "report"
int checkpassword_report(void);

#endif
