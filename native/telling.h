/* Share what telling messages to handlers needs, on both sides of a channel. */

#ifndef NODECLUSTER_TELLING_H
#define NODECLUSTER_TELLING_H

#include "native.h"

int prepare_telling(void);
int has_listener(PyObject *emitter);
int emit_message(PyObject *emitter, PyObject *const *args, int count);
int is_still_handled(PyObject *table, PyObject *kind, PyObject *handler);
PyObject *decode_quickly(PyObject *decode, PyObject *payload);

#endif
