# shellcheck shell=bash disable=SC2119,SC2120,SC2034,SC2312 # arguments may be left out
# What the tests of AUTH share.

# python: a script over sasl.py, with PORT and TLS_PORT.
python() {
	PYTHONPATH=$TESTS PYTHONDONTWRITEBYTECODE=1 T=$T PORT=$PORT TLS_PORT=${TLS_PORT:-} PKI=$PKI python3 -c "
import os
from sasl import *
PORT, TLS_PORT = os.environ['PORT'], os.environ['TLS_PORT']
$(cat)"
}

# user_with FIELD [NAME]: a line of the users file.
user_with() {
	printf '%s:%s:%s:%s::%s\n' "${2:-joe}" "$1" "$MAIL_UID" "$MAIL_GID" "$T" >>"$USERS"
}

only_user_with() {
	: >"$USERS"
	user_with "$1"
}

base64_of() {
	printf '%b' "$1" | base64 -w 0
}

# The SASL capability, without its name.
mechanisms() {
	answers CAPA QUIT | sed -n 's/^SASL //p'
}
