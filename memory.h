/* Memory that is there: without it the process ends, as log_fatal() does.  And memory that need not be
 * there while nothing happens. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

/* realloc(3). */
void *memory_resize(void *old, size_t size);

/* strdup(3). */
char *memory_copy(const char *text);

/* Room for at least one more item in an array that has `count` of them, and room for
 * `*room`. */
void *memory_grow(void *array, size_t count, size_t *room, size_t item_size);

/* The pages in this part are zero from now on, and take no room until they are used. */
void memory_drop(void *from, size_t length);

/* Gives back what has been freed, and what was once needed of the stack. */
void memory_rest(void);

#define MEMORY_REST_AFTER 1 /* seconds in which nothing happened */

#endif
