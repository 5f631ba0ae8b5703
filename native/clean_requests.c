/* Read the head of a clean request: bytes in, a request and its environ out; twin of _gunicorn/requests/clean_requests.py.

   picohttpparser finds the parts of a head, in the state in which gunicorn_h1c has it (every line ends with CRLF).  What
   is taken here is less than gunicorn_h1c takes and the Python twin finds clean:

   * the first line is an ordinary method, a target of the characters that the twin's expression has, and HTTP/1.0 or 1.1;
   * the name of every field has been met before, so Python has found it ordinary (`keys`); none occurs twice;
   * a length of the body is digits, and what Connection says has been judged before (`verdicts`);
   * one field at most says the scheme on behalf of a proxy, which Python judges (`tell_scheme`).

   Everything else is left to the twin, which reads the same bytes from the beginning.  Nothing is remembered here but
   where in `keys` a spelling was found, in a table of a fixed size. */

#include "native.h"

#include "picohttpparser.h"

#include <stdint.h>
#include <string.h>

#define MOST_FIELDS 100
#define KNOWN 512 /* a power of two */
#define LONGEST_METHOD 20
#define MOST_DIGITS 18

/* --- requests ------------------------------------------------------------------------------- */

enum { LINE, MINOR, LENGTH, BODY, ENDS, STARTED, MUST_CLOSE, REQUEST_FIELDS };

typedef struct {
    PyObject_HEAD
    PyObject *fields[REQUEST_FIELDS];
} PlainRequest;

PyTypeObject *plain_request_type;

static int
traverse_request(PlainRequest *self, visitproc visit, void *arg)
{
    return visit_fields((PyObject *)self, self->fields, REQUEST_FIELDS, visit, arg);
}

static int
clear_request(PlainRequest *self)
{
    clear_fields(self->fields, REQUEST_FIELDS);
    return 0;
}

static void
free_request(PlainRequest *self)
{
    free_record((PyObject *)self, self->fields, REQUEST_FIELDS);
}

/* What a class has for all its instances where Python makes them: nothing was said yet. */
static PyObject *
get_or(PlainRequest *self, void *place)
{
    PyObject *field = self->fields[(intptr_t)place];
    return Py_NewRef(field != NULL ? field : (intptr_t)place == MUST_CLOSE ? Py_False : Py_None);
}

static int
set_or(PlainRequest *self, PyObject *value, void *place)
{
    set_field(&self->fields[(intptr_t)place], Py_XNewRef(value));
    return 0;
}

static PyMemberDef request_members[] = {
    FIELD(PlainRequest, "line", LINE),
    FIELD(PlainRequest, "minor_version", MINOR),
    FIELD(PlainRequest, "length", LENGTH),
    FIELD(PlainRequest, "body", BODY),
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef request_getters[] = {
    {"ends", (getter)get_or, (setter)set_or, NULL, (void *)ENDS},
    {"started", (getter)get_or, (setter)set_or, NULL, (void *)STARTED},
    {"must_close", (getter)get_or, (setter)set_or, NULL, (void *)MUST_CLOSE},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "The attributes of a clean request that every request needs."},
    {Py_tp_dealloc, free_request},
    {Py_tp_traverse, traverse_request},
    {Py_tp_clear, clear_request},
    {Py_tp_members, request_members},
    {Py_tp_getset, request_getters},
    {0, NULL},
};

PyType_Spec plain_request_spec = {
    .name = "nodecluster_compat._native.PlainRequest",
    .basicsize = sizeof(PlainRequest),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = request_slots,
};

int
is_plain_request(PyObject *request)
{
    return PyObject_TypeCheck(request, plain_request_type);
}

void
set_body(PyObject *request, PyObject *body)
{
    set_field(&((PlainRequest *)request)->fields[BODY], body);
}

void
set_started(PyObject *request, PyObject *started)
{
    set_field(&((PlainRequest *)request)->fields[STARTED], started);
}

PyObject *
line_of(PyObject *request)
{
    return ((PlainRequest *)request)->fields[LINE];
}

/* The minor version; -1: it is not known here. */
int
minor_of(PyObject *request)
{
    PyObject *minor = is_plain_request(request) ? ((PlainRequest *)request)->fields[MINOR] : NULL;
    return minor == NULL || !PyLong_CheckExact(minor) ? -1 : (int)(PyLong_AsLong(minor) == 1);
}

/* Whether the connection ends with the answer, as far as the request says; -1: an exception. */
int
ends_connection(PyObject *request)
{
    if (is_plain_request(request)) {
        PyObject **fields = ((PlainRequest *)request)->fields;
        if (fields[MUST_CLOSE] == Py_True) {
            return 1;
        }
        if ((fields[MUST_CLOSE] == NULL || fields[MUST_CLOSE] == Py_False) && fields[ENDS] != NULL
            && PyBool_Check(fields[ENDS])) {
            return fields[ENDS] == Py_True;
        }
    }
    PyObject *said = PyObject_CallMethod(request, "should_close", NULL);
    int result = said == NULL ? -1 : PyObject_IsTrue(said);
    Py_XDECREF(said);
    return result;
}

/* --- what reads them ------------------------------------------------------------------------ */

typedef struct {
    PyObject *spelling; /* bytes */
    PyObject *known;    /* str */
} Known;

typedef struct {
    PyObject_HEAD
    PyObject *keys;        /* {name: key}, filled by the twin */
    PyObject *verdicts[2]; /* by minor version: {value of Connection: whether the connection ends} */
    PyObject *unquote;
    PyObject *schemes;     /* keys in which a proxy says the scheme */
    PyObject *tell_scheme; /* is asked where one of them is there */
    PyTypeObject *request;
    Py_ssize_t line, count, size; /* limits */
    Known names[KNOWN];
} CleanHeads;

PyTypeObject *clean_heads_type;

static PyObject *request_method, *raw_uri, *query_string, *path_info, *server_protocol, *protocols[2], *nothing, *get,
    *post, *http_connection, *content_length, *numbers[2];
static unsigned char in_path[256], in_query[256];

static void
allow(unsigned char *table, const char *characters)
{
    for (; *characters; characters++) {
        table[(unsigned char)*characters] = 1;
    }
}

static int
prepare(void)
{
    static const Name names[] = {
        {&request_method, "REQUEST_METHOD"},   {&raw_uri, "RAW_URI"},
        {&query_string, "QUERY_STRING"},       {&path_info, "PATH_INFO"},
        {&server_protocol, "SERVER_PROTOCOL"}, {&protocols[0], "HTTP/1.0"},
        {&protocols[1], "HTTP/1.1"},           {&nothing, ""},
        {&get, "GET"},                         {&post, "POST"},
        {&http_connection, "HTTP_CONNECTION"}, {&content_length, "CONTENT_LENGTH"},
    };
    static const char ordinary[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~!$&'()*+,;=:@%/-";
    allow(in_path, ordinary);
    allow(in_query, ordinary);
    allow(in_query, "?");
    for (int minor = 0; minor < 2; minor++) {
        if (numbers[minor] == NULL && (numbers[minor] = PyLong_FromLong(minor)) == NULL) {
            return -1;
        }
    }
    return make_names(names, COUNT_OF(names));
}

/* --- the first line ------------------------------------------------------------------------- */

typedef struct {
    const char *method, *target;
    size_t method_size, target_size, path_size;
    int minor, is_escaped;
    struct phr_header fields[MOST_FIELDS];
    size_t count;
} Parsed;

static int
is_ordinary_method(const Parsed *parsed)
{
    if (parsed->method_size < 3 || parsed->method_size > LONGEST_METHOD) {
        return 0;
    }
    for (size_t at = 0; at < parsed->method_size; at++) {
        if (parsed->method[at] < 'A' || parsed->method[at] > 'Z') {
            return 0;
        }
    }
    return parsed->method_size != 7 || memcmp(parsed->method, "CONNECT", 7) != 0;
}

/* Find out whether a target is ordinary, where its path ends, and whether that has escapes. */
static int
is_ordinary_target(Parsed *parsed)
{
    const char *target = parsed->target;
    size_t at = 0, size = parsed->target_size;
    if (target[0] != '/' || (size > 1 && target[1] == '/')) {
        return 0;
    }
    for (parsed->is_escaped = 0; at < size && in_path[(unsigned char)target[at]]; at++) {
        parsed->is_escaped |= target[at] == '%';
    }
    parsed->path_size = at;
    if (at < size && target[at] == '?') {
        for (at++; at < size && in_query[(unsigned char)target[at]]; at++) {
        }
    }
    return at == size;
}

/* One space each, and nothing in front: as they are, parts that are apart by something else are not clean. */
static int
is_ordinary_line(CleanHeads *self, Parsed *parsed, const char *begin)
{
    const char *end = parsed->target + parsed->target_size;
    return parsed->method == begin && parsed->target == begin + parsed->method_size + 1 && end[1] == 'H'
           && (parsed->minor == 0 || parsed->minor == 1) && end + 9 - begin <= self->line && is_ordinary_method(parsed)
           && is_ordinary_target(parsed);
}

static PyObject *
text_of(const char *begin, size_t size)
{
    return PyUnicode_DecodeLatin1(begin, (Py_ssize_t)size, NULL);
}

static PyObject *
method_text(const Parsed *parsed)
{
    if (parsed->method_size == 3 && memcmp(parsed->method, "GET", 3) == 0) {
        return Py_NewRef(get);
    }
    if (parsed->method_size == 4 && memcmp(parsed->method, "POST", 4) == 0) {
        return Py_NewRef(post);
    }
    return text_of(parsed->method, parsed->method_size);
}

static PyObject *
path_text(CleanHeads *self, const Parsed *parsed)
{
    PyObject *path = text_of(parsed->target, parsed->path_size);
    if (path == NULL || !parsed->is_escaped) {
        return path;
    }
    PyObject *plain = PyObject_CallOneArg(self->unquote, path);
    Py_DECREF(path);
    return plain;
}

/* Put text into an environ; takes the reference to it, NULL is an exception that was raised. */
static int
put(PyObject *environ, PyObject *key, PyObject *text)
{
    int result = text == NULL ? -1 : PyDict_SetItem(environ, key, text);
    Py_XDECREF(text);
    return result;
}

static int
put_line(CleanHeads *self, PyObject *environ, const Parsed *parsed)
{
    size_t query_at = parsed->path_size + 1;
    if (put(environ, request_method, method_text(parsed)) < 0
        || put(environ, server_protocol, Py_NewRef(protocols[parsed->minor])) < 0
        || put(environ, raw_uri, text_of(parsed->target, parsed->target_size)) < 0) {
        return -1;
    }
    PyObject *query = query_at < parsed->target_size
                          ? text_of(parsed->target + query_at, parsed->target_size - query_at)
                          : Py_NewRef(nothing);
    return put(environ, query_string, query) < 0 ? -1 : put(environ, path_info, path_text(self, parsed));
}

/* --- fields --------------------------------------------------------------------------------- */

static size_t
place_of(const char *name, size_t size)
{
    uint32_t hash = 2166136261u; /* FNV-1a: whoever makes names collide is served as slowly as with new ones */
    for (size_t at = 0; at < size; at++) {
        hash = (hash ^ (unsigned char)name[at]) * 16777619u;
    }
    return (hash ^ (hash >> 16)) & (KNOWN - 1);
}

/* Return the key of a name, borrowed; NULL: it is not known, or an exception. */
static PyObject *
key_of(CleanHeads *self, const char *name, size_t size)
{
    Known *place = &self->names[place_of(name, size)];
    if (place->spelling != NULL && (size_t)PyBytes_GET_SIZE(place->spelling) == size
        && memcmp(PyBytes_AS_STRING(place->spelling), name, size) == 0) {
        return place->known;
    }
    PyObject *spelling = PyBytes_FromStringAndSize(name, (Py_ssize_t)size);
    PyObject *key = spelling == NULL ? NULL : PyDict_GetItemWithError(self->keys, spelling);
    if (key == NULL || !PyUnicode_CheckExact(key)) {
        Py_XDECREF(spelling);
        return NULL;
    }
    set_field(&place->spelling, spelling);
    set_field(&place->known, Py_NewRef(key));
    return key;
}

/* Put the fields into an environ; 0: one of them is not known, or is there already. */
static int
put_fields(CleanHeads *self, PyObject *environ, const Parsed *parsed)
{
    for (size_t number = 0; number < parsed->count; number++) {
        const struct phr_header *field = &parsed->fields[number];
        if (field->name == NULL || (Py_ssize_t)(field->name_len + field->value_len + 4) > self->size) {
            return 0;
        }
        PyObject *key = key_of(self, field->name, field->name_len);
        if (key == NULL) {
            return PyErr_Occurred() ? -1 : 0;
        }
        Py_ssize_t before = PyDict_GET_SIZE(environ);
        PyObject *text = text_of(field->value, field->value_len);
        PyObject *found = text == NULL ? NULL : PyDict_SetDefault(environ, key, text);
        Py_XDECREF(text);
        if (found == NULL) {
            return -1;
        }
        if (PyDict_GET_SIZE(environ) == before) {
            return 0;
        }
    }
    return 1;
}

/* Read the length of the body; 0: it is not only digits, or too many. */
static int
read_length(PyObject *environ, Py_ssize_t *length)
{
    *length = 0;
    PyObject *text = PyDict_GetItemWithError(environ, content_length);
    if (text == NULL) {
        return PyErr_Occurred() ? -1 : 1;
    }
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    if (!PyUnicode_IS_COMPACT_ASCII(text) || size < 1 || size > MOST_DIGITS) {
        return 0;
    }
    const char *digits = (const char *)PyUnicode_1BYTE_DATA(text);
    for (Py_ssize_t at = 0; at < size; at++) {
        if (digits[at] < '0' || digits[at] > '9') {
            return 0;
        }
        *length = *length * 10 + (digits[at] - '0');
    }
    return 1;
}

/* Find out what Connection says, borrowed; NULL: nobody has judged it yet, or an exception. */
static PyObject *
verdict_of(CleanHeads *self, PyObject *environ, int minor)
{
    PyObject *said = PyDict_GetItemWithError(environ, http_connection);
    if (said == NULL && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *verdict = PyDict_GetItemWithError(self->verdicts[minor], said == NULL ? Py_None : said);
    return verdict == Py_True || verdict == Py_False ? verdict : NULL;
}

/* --- a head --------------------------------------------------------------------------------- */

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

/* --- making it ------------------------------------------------------------------------------ */

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
