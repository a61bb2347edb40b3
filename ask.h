/* Asking a person, or a script, for a password. */
#ifndef ASK_H
#define ASK_H

#include "request.h"

#define ASK_SIZE REQUEST_TEXT_MAX /* octets, with a NUL: what a login can carry */

/* Where standard input is a terminal, asks on /dev/tty without echo, twice if so wished.  Else takes one
 * line of standard input, and nothing behind it.  Returns NULL, or what is wrong with it.  Wipe it in
 * either case.  A signal that ends or stops the process finds the terminal as it was. */
const char *ask_password(char password[ASK_SIZE], const char *user, bool twice);

#endif
