/* Declare what several files of the extension share: the types of its module, and functions that one has for others.

   The extension is one module, nodecluster_compat._native.  Each file has the twin of one Python module, whose name is
   at its top: same names, same outcome, held by the same tests.  Everything runs with the interpreter's lock held, but for
   the wait of the dealer's loop (dealing_loop.c) and the dealer's standby (standby.c).  That one has a thread, which ends
   for a fork by Python; nothing else here keeps a thread, a lock or a descriptor, so such a fork may come at any moment.
   What outlives a call otherwise is memory, and a mapping of a worker's counts. */

#ifndef NODECLUSTER_NATIVE_H
#define NODECLUSTER_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "the extension relies on the interpreter's lock: a free-threaded Python is served by Python"
#endif

#if SIZEOF_SIZE_T < 8
#error "the extension counts bodies in 64 bits: a Python of 32 bits is served by Python"
#endif

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))

extern PyType_Spec request_stores_spec, clean_heads_spec, plain_request_spec, answers_spec, plain_answer_spec, turns_spec,
    clean_turn_spec, held_reader_spec, errors_stream_spec, request_ids_spec, dealings_spec, accepting_spec,
    dealing_turns_spec, guarded_spec, delivery_spec, inbox_spec, reading_spec, slice_spec, post_spec,
    taking_spec, feeding_spec, greenlets_spec, request_slots_spec, standby_spec,
    shared_number_spec;
extern PyMethodDef clean_head_functions[], peeking_functions[], engineio_functions[], parent_death_functions[],
    answer_heads_functions[], immortal_functions[], publications_functions[], choosing_functions[],
    json_strings_functions[];

int prepare_clean_head(void);
int prepare_clean_turn(void);
int prepare_plain_answers(void);

/* --- names that are made once: records.c ----------------------------------------------------- */

typedef struct {
    PyObject **where;
    const char *text;
} Name;

int make_names(const Name *names, int count);

/* --- calls that many files make: calls.c ------------------------------------------------------ */

int call_method(PyObject *object, PyObject *name, PyObject *argument);
int is_true(PyObject *object, PyObject *name);
int descriptor_in(PyObject *object);

/* --- methods that somebody may have replaced: own_methods.c ----------------------------------- */

int is_own_function(PyObject *function);
int is_own(PyObject *method);
int has_own(PyObject *object, PyObject *name);

/* --- objects whose attributes are in an array: records.c ------------------------------------- */

/* An attribute of a record: its place in `fields`; AttributeError while it is not set. */
#define FIELD(type, name, place) {name, T_OBJECT_EX, offsetof(type, fields[place]), 0, NULL}
#define READ_ONLY(type, name, place) {name, T_OBJECT_EX, offsetof(type, fields[place]), READONLY, NULL}

int visit_fields(PyObject *self, PyObject **fields, int count, visitproc visit, void *arg);
void clear_fields(PyObject **fields, int count);
void free_record(PyObject *self, PyObject **fields, int count);
void set_field(PyObject **field, PyObject *value);

/* --- objects of Python's that have __slots__: slots.c ------------------------------------------ */

static inline PyObject **
slot_at(PyObject *object, Py_ssize_t place)
{
    return (PyObject **)((char *)object + place);
}

int find_slots(PyObject *type, const char *const *names, Py_ssize_t *places, int count);
PyObject *get_slot(PyObject *object, Py_ssize_t place);
long get_number(PyObject *object, Py_ssize_t place);
int set_slot(PyObject *object, Py_ssize_t place, PyObject *value);

/* --- heads of requests: clean_reader.c, plain_request.c --------------------------------------- */

/* A request that was read: new references. */
typedef struct {
    PyObject *request, *environ;
    Py_ssize_t consumed, length;
    int minor;
} Head;

extern PyTypeObject *clean_heads_type, *plain_request_type;

int read_head(PyObject *heads, PyObject *data, PyObject *base, Head *head);
void set_body(PyObject *request, PyObject *body);
void set_started(PyObject *request, PyObject *started);
PyObject *line_of(PyObject *request);
int is_plain_request(PyObject *request);
int ends_connection(PyObject *request);
int minor_of(PyObject *request);

/* --- answers: plain_answers.c, answers.c, answer_sends.c --------------------------------------- */

extern PyTypeObject *answers_type, *plain_answer_type;

PyObject *new_answer(PyTypeObject *type, PyObject *answers, PyObject *request, PyObject *sock, int is_head);
int can_send_all(PyObject *answer, PyObject *pieces);
int send_all(PyObject *answer, PyObject *pieces);
int end_if_child(PyObject *answers);
int is_of_client(PyObject *answers, PyObject *sock);
PyObject *status_of(PyObject *answer);
PyObject *sent_of(PyObject *answer);
int is_watched(PyObject *answer);
void set_watched(PyObject *answer);
void set_stream(PyObject *answer, PyObject *stream);
void set_last(PyObject *answer, PyObject *is_last);
void set_id(PyObject *answer, PyObject *ids, PyObject *ident);
int is_unfinished(PyObject *answer);
int is_last_of(PyObject *answer);

/* --- ids of requests: request_ids.c ------------------------------------------------------------ */

extern PyTypeObject *request_ids_type;

PyObject *ids_behind(PyObject *application);
PyObject *application_with(PyObject *ids);
PyObject *header_of(PyObject *ids);
PyObject *give_id(PyObject *ids, PyObject *environ, PyObject *client);
int has_id(PyObject *ids, PyObject *headers);
PyObject *start_with_id(PyObject *ids, PyObject *ident, PyObject *start_response, PyObject *const *args, Py_ssize_t count,
                        PyObject *names);

/* --- bodies that are iterated: written_bodies.c ------------------------------------------------- */

int write_body(PyObject *answer, PyObject *body, PyObject *wrapper);
int close_body(PyObject *body);

/* --- greenlets: greenlet_pool.c ----------------------------------------------------------------- */

extern PyTypeObject *greenlets_type;

PyObject *start_job_at_once(PyObject *greenlets, PyObject *const *args, Py_ssize_t count);

/* --- sockets of clients: client_sockets.c ------------------------------------------------------ */

int learn_client(PyObject *type);
int descriptor_of(PyObject *client);
PyObject *new_client(PyObject *kind, int fd);
PyObject *reader_of(PyObject *client, PyObject *hub);
int close_client(PyObject *client);
int is_ended_by_us(PyObject *client);
PyObject *noted_id(PyObject *client);
void note_id(PyObject *client, PyObject *ident);

/* --- addresses, as the standard library says them: addresses.c --------------------------------- */

PyObject *peer_of(int fd);
char *write_number(char *where, unsigned number);

/* --- bodies: body_reader.c -------------------------------------------------------------------- */

extern PyTypeObject *held_reader_type;

PyObject *new_reader(PyObject *held);

/* --- waits: idle_limit.c ---------------------------------------------------------------------- */

int note_wait(PyObject *waits, PyObject *greenlet, int is_idle);
int forget_wait(PyObject *waits, PyObject *greenlet);
int are_waits_over(PyObject *waits);

/* --- calls of handlers: handler_calls.c -------------------------------------------------------- */

void look_for_origins(void);
void keep_no_origin(void);
void keep_origin(const void *keeper);
void release_origin(const void *keeper);

/* --- looks at connections: peeking.c ----------------------------------------------------------- */

#define MOST_PEEKED 2048

/* --- whose a connection is: engineio.c -------------------------------------------------------- */

long long engineio_worker(const char *data, Py_ssize_t size);

/* --- frames: reading_slices.c ------------------------------------------------------------------- */

extern PyTypeObject *slice_type;

/* --- connections: clean_turn.c ---------------------------------------------------------------- */

extern PyTypeObject *turns_type, *clean_turn_type;

PyObject *new_turn(PyObject *kind, PyObject *turns, PyObject *application, PyObject *server, PyObject *client,
                   PyObject *peer, PyObject *slot, int serves);
int is_turn_kind(PyObject *kind);
PyObject *serve_turn(PyObject *connection);
int forget_turn(PyObject *connection);

#endif
