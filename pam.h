/* Users that PAM knows: `users pam`.  Runs in the monitor, which has a process of its own for that, the
 * keeper: it asks PAM, opens the session there, stays what pop3d was started as, and closes the session
 * when the monitor has ended.  So no module's memory is in the process that becomes the user, and a module
 * that hangs or dies takes nobody along. */
#ifndef PAM_H
#define PAM_H

#include "auth.h"

#ifdef WITH_PAM
auth_asker pam_ask;

/* Waits until the session is closed, where one is open; not for long. */
void pam_finish(void);

/* Reports what is strange about a source, and what is wrong with it; returns the number of the
 * latter. */
unsigned pam_check(const struct conf_users *source, conf_report *report);
#else
/* Then no configuration names it: conf_keys.c. */
static inline enum auth_verdict pam_ask(const struct auth_attempt *attempt,
	const struct conf_users *source, struct account *account, char *reason)
{
	(void)attempt, (void)source, (void)account, (void)reason;
	return AUTH_UNSURE;
}
static inline void pam_finish(void)
{
}
static inline unsigned pam_check(const struct conf_users *source, conf_report *report)
{
	(void)source, (void)report;
	return 1;
}
#endif

#endif
