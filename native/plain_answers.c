/* Answer clean requests whose answers are plain; twin of _gunicorn/requests/responses.py.

   A response is an object of a Python class whose first base is PlainAnswer: its attributes are the twin's, and so are
   all its methods but start_response and write.  Those do here what the twin does with a plain answer, and call the twin
   for every other one, before anything was changed.  A name or a status is plain when gunicorn's own start_response has
   accepted it before, which is the twin's to learn (`names`, `statuses`).

   Head and body leave in one system call.  The socket never blocks; what the kernel does not take at once is given to the
   socket object's sendall, which lets other greenlets run. */

#include "native.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#define MOST_DIGITS 18
#define MOST_STARTS 128
#define MOST_FIELDS 64 /* of a plain answer */
#define MOST_PIECES 32
#define MOST_PARTS (4 + 3 * MOST_PIECES) /* the start, the fields, their end and the last chunk, and three for each piece */
#define JOINED 4096 /* up to so many bytes are copied into one place, which costs less than telling the kernel of several */
#define SIZE_LINE 20
#define MOST_COPIED (64 * 1024) /* of what the kernel does not take at once */

/* --- what all answers of a process have in common -------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *statuses; /* {status: its number} */
    PyObject *names;    /* {name: whether it is Content-Length} */
    PyObject *client;   /* the class of the sockets that are written to here */
    PyObject *process;  /* has `is_child` */
    PyObject *end_if_child;
    PyObject *starts[8]; /* by place_of_start: {status: what comes before the fields, in this second} */
    time_t second;
} Answers;

PyTypeObject *answers_type, *plain_answer_type;

static PyObject *is_child_name, *send_name, *sendall, *write_name, *python_start, *python_write,
    *start_of_head, *look, *server, *ends_connections, *should_close, *answers_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&is_child_name, "is_child"},        {&sendall, "sendall"},
        {&write_name, "write"},              {&python_start, "start_in_python"},
        {&python_write, "write_in_python"},  {&start_of_head, "_start"},
        {&look, "look"},                     {&server, "server"},
        {&ends_connections, "ends_connections"}, {&should_close, "should_close"},
        {&answers_name, "answers"},          {&send_name, "send"},
    };
    return make_names(names, COUNT_OF(names));
}

static int
traverse_answers(Answers *self, visitproc visit, void *arg)
{
    Py_VISIT(self->statuses);
    Py_VISIT(self->names);
    Py_VISIT(self->client);
    Py_VISIT(self->process);
    Py_VISIT(self->end_if_child);
    for (int place = 0; place < COUNT_OF(self->starts); place++) {
        Py_VISIT(self->starts[place]);
    }
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
free_answers(Answers *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->statuses);
    Py_XDECREF(self->names);
    Py_XDECREF(self->client);
    Py_XDECREF(self->process);
    Py_XDECREF(self->end_if_child);
    for (int place = 0; place < COUNT_OF(self->starts); place++) {
        Py_XDECREF(self->starts[place]);
    }
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
create_answers(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"statuses", "names", "client", "process", "end_if_child", NULL};
    PyObject *statuses, *known, *client, *process, *end;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "O!O!O!OO:Answers", names, &PyDict_Type, &statuses, &PyDict_Type,
                                        &known, &PyType_Type, &client, &process, &end)
        || learn_client(client) < 0) {
        return NULL;
    }
    Answers *self = (Answers *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->statuses = Py_NewRef(statuses);
    self->names = Py_NewRef(known);
    self->client = Py_NewRef(client);
    self->process = Py_NewRef(process);
    self->end_if_child = Py_NewRef(end);
    for (int place = 0; place < COUNT_OF(self->starts); place++) {
        if ((self->starts[place] = PyDict_New()) == NULL) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static PyType_Slot answers_slots[] = {
    {Py_tp_doc, "What all answers of a process have in common."},
    {Py_tp_new, create_answers},
    {Py_tp_dealloc, free_answers},
    {Py_tp_traverse, traverse_answers},
    {0, NULL},
};

PyType_Spec answers_spec = {
    .name = "nodecluster_compat._native.Answers",
    .basicsize = sizeof(Answers),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = answers_slots,
};

/* Where the application has returned to the server: a process that it has forked ends. */
int
end_if_child(PyObject *answers)
{
    Answers *self = (Answers *)answers;
    PyObject *is_child = PyObject_GetAttr(self->process, is_child_name);
    if (is_child == NULL || is_child == Py_False) {
        Py_XDECREF(is_child);
        return is_child == NULL ? -1 : 0;
    }
    Py_DECREF(is_child);
    PyObject *done = PyObject_CallNoArgs(self->end_if_child);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int
is_of_client(PyObject *answers, PyObject *sock)
{
    return (PyObject *)Py_TYPE(sock) == ((Answers *)answers)->client;
}

/* --- an answer ------------------------------------------------------------------------------ */

enum {
    REQ,
    SOCK,
    STATUS,
    CODE,
    CHUNKED,
    MUST_CLOSE,
    HEADERS_SENT,
    IS_WATCHED,
    RESPONSE_LENGTH,
    SENT,
    STREAM,
    IS_LAST,
    IS_HEAD,
    PLAIN,
    HEADERS,
    ANSWERS,
    IDS, /* what has given its request an id; NULL: nothing has */
    ID,
    ANSWER_FIELDS
};

typedef struct {
    PyObject_HEAD
    PyObject *fields[ANSWER_FIELDS];
    int lacks_id; /* its headers have no id yet, which was sent */
} PlainAnswer;

static int
traverse_answer(PlainAnswer *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, ANSWER_FIELDS, visit, arg);
}

static int
clear_answer(PlainAnswer *self)
{
    self->lacks_id = 0;
    clear_fields(self->fields, ANSWER_FIELDS);
    return 0;
}

static void
free_answer(PlainAnswer *self)
{
    free_record((PyObject *)self, self->fields, ANSWER_FIELDS);
}

/* Complete the headers, now that somebody looks at them. */
static int
append_id(PlainAnswer *self)
{
    PyObject *pair = PyTuple_Pack(2, header_of(self->fields[IDS]), self->fields[ID]);
    int result = pair == NULL ? -1 : PyList_Append(self->fields[HEADERS], pair);
    Py_XDECREF(pair);
    self->lacks_id = result < 0;
    return result;
}

static PyObject *
get_headers(PlainAnswer *self, void *unused)
{
    if (self->fields[HEADERS] == NULL && (self->fields[HEADERS] = PyList_New(0)) == NULL) {
        return NULL;
    }
    return self->lacks_id && append_id(self) < 0 ? NULL : Py_NewRef(self->fields[HEADERS]);
}

static int
set_headers(PlainAnswer *self, PyObject *value, void *unused)
{
    self->lacks_id = 0;
    set_field(&self->fields[HEADERS], Py_XNewRef(value));
    return 0;
}

PyObject *
new_answer(PyTypeObject *type, PyObject *answers, PyObject *request, PyObject *sock, int is_head)
{
    PlainAnswer *self = (PlainAnswer *)type->tp_alloc(type, 0);
    if (self == NULL || (self->fields[SENT] = PyLong_FromLong(0)) == NULL) {
        Py_XDECREF(self);
        return NULL;
    }
    static const int nothing[] = {STATUS, RESPONSE_LENGTH, STREAM, IS_LAST, PLAIN};
    static const int no[] = {CHUNKED, MUST_CLOSE, HEADERS_SENT, IS_WATCHED};
    for (int place = 0; place < COUNT_OF(nothing); place++) {
        self->fields[nothing[place]] = Py_NewRef(Py_None);
    }
    for (int place = 0; place < COUNT_OF(no); place++) {
        self->fields[no[place]] = Py_NewRef(Py_False);
    }
    self->fields[REQ] = Py_NewRef(request);
    self->fields[SOCK] = Py_NewRef(sock);
    self->fields[IS_HEAD] = PyBool_FromLong(is_head);
    self->fields[ANSWERS] = Py_NewRef(answers);
    return (PyObject *)self;
}

/* Return what all answers have in common, borrowed; NULL: this one was made without. */
static Answers *
answers_of(PlainAnswer *self)
{
    if (self->fields[ANSWERS] == NULL) {
        PyObject *found = PyObject_GetAttr((PyObject *)Py_TYPE(self), answers_name);
        if (found == NULL || Py_TYPE(found) != answers_type) {
            PyErr_Clear();
            Py_XDECREF(found);
            return NULL;
        }
        self->fields[ANSWERS] = found;
    }
    return (Answers *)self->fields[ANSWERS];
}

/* Whether it has all that an answer begins with: Python can make one without, or delete something. */
static int
is_whole(PlainAnswer *self)
{
    for (int place = 0; place < HEADERS; place++) {
        if (self->fields[place] == NULL && place != CODE) {
            return 0;
        }
    }
    return 1;
}

static int
is_set(PlainAnswer *self, int place)
{
    return self->fields[place] == Py_True;
}

static int
is_none(PlainAnswer *self, int place)
{
    return self->fields[place] == Py_None;
}

PyObject *
status_of(PyObject *answer)
{
    PyObject *status = ((PlainAnswer *)answer)->fields[STATUS];
    return status == NULL ? Py_None : status;
}

PyObject *
sent_of(PyObject *answer)
{
    return ((PlainAnswer *)answer)->fields[SENT];
}

int
is_watched(PyObject *answer)
{
    return !(((PlainAnswer *)answer)->fields[IS_WATCHED] == Py_False);
}

void
set_stream(PyObject *answer, PyObject *stream)
{
    set_field(&((PlainAnswer *)answer)->fields[STREAM], Py_NewRef(stream));
}

void
set_last(PyObject *answer, PyObject *is_last)
{
    set_field(&((PlainAnswer *)answer)->fields[IS_LAST], is_last);
}

/* The answer has the id of its request, unless the application says one itself. */
void
set_id(PyObject *answer, PyObject *ids, PyObject *ident)
{
    PyObject **fields = ((PlainAnswer *)answer)->fields;
    set_field(&fields[IDS], Py_NewRef(ids));
    set_field(&fields[ID], Py_NewRef(ident));
}

/* Whether something is still to be sent when all of the body was written. */
int
is_unfinished(PyObject *answer)
{
    PyObject **fields = ((PlainAnswer *)answer)->fields;
    return fields[CHUNKED] != Py_False || fields[HEADERS_SENT] != Py_True;
}

/* Whether the answer is the last one of its connection; -1: an exception. */
int
is_last_of(PyObject *answer)
{
    PlainAnswer *self = (PlainAnswer *)answer;
    if (PyBool_Check(self->fields[IS_LAST]) && self->fields[MUST_CLOSE] == Py_False) {
        return is_set(self, IS_LAST);
    }
    PyObject *said = PyObject_CallMethodNoArgs(answer, should_close);
    int result = said == NULL ? -1 : PyObject_IsTrue(said);
    Py_XDECREF(said);
    return result;
}

/* --- start_response ------------------------------------------------------------------------- */

/* What a field says. */
typedef struct {
    const char *name, *value;
    Py_ssize_t name_size, value_size;
    int is_length;
} Field;

/* Whether eight characters of ASCII are printable. */
static int
are_printable(const char *begin)
{
    uint64_t word, highest = 0x8080808080808080;
    memcpy(&word, begin, sizeof word);
    return ((word + 0x6060606060606060) & ~(word + 0x0101010101010101) & highest) == highest;
}

/* The characters of text that is printable ASCII; NULL: it is not. */
static const char *
printable(PyObject *text, Py_ssize_t *size)
{
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
        return NULL;
    }
    const char *begin = (const char *)PyUnicode_1BYTE_DATA(text);
    *size = PyUnicode_GET_LENGTH(text);
    Py_ssize_t at = 0;
    while (at + 8 <= *size && are_printable(begin + at)) {
        at += 8;
    }
    for (; at < *size; at++) {
        if (begin[at] < ' ' || begin[at] > '~') {
            return NULL;
        }
    }
    return begin;
}

static int
is_number(const Field *field)
{
    for (Py_ssize_t at = 0; at < field->value_size; at++) {
        if (field->value[at] < '0' || field->value[at] > '9') {
            return 0;
        }
    }
    return field->value_size > 0 && field->value_size <= MOST_DIGITS;
}

/* Read a field; 0: it is not plain; -1: an exception. */
static int
read_field(Answers *answers, PyObject *name, PyObject *value, Field *field)
{
    if (!PyUnicode_CheckExact(name)) {
        return 0;
    }
    PyObject *is_length = PyDict_GetItemWithError(answers->names, name);
    if (is_length == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    field->name = printable(name, &field->name_size);
    field->value = printable(value, &field->value_size);
    if (field->name == NULL || field->value == NULL) {
        return 0;
    }
    if (field->value_size && (field->value[0] == ' ' || field->value[field->value_size - 1] == ' ')) {
        return 0;
    }
    field->is_length = is_length == Py_True;
    return !field->is_length || is_number(field);
}

static char *
put_text(char *at, const char *text, Py_ssize_t size)
{
    memcpy(at, text, (size_t)size);
    return at + size;
}

static char *
put_field(char *at, const Field *field)
{
    at = put_text(put_text(at, field->name, field->name_size), ": ", 2);
    return put_text(put_text(at, field->value, field->value_size), "\r\n", 2);
}

/* What an answer has in its head behind what the server says. */
typedef struct {
    Field fields[MOST_FIELDS + 1];
    Py_ssize_t count, size; /* size: in bytes, as they are sent */
    PyObject *length;       /* that the last one says; NULL: none does */
} Fields;

/* Read one more field; 0: it is not plain; -1: an exception. */
static int
add_field(Answers *answers, Fields *fields, PyObject *name, PyObject *value)
{
    Field *field = &fields->fields[fields->count++];
    int outcome = read_field(answers, name, value, field);
    fields->size += outcome > 0 ? field->name_size + field->value_size + 4 : 0;
    if (outcome > 0 && field->is_length) {
        set_field(&fields->length, PyLong_FromUnicodeObject(value, 10));
        return fields->length == NULL ? -1 : 1;
    }
    return outcome;
}

/* Read those of the application; 0: one is not plain, or there are too many; -1: an exception. */
static int
add_fields(Answers *answers, Fields *fields, PyObject *headers)
{
    int outcome = PyList_GET_SIZE(headers) <= MOST_FIELDS;
    for (Py_ssize_t number = 0; outcome > 0 && number < PyList_GET_SIZE(headers); number++) {
        PyObject *pair = PyList_GET_ITEM(headers, number);
        int is_pair = PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2;
        outcome = is_pair ? add_field(answers, fields, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)) : 0;
    }
    return outcome;
}

/* Read the id, unless the application says one; 0: that is not for C to find out, or it is not plain; -1: an exception. */
static int
add_id(PlainAnswer *self, Answers *answers, Fields *fields, PyObject *headers, int *is_added)
{
    PyObject *ids = self->fields[IDS];
    int is_said = ids == NULL ? 1 : has_id(ids, headers);
    *is_added = is_said == 0;
    return is_said ? is_said > 0 : add_field(answers, fields, header_of(ids), self->fields[ID]);
}

/* Return the fields as they are sent. */
static PyObject *
sent_fields(const Fields *fields)
{
    PyObject *plain = PyBytes_FromStringAndSize(NULL, fields->size);
    char *at = plain == NULL ? NULL : PyBytes_AS_STRING(plain);
    for (Py_ssize_t number = 0; at != NULL && number < fields->count; number++) {
        at = put_field(at, &fields->fields[number]);
    }
    return plain;
}

/* Keep what a plain answer says: takes the reference to its code. */
static int
keep(PlainAnswer *self, PyObject *status, PyObject *code, PyObject *headers, const Fields *fields)
{
    PyObject *plain = sent_fields(fields), *copied = plain == NULL ? NULL : PyList_GetSlice(headers, 0, PyList_GET_SIZE(headers));
    if (copied == NULL) {
        Py_XDECREF(plain);
        return -1;
    }
    set_field(&self->fields[STATUS], Py_NewRef(status));
    set_field(&self->fields[CODE], Py_NewRef(code));
    set_field(&self->fields[HEADERS], copied);
    set_field(&self->fields[PLAIN], plain);
    if (fields->length == NULL) {
        set_field(&self->fields[CHUNKED], PyBool_FromLong(minor_of(self->fields[REQ]) == 1));
    }
    else {
        set_field(&self->fields[RESPONSE_LENGTH], Py_NewRef(fields->length));
    }
    return 1;
}

/* Take a plain answer; 0: it is not plain, and nothing was changed; -1: an exception. */
static int
take_plain(PlainAnswer *self, PyObject *status, PyObject *headers)
{
    Answers *answers = answers_of(self);
    if (answers == NULL || minor_of(self->fields[REQ]) < 0 || !PyUnicode_CheckExact(status) || !PyList_CheckExact(headers)
        || self->fields[IS_HEAD] != Py_False) {
        return 0;
    }
    PyObject *code = PyDict_GetItemWithError(answers->statuses, status);
    if (code == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Fields fields;
    fields.count = fields.size = 0;
    fields.length = NULL;
    int is_added, outcome = add_fields(answers, &fields, headers);
    if (outcome > 0) {
        outcome = add_id(self, answers, &fields, headers, &is_added);
    }
    if (outcome > 0) {
        outcome = keep(self, status, code, headers, &fields);
    }
    if (outcome > 0) {
        self->lacks_id = is_added;
    }
    Py_XDECREF(fields.length);
    return outcome;
}

static PyObject *
start_response(PlainAnswer *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    int is_usual = names == NULL && (count == 2 || (count == 3 && args[2] == Py_None));
    int outcome = is_usual && is_whole(self) && is_none(self, STATUS) ? take_plain(self, args[0], args[1]) : 0;
    if (outcome < 0) {
        return NULL;
    }
    if (outcome > 0) {
        return PyObject_GetAttr((PyObject *)self, write_name);
    }
    PyObject *start = PyObject_GetAttr((PyObject *)self, python_start), *result = NULL;
    if (start != NULL && self->fields[IDS] != NULL) {
        result = start_with_id(self->fields[IDS], self->fields[ID], start, args, count, names);
    }
    else if (start != NULL) {
        result = PyObject_Vectorcall(start, args, (size_t)count, names);
    }
    Py_XDECREF(start);
    return result;
}

/* --- the head ------------------------------------------------------------------------------- */

/* In a drain, answers are the last ones of their connections; -1: an exception. */
static int
look_for_drain(PlainAnswer *self)
{
    PyObject *of = PyObject_GetAttr((PyObject *)self, server);
    PyObject *ends = of == NULL || of == Py_None ? Py_XNewRef(of) : PyObject_GetAttr(of, ends_connections);
    int is_true = ends == NULL ? -1 : ends == Py_False || ends == Py_None ? 0 : PyObject_IsTrue(ends);
    if (is_true > 0) {
        set_field(&self->fields[MUST_CLOSE], Py_NewRef(Py_True));
    }
    Py_XDECREF(of);
    Py_XDECREF(ends);
    return is_true < 0 ? -1 : 0;
}

/* Find out whether this is the last answer of its connection, as its head will say; -1: an exception. */
static int
note_whether_last(PlainAnswer *self)
{
    int is_last;
    if (look_for_drain(self) < 0) {
        return -1;
    }
    if (is_none(self, RESPONSE_LENGTH) && !is_set(self, CHUNKED)) {
        PyObject *said = PyObject_CallMethodNoArgs((PyObject *)self, should_close);
        is_last = said == NULL ? -1 : PyObject_IsTrue(said);
        Py_XDECREF(said);
    }
    else {
        is_last = self->fields[MUST_CLOSE] != Py_False ? 1 : ends_connection(self->fields[REQ]);
    }
    if (is_last >= 0) {
        set_field(&self->fields[IS_LAST], PyBool_FromLong(is_last));
    }
    return is_last;
}

static void
forget_old_starts(Answers *answers)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != answers->second) {
        for (int place = 0; place < COUNT_OF(answers->starts); place++) {
            PyDict_Clear(answers->starts[place]);
        }
        answers->second = now.tv_sec;
    }
}

/* Return what comes before the application's fields, a new reference; it is kept while its Date is right. */
static PyObject *
start_of(PlainAnswer *self, Answers *answers, int is_last)
{
    int minor = minor_of(self->fields[REQ]);
    PyObject *status = self->fields[STATUS];
    forget_old_starts(answers);
    PyObject *starts = answers->starts[is_last | is_set(self, CHUNKED) << 1 | (minor == 1) << 2];
    PyObject *start = Py_XNewRef(PyDict_GetItemWithError(starts, status));
    if (start != NULL || PyErr_Occurred()) {
        return start;
    }
    start = PyObject_CallMethodOneArg((PyObject *)self, start_of_head, is_last ? Py_True : Py_False);
    if (start != NULL && !PyBytes_CheckExact(start)) {
        PyErr_SetString(PyExc_TypeError, "expected the beginning of a head in bytes");
        Py_CLEAR(start);
    }
    if (start != NULL && PyDict_GET_SIZE(starts) < MOST_STARTS && PyDict_SetItem(starts, status, start) < 0) {
        Py_CLEAR(start);
    }
    return start;
}

/* --- what is sent --------------------------------------------------------------------------- */

typedef struct {
    struct iovec parts[MOST_PARTS];
    char size_lines[MOST_PIECES][SIZE_LINE];
    int count;
    size_t size;
    PyObject *last; /* the piece that the last part is the beginning of, if it is of one */
} Parts;

static void
add_part(Parts *parts, const char *begin, Py_ssize_t size)
{
    if (size) {
        assert(parts->count < MOST_PARTS);
        parts->parts[parts->count++] = (struct iovec){(void *)begin, (size_t)size};
        parts->size += (size_t)size;
    }
}

static void
add_bytes(Parts *parts, PyObject *bytes)
{
    add_part(parts, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
}

static void
add_chunk(Parts *parts, int number, PyObject *piece)
{
    if (PyBytes_GET_SIZE(piece)) { /* an empty one would be the end */
        char *line = parts->size_lines[number];
        add_part(parts, line, PyOS_snprintf(line, SIZE_LINE, "%zX\r\n", (size_t)PyBytes_GET_SIZE(piece)));
        add_bytes(parts, piece);
        add_part(parts, "\r\n", 2);
    }
}

/* Add pieces of the body, not more than its length; return how many bytes of it there are. */
static Py_ssize_t
add_body(Parts *parts, PyObject **pieces, Py_ssize_t count, Py_ssize_t length, int is_chunked)
{
    Py_ssize_t sent = 0;
    for (int number = 0; number < count; number++) {
        Py_ssize_t size = PyBytes_GET_SIZE(pieces[number]);
        if (is_chunked) {
            add_chunk(parts, number, pieces[number]);
        }
        else {
            size = length >= 0 && size > length - sent ? length - sent : size;
            add_part(parts, PyBytes_AS_STRING(pieces[number]), size);
            parts->last = size ? pieces[number] : parts->last;
        }
        sent += size;
    }
    return sent;
}

/* Copy what is left behind the first bytes, at most so much. */
static PyObject *
copied(const Parts *parts, size_t done, size_t most)
{
    size_t left = parts->size - done < most ? parts->size - done : most;
    PyObject *copy = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)left);
    char *at = copy == NULL ? NULL : PyBytes_AS_STRING(copy);
    for (int number = 0; at != NULL && left && number < parts->count; number++) {
        const struct iovec *part = &parts->parts[number];
        if (done < part->iov_len) {
            size_t size = part->iov_len - done < left ? part->iov_len - done : left;
            at = put_text(at, (const char *)part->iov_base + done, (Py_ssize_t)size);
            left -= size;
            done = 0;
        }
        else {
            done -= part->iov_len;
        }
    }
    return copy;
}

/* Return a view of the end of a piece. */
static PyObject *
view_of(PyObject *piece, Py_ssize_t begin, Py_ssize_t end)
{
    PyObject *whole = PyMemoryView_FromObject(piece);
    PyObject *view = whole == NULL ? NULL : PySequence_GetSlice(whole, begin, end);
    Py_XDECREF(whole);
    return view;
}

/* Give the socket object what the kernel did not take; a large piece at the end is not copied. */
static int
send_rest(PyObject *sock, const Parts *parts, size_t done)
{
    size_t left = parts->size - done;
    Py_ssize_t end = parts->last == NULL ? 0 : (Py_ssize_t)parts->parts[parts->count - 1].iov_len;
    int is_large = left > MOST_COPIED && left <= (size_t)end;
    PyObject *rest = is_large ? view_of(parts->last, end - (Py_ssize_t)left, end) : copied(parts, done, left);
    PyObject *sent = rest == NULL ? NULL : PyObject_CallMethodOneArg(sock, sendall, rest);
    Py_XDECREF(rest);
    Py_XDECREF(sent);
    return sent == NULL ? -1 : 0;
}

static ssize_t
send_joined(int fd, const Parts *parts)
{
    char joined[JOINED], *at = joined;
    for (int number = 0; number < parts->count; number++) {
        at = put_text(at, parts->parts[number].iov_base, (Py_ssize_t)parts->parts[number].iov_len);
    }
    return send(fd, joined, parts->size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t
send_parts(int fd, Parts *parts)
{
    if (parts->size <= JOINED) {
        return send_joined(fd, parts);
    }
    struct msghdr message = {.msg_iov = parts->parts, .msg_iovlen = (size_t)parts->count};
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Let the socket object send what it can, and wait until that is something; -1: an exception, and nothing has gone. */
static Py_ssize_t
send_some(PyObject *sock, const Parts *parts)
{
    PyObject *all = copied(parts, 0, MOST_COPIED);
    PyObject *sent = all == NULL ? NULL : PyObject_CallMethodOneArg(sock, send_name, all);
    Py_XDECREF(all);
    Py_ssize_t done = sent == NULL ? -1 : PyLong_AsSsize_t(sent);
    Py_XDECREF(sent);
    if (!PyErr_Occurred() && (done < 0 || done > (Py_ssize_t)parts->size)) {
        PyErr_Format(PyExc_ValueError, "expected send() to take at most %zu bytes, got %zd", parts->size, done);
    }
    return PyErr_Occurred() ? -1 : done;
}

/* Send the first of it; -1: an exception, and nothing has gone. */
static Py_ssize_t
send_first(PyObject *sock, Answers *answers, Parts *parts)
{
    int fd = is_of_client((PyObject *)answers, sock) ? descriptor_of(sock) : -1;
    ssize_t sent = fd < 0 ? -1 : send_parts(fd, parts);
    if (sent >= 0) {
        return sent;
    }
    if (fd >= 0 && errno != EAGAIN && errno != EINTR) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return send_some(sock, parts);
}

/* --- the answer in one send ------------------------------------------------------------------ */

/* A stream looks at its client before its answer begins; -1: an exception. */
static int
let_look(PlainAnswer *self, Py_ssize_t sent, Py_ssize_t length)
{
    PyObject *stream = self->fields[STREAM];
    if (stream == Py_None || sent == length) {
        return 0;
    }
    PyObject *done = PyObject_CallMethodNoArgs(stream, look);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Send the head and pieces of the body; `is_all`: there are no others.  -1: an exception. */
static int
send_answer(PlainAnswer *self, PyObject **pieces, Py_ssize_t count, int is_all)
{
    Answers *answers = answers_of(self);
    Parts parts = {.count = 0, .size = 0, .last = NULL};
    int is_chunked = is_set(self, CHUNKED);
    Py_ssize_t length = is_none(self, RESPONSE_LENGTH) ? -1 : PyLong_AsSsize_t(self->fields[RESPONSE_LENGTH]);
    if (length == -1 && PyErr_Occurred()) {
        return -1;
    }
    PyObject *sock = Py_NewRef(self->fields[SOCK]), *plain = Py_NewRef(self->fields[PLAIN]), *start = NULL;
    int result = -1, is_last = note_whether_last(self);
    if (is_last < 0 || (start = start_of(self, answers, is_last)) == NULL) {
        goto done;
    }
    add_bytes(&parts, start);
    add_bytes(&parts, plain);
    add_part(&parts, "\r\n", 2);
    Py_ssize_t sent = add_body(&parts, pieces, count, length, is_chunked);
    if (is_all && is_chunked) {
        add_part(&parts, "0\r\n\r\n", 5);
    }
    PyObject *number = let_look(self, sent, length) < 0 ? NULL : PyLong_FromSsize_t(sent);
    if (number == NULL) {
        goto done;
    }
    set_field(&self->fields[SENT], number);
    set_field(&self->fields[HEADERS_SENT], Py_NewRef(Py_True));
    Py_ssize_t done = send_first(sock, answers, &parts);
    if (done < 0 && PyErr_ExceptionMatches(PyExc_OSError)) {
        set_field(&self->fields[HEADERS_SENT], Py_NewRef(Py_False));
        set_field(&self->fields[SENT], PyLong_FromLong(0));
    }
    result = done < 0 ? -1 : (size_t)done == parts.size ? 0 : send_rest(sock, &parts, (size_t)done);
done:
    Py_XDECREF(start);
    Py_DECREF(plain);
    Py_DECREF(sock);
    return result;
}

/* Whether a list that the application has returned can be sent with its head, all of it at once. */
int
can_send_all(PyObject *answer, PyObject *pieces)
{
    PlainAnswer *self = (PlainAnswer *)answer;
    if (!is_whole(self) || !PyBytes_CheckExact(self->fields[PLAIN]) || self->fields[HEADERS_SENT] != Py_False
        || answers_of(self) == NULL || PyList_GET_SIZE(pieces) > MOST_PIECES) {
        return 0;
    }
    for (Py_ssize_t number = 0; number < PyList_GET_SIZE(pieces); number++) {
        if (!PyBytes_CheckExact(PyList_GET_ITEM(pieces, number))) {
            return 0;
        }
    }
    return 1;
}

int
send_all(PyObject *answer, PyObject *pieces)
{
    Py_ssize_t count = PyList_GET_SIZE(pieces);
    PyObject *kept[MOST_PIECES]; /* a list can be changed while others run */
    for (Py_ssize_t number = 0; number < count; number++) {
        kept[number] = Py_NewRef(PyList_GET_ITEM(pieces, number));
    }
    int result = send_answer((PlainAnswer *)answer, kept, count, 1);
    for (Py_ssize_t number = 0; number < count; number++) {
        Py_DECREF(kept[number]);
    }
    return result;
}

static PyObject *
write_piece(PlainAnswer *self, PyObject *piece)
{
    Answers *answers = is_whole(self) ? answers_of(self) : NULL;
    if (answers != NULL && PyBytes_CheckExact(self->fields[PLAIN]) && self->fields[HEADERS_SENT] == Py_False
        && PyBytes_CheckExact(piece)) {
        if (end_if_child((PyObject *)answers) < 0 || send_answer(self, &piece, 1, 0) < 0) {
            return NULL;
        }
        return Py_NewRef(Py_None);
    }
    return PyObject_CallMethodOneArg((PyObject *)self, python_write, piece);
}

/* --- the type ------------------------------------------------------------------------------- */

static PyMemberDef members[] = {
    FIELD(PlainAnswer, "req", REQ),
    FIELD(PlainAnswer, "sock", SOCK),
    FIELD(PlainAnswer, "status", STATUS),
    FIELD(PlainAnswer, "status_code", CODE),
    FIELD(PlainAnswer, "chunked", CHUNKED),
    FIELD(PlainAnswer, "must_close", MUST_CLOSE),
    FIELD(PlainAnswer, "headers_sent", HEADERS_SENT),
    FIELD(PlainAnswer, "is_watched", IS_WATCHED),
    FIELD(PlainAnswer, "response_length", RESPONSE_LENGTH),
    FIELD(PlainAnswer, "sent", SENT),
    FIELD(PlainAnswer, "stream", STREAM),
    FIELD(PlainAnswer, "is_last", IS_LAST),
    FIELD(PlainAnswer, "_is_head", IS_HEAD),
    FIELD(PlainAnswer, "_plain", PLAIN),
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getters[] = {
    {"headers", (getter)get_headers, (setter)set_headers, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef methods[] = {
    {"start_response", (PyCFunction)(void (*)(void))start_response, METH_FASTCALL | METH_KEYWORDS,
     "start_response(status, headers, exc_info=None)\n--\n\nBegin the answer; as PEP 3333 has it."},
    {"write", (PyCFunction)write_piece, METH_O, "write(arg)\n--\n\nSend a piece of the body; as PEP 3333 has it."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "The attributes of an answer, and what a plain one does with them."},
    {Py_tp_dealloc, free_answer},
    {Py_tp_traverse, traverse_answer},
    {Py_tp_clear, clear_answer},
    {Py_tp_members, members},
    {Py_tp_getset, getters},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec plain_answer_spec = {
    .name = "nodecluster_compat._native.PlainAnswer",
    .basicsize = sizeof(PlainAnswer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
