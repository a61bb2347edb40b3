/* Orders to break out of the jail, for tests: built in with -DPROOF, and never in what is
 * installed. */
#ifndef PROOF_H
#define PROOF_H

#include <stdbool.h>

/* `text` is a word of the table in proof.c and an argument, such as `open /etc/passwd`.  Returns
 * 0 where that could be done, else errno. */
int proof_try(const char *text);

/* Whether a layer of the jail (`seccomp`, `landlock`, `chroot`) is to be left out, so that it can
 * be seen what the others hold: POP3D_WITHOUT in the environment. */
bool proof_without(const char *layer);

#endif
