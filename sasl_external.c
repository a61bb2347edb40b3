/* EXTERNAL: RFC 4422 appendix A.  Runs in the session, which has the handshake but not the say: the
 * monitor is given its messages, and whom the client wants to be. */
#include "sasl.h"

#include <string.h>

/* Once a connection. */
static bool hand_over(struct session *s)
{
	struct request request = {.kind = REQUEST_TRANSCRIPT};
	const unsigned char *transcript;
	size_t at, length = 0;

	if (s->transcript_length > 0)
		return true;
	transcript = s->wire.library->transcript(s->wire.tls, &length);
	for (at = 0; at < length; at += request.piece.length, request.number++) {
		size_t part = length - at < REQUEST_PIECE ? length - at : REQUEST_PIECE;

		request.piece.length = (uint32_t)part;
		memcpy(request.piece.data, transcript + at, part);
		if (request_send(s->monitor, &request) < 0)
			return false;
	}
	s->transcript_length = (uint32_t)length;
	return true;
}

enum next sasl_external(
	struct session *s, enum auth_method method, struct response *response)
{
	struct request request = {.kind = REQUEST_EXTERNAL, .login.method = method};
	enum next next;

	if (!sasl_initial(s, response, &next))
		return next;
	if (!sasl_text(request.login.user, response->data, response->length))
		return reply_err(s, CODE_NONE, TEXT_BAD_RESPONSE, 0, 0);
	if (!hand_over(s)) {
		reply_err(s, CODE_SYS_TEMP, TEXT_TEMPORARY, 0, 0);
		return reply_end(s, END_MONITOR);
	}
	request.number = s->transcript_length;
	return log_in(s, &request, NULL);
}
