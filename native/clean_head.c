/* Put the head of a clean request into its environ; twin of _gunicorn/requests/clean_head.py.

   The parser has been here before: fields are pairs of bytes that it has checked.  A field that is anything else, or
   whose name has not been met before, is left to Python, which goes on after it. */

#include "clean_reader.h"

enum { TAKEN, UNKNOWN, TWICE };

static PyObject *request_method, *raw_uri, *query_string, *path_info, *server_protocol, *protocols[2], *nothing;

/* Make the names that every environ has, once. */
int
prepare_clean_head(void)
{
    static const Name names[] = {
        {&request_method, "REQUEST_METHOD"},
        {&raw_uri, "RAW_URI"},
        {&query_string, "QUERY_STRING"},
        {&path_info, "PATH_INFO"},
        {&nothing, ""},
        {&server_protocol, "SERVER_PROTOCOL"},
        {&protocols[0], "HTTP/1.0"},
        {&protocols[1], "HTTP/1.1"},
    };
    return make_names(names, COUNT_OF(names));
}

static PyObject *
text_between(const char *begin, const char *end)
{
    return text_of(begin, (size_t)(end - begin));
}

/* --- fields --------------------------------------------------------------------------------- */

/* Take one field; TAKEN, UNKNOWN, TWICE, or -1 for an exception. */
static int
take_field(PyObject *environ, PyObject *keys, PyObject *field)
{
    if (!PyTuple_Check(field) || PyTuple_GET_SIZE(field) != 2) {
        return UNKNOWN;
    }
    PyObject *name = PyTuple_GET_ITEM(field, 0), *value = PyTuple_GET_ITEM(field, 1);
    if (!PyBytes_CheckExact(name) || !PyBytes_CheckExact(value)) {
        return UNKNOWN;
    }
    PyObject *key = Py_XNewRef(PyDict_GetItemWithError(keys, name));
    if (key == NULL) {
        return PyErr_Occurred() ? -1 : UNKNOWN;
    }
    Py_ssize_t before = PyDict_GET_SIZE(environ);
    PyObject *text = text_of(PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value));
    PyObject *found = text == NULL ? NULL : PyDict_SetDefault(environ, key, text);
    Py_XDECREF(text);
    Py_DECREF(key);
    if (found == NULL) {
        return -1;
    }
    return PyDict_GET_SIZE(environ) == before ? TWICE : TAKEN;
}

static const char take_fields_doc[] =
    "take_fields(environ, keys, fields, start)\n--\n\n"
    "Put fields into an environ; return where it stopped: after them, at one that is not known, -1 at one that is there.";

static PyObject *
take_fields(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || !PyDict_CheckExact(args[0]) || !PyDict_CheckExact(args[1]) || !PyTuple_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "take_fields() takes an environ, a dict of keys, a tuple of fields and a start");
        return NULL;
    }
    Py_ssize_t index = PyLong_AsSsize_t(args[3]);
    if (index < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_IndexError, "expected a start of 0 or more");
        }
        return NULL;
    }
    for (; index < PyTuple_GET_SIZE(args[2]); index++) {
        int outcome = take_field(args[0], args[1], PyTuple_GET_ITEM(args[2], index));
        if (outcome < 0) {
            return NULL;
        }
        if (outcome != TAKEN) {
            return PyLong_FromSsize_t(outcome == TWICE ? -1 : index);
        }
    }
    return PyLong_FromSsize_t(index);
}

/* --- the first line ------------------------------------------------------------------------- */

/* Put the target into an environ, in its parts; PATH_INFO only if nothing in it is escaped. */
static int
put_target(PyObject *environ, const char *begin, const char *end)
{
    const char *mark = memchr(begin, '?', (size_t)(end - begin)), *path_end = mark == NULL ? end : mark;
    int is_escaped = memchr(begin, '%', (size_t)(path_end - begin)) != NULL;
    if (put(environ, raw_uri, text_between(begin, end)) < 0
        || put(environ, query_string, mark == NULL ? Py_NewRef(nothing) : text_between(mark + 1, end)) < 0
        || (!is_escaped && put(environ, path_info, text_between(begin, path_end)) < 0)) {
        return -1;
    }
    return is_escaped;
}

static const char take_line_doc[] =
    "take_line(environ, method, target, minor_version)\n--\n\n"
    "Put the first line into an environ; return whether the path is still to be unescaped.";

static PyObject *
take_line(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || !PyDict_CheckExact(args[0]) || !PyBytes_Check(args[1]) || !PyBytes_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "take_line() takes an environ, two bytes objects and a minor version");
        return NULL;
    }
    long minor = PyLong_AsLong(args[3]);
    if (minor != 0 && minor != 1) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_IndexError, "expected a minor version of 0 or 1, got %ld", minor);
        }
        return NULL;
    }
    PyObject *environ = args[0];
    const char *method = PyBytes_AS_STRING(args[1]), *target = PyBytes_AS_STRING(args[2]);
    if (put(environ, request_method, text_of(method, (size_t)PyBytes_GET_SIZE(args[1]))) < 0
        || put(environ, server_protocol, Py_NewRef(protocols[minor])) < 0) {
        return NULL;
    }
    int is_escaped = put_target(environ, target, target + PyBytes_GET_SIZE(args[2]));
    return is_escaped < 0 ? NULL : PyBool_FromLong(is_escaped);
}

PyMethodDef clean_head_functions[] = {
    {"take_fields", (PyCFunction)(void (*)(void))take_fields, METH_FASTCALL, take_fields_doc},
    {"take_line", (PyCFunction)(void (*)(void))take_line, METH_FASTCALL, take_line_doc},
    {NULL, NULL, 0, NULL},
};
