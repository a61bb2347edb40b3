"""Whether the time of an answer tells anything: tries of several kinds, each in a connection of its
own, many at a time and in random order; then, for each pair of kinds, the rank test of Mann and
Whitney.  Whatever else the machine is busy with, it is with all kinds alike.  Prints one line for each
pair, and ends with 1 where one kind stands out.

    timing.py PORT TRIES METHOD USER..."""
import itertools
import math
import random
import sys
import threading
import time

from sasl import *

THREADS = 40
LIMIT = 5  # standard deviations: by chance once in a million runs


def attempt(port, method, user):
    c = Client(port)
    if method == "PASS":
        assert c.say(b"USER " + user.encode()).startswith(b"+OK")
        begun = time.monotonic()
        reply = c.say(b"PASS wrong")
    elif method == "PLAIN":
        begun = time.monotonic()
        reply = c.say(b"AUTH PLAIN " + b64(f"\0{user}\0wrong"))
    elif method == "CRAM-MD5":
        begun = time.monotonic()
        reply = cram_md5(c, user, "wrong")
    else:
        begun = time.monotonic()
        reply = Scram(c, method, user, "wrong").run()
    took = time.monotonic() - begun
    assert reply.startswith(b"-ERR [AUTH]"), reply
    c.socket.close()
    return took


def stands_out(one, other):
    """In standard deviations of what chance would do."""
    ranked = sorted((t, kind) for kind, times in enumerate((one, other)) for t in times)
    ranks = sum(rank for rank, (_, kind) in enumerate(ranked, 1) if kind == 0)
    n, m = len(one), len(other)
    return (ranks - n * (n + m + 1) / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def main():
    port, tries, method, users = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    todo = [user for user in users for _ in range(tries)]
    random.shuffle(todo)
    times = {user: [] for user in users}
    failed = []

    def work():
        try:
            while todo:
                user = todo.pop()
                times[user].append(attempt(port, method, user))
        except (AssertionError, IndexError, OSError) as error:
            failed.append(repr(error))

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"failed: {failed[0]}")
    out = False
    for one, other in itertools.combinations(users, 2):
        z = stands_out(times[one], times[other])
        out |= abs(z) > LIMIT
        print(f"{method}: {one} and {other}, {tries} each: {z:+.1f} standard deviations apart")
    sys.exit(out)


if __name__ == "__main__":
    main()
