/* Answer clean requests whose answers are plain; twin of _gunicorn/requests/responses.py.

   A response is an object of a Python class whose first base is PlainAnswer: its attributes are the twin's, and so are
   all its methods but start_response and write.  Those do here what the twin does with a plain answer, and call the twin
   for every other one, before anything was changed.  A name or a status is plain when gunicorn's own start_response has
   accepted it before, which is the twin's to learn (`names`, `statuses`).

   This file has the answer and its attributes; answers.c what all of them share, plain_fields.c what start_response is
   told, answer_starts.c what a head begins with, answer_sends.c the one call in which head and body leave, and
   answer_parts.c how the kernel gets them. */

#include "plain_answers.h"

PyTypeObject *plain_answer_type;

static PyObject *write_name, *python_start, *python_write, *should_close, *answers_name;

static int
prepare(void)
{
    static const Name names[] = {
        {&write_name, "write"},
        {&python_start, "start_in_python"},
        {&python_write, "write_in_python"},
        {&should_close, "should_close"},
        {&answers_name, "answers"},
    };
    return make_names(names, COUNT_OF(names));
}

int
prepare_plain_answers(void)
{
    int has_names = prepare() == 0 && prepare_answer_starts() == 0 && prepare_answer_parts() == 0;
    return has_names && prepare_answer_sends() == 0 ? 0 : -1;
}

/* --- its attributes ---------------------------------------------------------------------------- */

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

/* --- what others ask of it --------------------------------------------------------------------- */

/* Return what all answers have in common, borrowed; NULL: this one was made without. */
Answers *
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
int
is_whole_answer(PlainAnswer *self)
{
    for (int place = 0; place < HEADERS; place++) {
        if (self->fields[place] == NULL && place != CODE) {
            return 0;
        }
    }
    return 1;
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
    PyObject *sent = ((PlainAnswer *)answer)->fields[SENT];
    return sent == NULL ? Py_None : sent;
}

int
is_watched(PyObject *answer)
{
    return !(((PlainAnswer *)answer)->fields[IS_WATCHED] == Py_False);
}

void
set_watched(PyObject *answer)
{
    set_field(&((PlainAnswer *)answer)->fields[IS_WATCHED], Py_NewRef(Py_True));
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
    if (self->fields[IS_LAST] != NULL && PyBool_Check(self->fields[IS_LAST]) && self->fields[MUST_CLOSE] == Py_False) {
        return is_set(self, IS_LAST);
    }
    PyObject *said = PyObject_CallMethodNoArgs(answer, should_close);
    int result = said == NULL ? -1 : PyObject_IsTrue(said);
    Py_XDECREF(said);
    return result;
}

/* --- what an application calls ----------------------------------------------------------------- */

/* What is not plain, the twin takes or refuses; the application is to have the id of the request in its fields. */
static PyObject *
start_in_python(PlainAnswer *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
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

static PyObject *
start_response(PlainAnswer *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    int is_usual = names == NULL && (count == 2 || (count == 3 && args[2] == Py_None));
    int outcome = is_usual && is_whole_answer(self) && is_none(self, STATUS) ? take_plain(self, args[0], args[1]) : 0;
    if (outcome < 0) {
        return NULL;
    }
    return outcome > 0 ? PyObject_GetAttr((PyObject *)self, write_name) : start_in_python(self, args, count, names);
}

static PyObject *
write_piece(PlainAnswer *self, PyObject *piece)
{
    Answers *answers = is_whole_answer(self) ? answers_of(self) : NULL;
    if (answers != NULL && PyBytes_CheckExact(self->fields[PLAIN]) && self->fields[HEADERS_SENT] == Py_False
        && PyBytes_CheckExact(piece)) {
        if (end_if_child((PyObject *)answers) < 0 || send_answer(self, &piece, 1, 0) < 0) {
            return NULL;
        }
        return Py_NewRef(Py_None);
    }
    return PyObject_CallMethodOneArg((PyObject *)self, python_write, piece);
}

/* --- the type ---------------------------------------------------------------------------------- */

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
