/* The configuration: pop3d.conf(5), -o and -l, one table of keys. */
#ifndef CONF_H
#define CONF_H

#include "log.h"
#include "network.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define CONF_FILE "/etc/pop3d.conf"
#define CONF_LISTEN_MAX 16
#define CONF_USERS_MAX 8
#define CONF_OPTIONS_MAX 64
#define CONF_CERTIFICATES_MAX 16
#define CONF_NETWORKS_MAX 64
#define CONF_OAUTH_TEXT_MAX 512

enum users_kind { USERS_SYSTEM, USERS_FILE, USERS_CHECKPASSWORD, USERS_PAM };
enum tls_client_user { TLS_CLIENT_USER_NONE, TLS_CLIENT_USER_CN, TLS_CLIENT_USER_EMAIL };
enum tls_min { TLS_MIN_1_2, TLS_MIN_1_3 };
enum sandbox_mode { SANDBOX_TRY, SANDBOX_REQUIRE };

/* As written after -l: host (empty: every address) and port, and whether TLS begins with the
 * first octet there. */
struct conf_listen {
	char *host;
	char *port;
	bool tls;
};

/* Where users are. */
struct conf_users {
	enum users_kind kind;
	char *file; /* USERS_FILE: an absolute path */
	/* USERS_CHECKPASSWORD: the command, as `oauth` below.  USERS_PAM: the service, and the user
	 * of the system whom all of it share; or NULL. */
	char **words;
};

/* PEM files, absolute paths. */
struct conf_certificate {
	char *certificate; /* and its chain */
	char *key;         /* NULL: in the same file */
};

/* What may differ from user to user: here, and in the extra field of the users file. */
struct terms {
	unsigned login_delay; /* seconds from one login to the next: RFC 2449 s.6.5 */
	unsigned expire;      /* days that a message stays: RFC 2449 s.6.7 */
};
#define TERMS_NEVER UINT_MAX /* for `expire` */

/* Sets the term that is called so.  Returns NULL, or what is wrong with the value; `*known`
 * tells whether there is such a term. */
const char *conf_term(
	struct terms *terms, const char *name, const char *value, bool *known);

/* `allow` and `deny`, in the order of their lines. */
struct conf_access {
	bool allow;
	struct network network;
};

/* Every string is owned by the configuration; conf_free() releases them. */
struct conf {
	struct conf_users
		users[CONF_USERS_MAX]; /* in the order in which they are asked */
	size_t users_count;
	char *maildir;                               /* a pattern: see conf_maildir() */
	struct network plaintext[CONF_NETWORKS_MAX]; /* where passwords may come from */
	size_t plaintext_count;
	struct conf_access access[CONF_NETWORKS_MAX];
	size_t access_count;
	unsigned mechanisms; /* AUTH_METHOD() of each; 0: those that serve every user */
	char **oauth; /* the command that judges tokens: its words, NULL behind them; NULL: none */
	unsigned oauth_timeout;    /* seconds */
	char *oauth_scope;         /* for clients without a good token; or NULL */
	char *oauth_discovery;     /* likewise */
	unsigned scram_iterations; /* where the stored password says nothing of them */
	struct conf_listen listen[CONF_LISTEN_MAX];
	size_t listen_count;
	struct conf_certificate certificates[CONF_CERTIFICATES_MAX];
	size_t certificate_count; /* 0: no TLS */
	char *tls_client_ca;      /* NULL: no client is asked for a certificate */
	enum tls_client_user tls_client_user; /* EXTERNAL: which name is the user's */
	enum tls_min tls_min;
	enum sandbox_mode sandbox;
	char *hostname;
	unsigned auth_timeout, idle_timeout; /* seconds */
	struct terms terms; /* of those users who have none of their own */
	unsigned login_delay_burst;
	unsigned takeover;    /* seconds that a client is silent; 0: however long */
	char *deleted_folder; /* NULL: what is deleted is gone */
	unsigned max_connections, max_per_address;
	char *session_user; /* NULL: pop3d, or nobody where there is none */
	enum log_target log;
};

/* Where configuration comes from: the command line, in its order. */
struct conf_source {
	const char *file;                      /* NULL: CONF_FILE, which may be absent */
	const char *options[CONF_OPTIONS_MAX]; /* each 'key value' */
	size_t option_count;
	const char *listen[CONF_LISTEN_MAX];
	size_t listen_count;
	bool tls; /* -T: from the first octet, whatever brings connections */
};

/* Receives each mistake as one line of text: `file:line: what is wrong`. */
typedef void conf_report(const char *text);

/* Fills in `conf`: defaults, then the file, then the options.  An -o or -l `listen`
 * replaces those of the file, as does an -o `users`, and an -o `tls_certificate` all of its certificates.  Reports every mistake and returns how many there were;
 * conf_free() is due whatever it returns. */
unsigned conf_load(
	struct conf *conf, const struct conf_source *source, conf_report *report);
void conf_free(struct conf *conf);

/* The names of the keys, for -V; NULL after the last. */
const char *conf_key(unsigned number);
const char *conf_source(unsigned number); /* what `users` knows, of this build */

/* Whether it names programs to run before a login. */
bool conf_programs(const struct conf *conf);

/* Whether one may connect: the first of `allow` and `deny` that names it decides; else it may
 * where no `allow` names others. */
bool conf_allows(const struct conf *conf, const struct address *address);

/* Whether a password may be sent from there in the clear. */
bool conf_plaintext(const struct conf *conf, const struct address *address);

/* The maildir template for one user: a leading `~` is the home, %u the name, %n what
 * stands before its last @, %d what stands after it, %% a percent sign.  Returns NULL
 * and fills in `path`, or says what is wrong.  conf_maildir_check() does without a
 * user. */
const char *conf_maildir(
	char path[PATH_MAX], const char *pattern, const char *user, const char *home);
const char *conf_maildir_check(const char *pattern);

#endif
