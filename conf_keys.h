/* The keys of pop3d.conf(5), one table; for conf.c. */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include "conf.h"

/* What holds where nobody says otherwise. */
void conf_set_defaults(struct conf *conf);

/* Takes a key and its value; `line` is changed.  Returns NULL or what is wrong. */
const char *conf_set_key(struct conf *conf, char *line);

/* Has a copy take the place of what the field has. */
void conf_set_string(char **field, const char *value);

/* The last of `users` goes. */
void conf_forget_source(struct conf *conf);

#endif
