/* The words of every reply.  A client's program reads only what stands before them; a
 * person may have to make do with them.  Runs in the session. */
#include "text.h"

static const char *const english[TEXT_COUNT] = {
	[TEXT_READY] = "POP3 server ready",
	[TEXT_CAPABILITIES] = "Capability list follows",
	[TEXT_SEND_PASSWORD] = "Send the password",
	[TEXT_OPENED] = "Maildrop has %1 messages (%2 octets)",
	[TEXT_SCAN_LISTING] = "%1 messages (%2 octets)",
	[TEXT_UNIQUE_IDS] = "Unique-id listing follows",
	[TEXT_OCTETS] = "%1 octets",
	[TEXT_TOP] = "Top of message follows",
	[TEXT_MARKED] = "Message %1 deleted",
	[TEXT_NOTHING_DONE] = "Nothing done",
	[TEXT_RESET] = "Maildrop has %1 messages (%2 octets)",
	[TEXT_GOODBYE] = "Goodbye",
	[TEXT_GOODBYE_EMPTY] = "Goodbye (maildrop empty)",
	[TEXT_GOODBYE_LEFT] = "Goodbye (%1 messages left)",
	[TEXT_NOT_REMOVED] = "%1 of %2 messages not removed",
	[TEXT_UNKNOWN_COMMAND] = "Unknown command",
	[TEXT_BAD_LINE] = "Command line too long, or with a NUL octet",
	[TEXT_LOG_IN_FIRST] = "Log in first",
	[TEXT_LOGGED_IN] = "You are logged in already",
	[TEXT_TOO_FEW] = "An argument is missing",
	[TEXT_TOO_MANY] = "Too many arguments, or spaces",
	[TEXT_NOT_A_NUMBER] = "Not a message-number",
	[TEXT_NOT_A_COUNT] = "Not a number of lines",
	[TEXT_NO_MESSAGE] = "No such message, there are %1",
	[TEXT_IS_DELETED] = "Message %1 is deleted",
	[TEXT_GONE] = "Message %1 was removed by another program",
	[TEXT_CHANGED] = "Message %1 has changed, try again in a new session",
	[TEXT_UNREADABLE] = "Message %1 can't be read",
	[TEXT_BROKEN_INDEX] = "The maildrop's index can't be read",
	[TEXT_USER_FIRST] = "Send USER first",
	[TEXT_NEEDS_TLS]
	= "No password is taken without TLS here: use STLS, or the port for TLS",
	[TEXT_NO_TLS] = "TLS is not available, or on already",
	[TEXT_TLS_BROKEN] = "TLS can't be used, tell the administrator",
	[TEXT_BEGIN_TLS] = "Begin TLS negotiation",
	[TEXT_NO_APOP] = "APOP is not available",
	[TEXT_MECHANISMS] = "Mechanisms follow",
	[TEXT_NO_MECHANISM] = "That mechanism is not available",
	[TEXT_ONLY_TLS] = "That mechanism needs TLS",
	[TEXT_NO_INITIAL_RESPONSE] = "This mechanism begins with a challenge",
	[TEXT_CANCELLED] = "Authentication cancelled",
	[TEXT_NOT_BASE64] = "Not base64",
	[TEXT_BAD_RESPONSE] = "The mechanism has no such response",
	[TEXT_NOT_AS_ANOTHER] = "No one may log in as another user",
	[TEXT_BAD_BINDING] = "The channel binding is another one",
	[TEXT_TOO_MANY_TRIES] = "Too many tries",
	[TEXT_DENIED] = "Wrong user name or password",
	[TEXT_IN_USE] = "Another session has had the maildrop for %1 seconds",
	[TEXT_EARLY] = "You have logged in recently, come again in %1 seconds",
	[TEXT_TEMPORARY] = "The maildrop can't be opened now, try later",
	[TEXT_PERMANENT] = "The maildrop can't be opened, tell the administrator",
	[TEXT_BUSY] = "Too many connections, try later",
	[TEXT_NOT_HERE] = "This address is not served",
};

const char *text_get(enum text text)
{
	return english[text];
}
