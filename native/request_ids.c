/* Give the requests of an application their ids; twin of _gunicorn/requests/request_ids.py.

   A request whose peer says nothing gets a new id here, and an answer whose header is a list of plain pairs gets its field
   here.  Whether a peer may say an id, and what to do with any other header, is the twin's (`said`, `start`).

   Called as a WSGI application, this adds the field by a start_response of its own.  A connection that is served in C
   (clean_turn.c) asks for the id instead, and gives it to its answer (plain_answers.c), which adds the field itself. */

#include "native.h"

#include <stdint.h>
#include <string.h>

#define SEED_BYTES 32
#define DIGITS_IN_WORD 16
#define WORDS_IN_ID 2

enum {
    APPLICATION,
    HEADER,     /* its name, as it is sent */
    KEY,        /* of environ: what the request says in it */
    PARENT_KEY, /* of environ: traceparent */
    ID_KEY,     /* of environ: the id */
    VARIABLE,   /* a context variable: the id */
    ASKERS,     /* a list of what asks that; empty: nobody does */
    SAID,       /* said(environ): the id that a peer says, or None */
    START,      /* start(ident, start_response, status, headers, exc_info=None) */
    IDS_FIELDS
};

typedef struct {
    PyObject_HEAD
    PyObject *fields[IDS_FIELDS];
    uint64_t state[4];
} RequestIds;

PyTypeObject *request_ids_type;

static PyObject *socket_name;

/* --- new ids -------------------------------------------------------------------------------- */

static uint64_t
rotated(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

/* xoshiro256**, by David Blackman and Sebastiano Vigna (in the public domain): ids are no secrets. */
static uint64_t
next_word(uint64_t *state)
{
    uint64_t result = rotated(state[1] * 5, 7) * 9, shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotated(state[3], 45);
    return result;
}

/* Write half a word in hexadecimal digits, eight at once: each nibble gets a byte, and each byte becomes a digit. */
static void
write_digits(Py_UCS1 *at, uint32_t half)
{
    uint64_t word = half;
    word = (word | word << 16) & 0x0000ffff0000ffff;
    word = (word | word << 8) & 0x00ff00ff00ff00ff;
    word = (word | word << 4) & 0x0f0f0f0f0f0f0f0f;
    uint64_t is_letter = (word + 0x0606060606060606) >> 4 & 0x0101010101010101;
    word += 0x3030303030303030 + is_letter * ('a' - '0' - 10);
    memcpy(at, &word, sizeof word);
}

static PyObject *
new_id(RequestIds *self)
{
    PyObject *ident = PyUnicode_New(WORDS_IN_ID * DIGITS_IN_WORD, 127);
    Py_UCS1 *at = ident == NULL ? NULL : PyUnicode_1BYTE_DATA(ident);
    for (int number = 0; ident != NULL && number < WORDS_IN_ID; number++, at += DIGITS_IN_WORD) {
        uint64_t word = next_word(self->state);
        write_digits(at, (uint32_t)word);
        write_digits(at + DIGITS_IN_WORD / 2, (uint32_t)(word >> 32));
    }
    return ident;
}

/* --- the answer ----------------------------------------------------------------------------- */

/* Whether two names are the same, whatever their case; -1: one is not plain. */
static int
is_same_name(PyObject *name, PyObject *header)
{
    if (!PyUnicode_CheckExact(name) || !PyUnicode_IS_COMPACT_ASCII(name) || !PyUnicode_IS_COMPACT_ASCII(header)) {
        return -1;
    }
    Py_ssize_t size = PyUnicode_GET_LENGTH(name), place = size == PyUnicode_GET_LENGTH(header) ? 0 : size + 1;
    const Py_UCS1 *one = PyUnicode_1BYTE_DATA(name), *other = PyUnicode_1BYTE_DATA(header);
    while (place < size && Py_TOLOWER(one[place]) == Py_TOLOWER(other[place])) { /* in every locale alike */
        place++;
    }
    return place == size;
}

/* Whether the application has said an id itself; -1: that is the twin's to find out. */
int
has_id(PyObject *ids, PyObject *headers)
{
    PyObject *header = ((RequestIds *)ids)->fields[HEADER];
    for (Py_ssize_t number = 0; number < PyList_GET_SIZE(headers); number++) {
        PyObject *pair = PyList_GET_ITEM(headers, number);
        int is_id = PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2 ? is_same_name(PyTuple_GET_ITEM(pair, 0), header) : -1;
        if (is_id) {
            return is_id;
        }
    }
    return 0;
}

/* Return the fields and one more. */
static PyObject *
headers_with(PyObject *headers, PyObject *header, PyObject *ident)
{
    Py_ssize_t count = PyList_GET_SIZE(headers);
    PyObject *pair = PyTuple_Pack(2, header, ident), *result = pair == NULL ? NULL : PyList_New(count + 1);
    if (result == NULL) {
        Py_XDECREF(pair);
        return NULL;
    }
    for (Py_ssize_t number = 0; number < count; number++) {
        PyList_SET_ITEM(result, number, Py_NewRef(PyList_GET_ITEM(headers, number)));
    }
    PyList_SET_ITEM(result, count, pair);
    return result;
}

/* Begin an answer with the id; as the twin's _start(). */
PyObject *
start_with_id(PyObject *ids, PyObject *ident, PyObject *start_response, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    RequestIds *self = (RequestIds *)ids;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    int is_usual = named == 0 && (count == 2 || count == 3) && PyList_CheckExact(args[1]);
    int is_said = is_usual ? has_id(ids, args[1]) : -1;
    if (is_said >= 0) {
        PyObject *headers = is_said ? Py_NewRef(args[1]) : headers_with(args[1], self->fields[HEADER], ident);
        PyObject *given[] = {args[0], headers, count == 3 ? args[2] : Py_None};
        PyObject *write = headers == NULL ? NULL : PyObject_Vectorcall(start_response, given, 3, NULL);
        Py_XDECREF(headers);
        return write;
    }
    PyObject **all = PyMem_New(PyObject *, 2 + count + named);
    if (all == NULL) {
        return PyErr_NoMemory();
    }
    all[0] = ident;
    all[1] = start_response;
    memcpy(all + 2, args, sizeof(PyObject *) * (size_t)(count + named));
    PyObject *write = PyObject_Vectorcall(self->fields[START], all, (size_t)(2 + count), names);
    PyMem_Free(all);
    return write;
}

/* The place of start_response; `known` is the ids, the id, and start_response itself. */
static PyObject *
start(PyObject *known, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return start_with_id(PyTuple_GET_ITEM(known, 0), PyTuple_GET_ITEM(known, 1), PyTuple_GET_ITEM(known, 2), args, count, names);
}

static PyMethodDef start_method = {
    "start_response", (PyCFunction)(void (*)(void))start, METH_FASTCALL | METH_KEYWORDS,
    "start_response(status, headers, exc_info=None)\n--\n\nBegin the answer; as PEP 3333 has it.",
};

/* --- the request ---------------------------------------------------------------------------- */

/* Put an id into an environ, unless it has something that may be one; whether it was, -1: an exception. */
static int
put_new(RequestIds *self, PyObject *environ, PyObject *ident)
{
    int is_traced = PyDict_Contains(environ, self->fields[PARENT_KEY]);
    if (is_traced) {
        return is_traced < 0 ? -1 : 0;
    }
    PyObject *found = PyDict_SetDefault(environ, self->fields[KEY], ident);
    return found == NULL ? -1 : found == ident;
}

/* Return the id that the peer says, or else this one: takes the reference to it. */
static PyObject *
said_or(RequestIds *self, PyObject *environ, PyObject *ident)
{
    PyObject *said = PyObject_CallOneArg(self->fields[SAID], environ);
    if (said != NULL && !PyUnicode_CheckExact(said)) {
        set_field(&said, Py_NewRef(ident));
    }
    if (said != NULL && PyDict_SetItem(environ, self->fields[KEY], said) < 0) {
        Py_CLEAR(said);
    }
    Py_DECREF(ident);
    return said;
}

/* Let whoever asks know the id.  The variable costs as much as all the rest: while nobody can ask, and it has no id of an
   earlier request, the client's socket has the id, for whoever asks in the middle of this one. */
static int
note(RequestIds *self, PyObject *ident, PyObject *client)
{
    if (client != NULL && PyList_GET_SIZE(self->fields[ASKERS]) == 0 && noted_id(client) != Py_None) {
        note_id(client, ident);
        return 0;
    }
    if (client != NULL) {
        note_id(client, Py_None);
    }
    PyObject *token = PyContextVar_Set(self->fields[VARIABLE], ident);
    Py_XDECREF(token);
    return token == NULL ? -1 : 0;
}

/* Give a request its id, and return it; `client` is the socket of a greenlet that serves nothing else, NULL: there is none. */
PyObject *
give_id(PyObject *ids, PyObject *environ, PyObject *client)
{
    RequestIds *self = (RequestIds *)ids;
    PyObject *ident = new_id(self);
    int is_new = ident == NULL ? -1 : put_new(self, environ, ident);
    if (is_new == 0) {
        ident = said_or(self, environ, ident);
    }
    if (is_new < 0 || ident == NULL || PyDict_SetItem(environ, self->fields[ID_KEY], ident) < 0
        || note(self, ident, client) < 0) {
        Py_CLEAR(ident);
    }
    return ident;
}

/* The variable has an id from now on, where this client's requests are served. */
static void
forget_id(PyObject *environ)
{
    PyObject *client = PyDict_GetItemWithError(environ, socket_name);
    if (client != NULL) {
        note_id(client, Py_None);
    }
    PyErr_Clear();
}

static const char call_doc[] = "call(environ, start_response)\n--\n\nServe a request; as PEP 3333 has it.";

static PyObject *
call(RequestIds *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "expected environ, a dict, and start_response");
        return NULL;
    }
    forget_id(args[0]);
    PyObject *ident = give_id((PyObject *)self, args[0], NULL), *known = NULL, *begin = NULL, *body = NULL;
    if (ident != NULL) {
        known = PyTuple_Pack(3, (PyObject *)self, ident, args[1]);
    }
    if (known != NULL) {
        begin = PyCFunction_NewEx(&start_method, known, NULL);
    }
    if (begin != NULL) {
        PyObject *given[] = {args[0], begin};
        body = PyObject_Vectorcall(self->fields[APPLICATION], given, 2, NULL);
    }
    Py_XDECREF(begin);
    Py_XDECREF(known);
    Py_XDECREF(ident);
    return body;
}

/* --- for callers in C ------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, call_doc},
    {NULL, NULL, 0, NULL},
};

/* What gives the requests of an application their ids, if that is what this one does; borrowed, or NULL. */
PyObject *
ids_behind(PyObject *application)
{
    PyObject *ids = PyCFunction_CheckExact(application) ? PyCFunction_GET_SELF(application) : NULL;
    return ids != NULL && Py_TYPE(ids) == request_ids_type ? ids : NULL;
}

PyObject *
application_with(PyObject *ids)
{
    return ((RequestIds *)ids)->fields[APPLICATION];
}

PyObject *
header_of(PyObject *ids)
{
    return ((RequestIds *)ids)->fields[HEADER];
}

/* --- the type ------------------------------------------------------------------------------- */

/* No tp_clear: all is set once (records.c). */
static int
traverse(RequestIds *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, IDS_FIELDS, visit, arg);
}

static void
deallocate(RequestIds *self)
{
    free_record((PyObject *)self, self->fields, IDS_FIELDS);
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"application", "header", "key", "parent_key", "id_key", "variable", "askers", "said",
                            "start", "seed", NULL};
    PyObject *given[IDS_FIELDS];
    Py_buffer seed;
    if (!PyArg_ParseTupleAndKeywords(args, named, "OUUUUO!O!OOy*:RequestIds", names, &given[APPLICATION], &given[HEADER],
                                     &given[KEY], &given[PARENT_KEY], &given[ID_KEY], &PyContextVar_Type, &given[VARIABLE],
                                     &PyList_Type, &given[ASKERS], &given[SAID], &given[START], &seed)) {
        return NULL;
    }
    RequestIds *self = NULL;
    static const Name made[] = {{&socket_name, "gunicorn.socket"}};
    if (make_names(made, COUNT_OF(made)) < 0) {
        PyBuffer_Release(&seed);
        return NULL;
    }
    if (seed.len != SEED_BYTES) {
        PyErr_Format(PyExc_ValueError, "expected %d bytes to seed the dice, got %zd", SEED_BYTES, seed.len);
    }
    else if ((self = (RequestIds *)type->tp_alloc(type, 0)) != NULL) {
        for (int place = 0; place < IDS_FIELDS; place++) {
            self->fields[place] = Py_NewRef(given[place]);
        }
        memcpy(self->state, seed.buf, SEED_BYTES);
        self->state[0] |= 1; /* not all of it may be 0 */
    }
    PyBuffer_Release(&seed);
    return (PyObject *)self;
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "Gives the requests of an application their ids."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec request_ids_spec = {
    .name = "nodecluster_compat._native.RequestIds",
    .basicsize = sizeof(RequestIds),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
