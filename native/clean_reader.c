/* Read the head of a clean request: bytes in, a request and its environ out; twin of _gunicorn/requests/clean_reader.py.

   picohttpparser finds the parts of a head, in the state in which gunicorn_h1c has it (every line ends with CRLF).  What
   is taken here is less than gunicorn_h1c takes and the Python twin finds clean:

   * the first line is an ordinary method, a target of the characters that the twin's expression has, and HTTP/1.0 or 1.1;
   * the name of every field has been met before, so Python has found it ordinary (`keys`); none occurs twice;
   * a length of the body is digits, and what Connection says has been judged before (`verdicts`);
   * one field at most says the scheme on behalf of a proxy, which Python judges (`tell_scheme`).

   Everything else is left to the twin, which reads the same bytes from the beginning.  This file has what reads a head and
   makes the request (plain_request.c); clean_line.c is for the first line, clean_fields.c for the others. */

#include "clean_reader.h"

PyTypeObject *clean_heads_type;

static PyObject *numbers[2];

static int
prepare(void)
{
    for (int minor = 0; minor < COUNT_OF(numbers); minor++) {
        if (numbers[minor] == NULL && (numbers[minor] = PyLong_FromLong(minor)) == NULL) {
            return -1;
        }
    }
    return prepare_clean_line() < 0 ? -1 : prepare_clean_fields();
}

/* --- a head ------------------------------------------------------------------------------------ */

static PyObject *
new_request(CleanHeads *self, PyObject *data, const Head *head, PyObject *verdict)
{
    PyObject *length = PyLong_FromSsize_t(head->length);
    PlainRequest *request = length == NULL ? NULL : (PlainRequest *)self->request->tp_alloc(self->request, 0);
    if (request == NULL) {
        Py_XDECREF(length);
        return NULL;
    }
    request->fields[LINE] = Py_NewRef(data);
    request->fields[MINOR] = Py_NewRef(numbers[head->minor]);
    request->fields[LENGTH] = length;
    request->fields[ENDS] = Py_NewRef(verdict);
    request->fields[MUST_CLOSE] = Py_NewRef(Py_False);
    return (PyObject *)request;
}

/* Let a proxy say the scheme; 0: there is more about it than C knows. */
static int
settle_scheme(CleanHeads *self, const Head *head)
{
    for (Py_ssize_t number = 0; number < PyTuple_GET_SIZE(self->schemes); number++) {
        int is_there = PyDict_Contains(head->environ, PyTuple_GET_ITEM(self->schemes, number));
        if (is_there != 0) {
            PyObject *told = NULL;
            if (is_there > 0) {
                told = PyObject_CallFunctionObjArgs(self->tell_scheme, head->request, head->environ, NULL);
            }
            int result = told == NULL ? -1 : PyObject_IsTrue(told);
            Py_XDECREF(told);
            return result;
        }
    }
    return 1;
}

/* Fill in a head whose environ is there: 1, or 0 and -1 as below. */
static int
fill_head(CleanHeads *self, PyObject *data, const Parsed *parsed, Head *head)
{
    int outcome = put_fields(self, head->environ, parsed);
    if (outcome > 0) {
        outcome = read_length(head->environ, &head->length);
    }
    if (outcome <= 0) {
        return outcome;
    }
    PyObject *verdict = verdict_of(self, head->environ, parsed->minor);
    if (verdict == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    head->minor = parsed->minor;
    if (put_line(self, head->environ, parsed) < 0) {
        return -1;
    }
    head->request = new_request(self, data, head, verdict);
    outcome = head->request == NULL ? -1 : settle_scheme(self, head);
    if (outcome <= 0) {
        Py_CLEAR(head->request);
    }
    return outcome;
}

/* Read a head: 1, and the head is filled in; 0: the twin is to read it; -1: an exception. */
int
read_head(PyObject *heads, PyObject *data, PyObject *base, Head *head)
{
    CleanHeads *self = (CleanHeads *)heads;
    Parsed parsed;
    const char *begin = PyBytes_AS_STRING(data);
    parsed.count = (size_t)self->count;
    int consumed = phr_parse_request(begin, (size_t)PyBytes_GET_SIZE(data), &parsed.method, &parsed.method_size,
                                     &parsed.target, &parsed.target_size, &parsed.minor, parsed.fields, &parsed.count, 0);
    if (consumed <= 0 || !is_ordinary_line(self, &parsed, begin)) {
        return 0;
    }
    head->request = NULL;
    head->consumed = consumed;
    head->environ = PyDict_Copy(base);
    int outcome = head->environ == NULL ? -1 : fill_head(self, data, &parsed, head);
    if (outcome <= 0) {
        Py_CLEAR(head->environ);
    }
    return outcome;
}

static const char read_doc[] =
    "read(data, base)\n--\n\n"
    "Return the request at the beginning of data, its environ, and what follows its head; None: the twin is to read it.";

static PyObject *
read_bytes(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Head head;
    if (count != 2 || !PyBytes_CheckExact(args[0]) || !PyDict_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "read() takes a bytes object and a dict");
        return NULL;
    }
    int outcome = read_head(self, args[0], args[1], &head);
    if (outcome <= 0) {
        return outcome < 0 ? NULL : Py_NewRef(Py_None);
    }
    const char *begin = PyBytes_AS_STRING(args[0]);
    return Py_BuildValue("NNy#", head.request, head.environ, begin + head.consumed,
                         PyBytes_GET_SIZE(args[0]) - head.consumed);
}

/* --- its life ---------------------------------------------------------------------------------- */

/* No tp_clear: all is set once (records.c). */
static int
traverse_heads(CleanHeads *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->keys);
    Py_VISIT(self->verdicts[0]);
    Py_VISIT(self->verdicts[1]);
    Py_VISIT(self->unquote);
    Py_VISIT(self->schemes);
    Py_VISIT(self->tell_scheme);
    Py_VISIT(self->request);
    return 0;
}

static void
free_heads(CleanHeads *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    for (int place = 0; place < KNOWN; place++) {
        Py_XDECREF(self->names[place].spelling);
        Py_XDECREF(self->names[place].known);
    }
    Py_XDECREF(self->keys);
    Py_XDECREF(self->verdicts[0]);
    Py_XDECREF(self->verdicts[1]);
    Py_XDECREF(self->unquote);
    Py_XDECREF(self->schemes);
    Py_XDECREF(self->tell_scheme);
    Py_XDECREF(self->request);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
create_heads(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"keys",        "http10", "http11", "unquote", "request", "schemes",
                            "tell_scheme", "line",   "count",  "size",    NULL};
    PyObject *keys, *verdicts[2], *unquote, *request, *schemes, *tell_scheme;
    Py_ssize_t line, count, size;
    if (prepare() < 0
        || !PyArg_ParseTupleAndKeywords(args, named, "O!O!O!OO!O!O$nnn:CleanHeads", names, &PyDict_Type, &keys,
                                        &PyDict_Type, &verdicts[0], &PyDict_Type, &verdicts[1], &unquote, &PyType_Type,
                                        &request, &PyTuple_Type, &schemes, &tell_scheme, &line, &count, &size)) {
        return NULL;
    }
    if (!PyType_IsSubtype((PyTypeObject *)request, plain_request_type) || line < 0 || count < 1 || size < 0) {
        PyErr_SetString(PyExc_ValueError, "expected a class of PlainRequest, and limits that are not negative");
        return NULL;
    }
    CleanHeads *self = (CleanHeads *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->keys = Py_NewRef(keys);
    self->verdicts[0] = Py_NewRef(verdicts[0]);
    self->verdicts[1] = Py_NewRef(verdicts[1]);
    self->unquote = Py_NewRef(unquote);
    self->schemes = Py_NewRef(schemes);
    self->tell_scheme = Py_NewRef(tell_scheme);
    self->request = (PyTypeObject *)Py_NewRef(request);
    self->line = line;
    self->count = count > MOST_FIELDS ? MOST_FIELDS : count;
    self->size = size;
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))read_bytes, METH_FASTCALL, read_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Reads the heads of clean requests, with one process's settings."},
    {Py_tp_new, create_heads},
    {Py_tp_dealloc, free_heads},
    {Py_tp_traverse, traverse_heads},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec clean_heads_spec = {
    .name = "nodecluster_compat._native.CleanHeads",
    .basicsize = sizeof(CleanHeads),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
