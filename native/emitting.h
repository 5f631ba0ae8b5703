/* Share what emits messages, on both sides of a channel. */

#ifndef NODECLUSTER_EMITTING_H
#define NODECLUSTER_EMITTING_H

#include "native.h"

int prepare_emitting(void);
int has_listener(PyObject *emitter);
int emit_message(PyObject *emitter, PyObject *const *args, int count);
int is_still_handled(PyObject *table, PyObject *kind, PyObject *handler);
PyObject *decode_quickly(PyObject *decode, PyObject *payload);

#endif
