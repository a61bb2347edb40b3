/* Memory that is there: without it the process ends, as log_fatal() does. */
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

#endif
