/* Find whose session of Engine.IO a request is; twin of EngineIO.look in routing/engineio.py. */

#define _GNU_SOURCE /* memmem, memrchr */
#include "native.h"

#include <string.h>

#define ORIGINAL 20 /* characters of Engine.IO's own id */
#define MOST_DIGITS 10

static int
is_of_id(char one)
{
    return Py_ISALNUM(one) || one == '_' || one == '-';
}

static int
is_dot(const char *at, const char *end, Py_ssize_t *size)
{
    *size = *at == '.' ? 1 : 3;
    return *at == '.' || (end - at >= 3 && at[0] == '%' && at[1] == '2' && (at[2] == 'E' || at[2] == 'e'));
}

/* Return the number that a stamped id ends in, up to its end at "&" or " "; 0: this is none. */
static long long
number_of(const char *at, const char *end)
{
    long long number = 0;
    int digits = 0;
    for (; at < end && Py_ISDIGIT(*at) && digits < MOST_DIGITS; at++, digits++) {
        if (digits == 0 && *at == '0') {
            return 0;
        }
        number = 10 * number + (*at - '0');
    }
    return digits > 0 && at < end && (*at == '&' || *at == ' ') ? number : 0;
}

/* Return the number in the id that begins here; 0: this is none. */
static long long
worker_in(const char *at, const char *end)
{
    Py_ssize_t size;
    if (end - at < ORIGINAL + 2) {
        return 0;
    }
    for (int index = 0; index < ORIGINAL; index++) {
        if (!is_of_id(at[index])) {
            return 0;
        }
    }
    return is_dot(at + ORIGINAL, end, &size) ? number_of(at + ORIGINAL + size, end) : 0;
}

/* Return the worker that the first line in `data` names, the last one if there are several; 0 for none. */
long long
engineio_worker(const char *data, Py_ssize_t size)
{
    static const char sid[] = "sid=";
    const Py_ssize_t length = sizeof(sid) - 1;
    if (memmem(data, (size_t)size, "EIO=", 4) == NULL) {
        return 0;
    }
    const char *newline = memchr(data, '\n', (size_t)size), *end = newline == NULL ? data + size : newline;
    for (const char *stop = end; (stop = memrchr(data, '=', (size_t)(stop - data))) != NULL;) {
        if (stop - data < length) {
            break;
        }
        const char *before = stop - length; /* what would be the "?" or "&" of "?sid=" */
        if ((*before == '?' || *before == '&') && memcmp(before + 1, sid, (size_t)length) == 0) {
            long long worker = worker_in(stop + 1, end);
            if (worker != 0) {
                return worker;
            }
        }
    }
    return 0;
}

static const char look_doc[] = "look(data)\n--\n\nReturn the worker to which the first request in data belongs; 0: none is named.";

static PyObject *
look(PyObject *module, PyObject *data)
{
    if (!PyBytes_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "look() takes bytes");
        return NULL;
    }
    return PyLong_FromLongLong(engineio_worker(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)));
}

PyMethodDef engineio_functions[] = {
    {"look", look, METH_O, look_doc},
    {NULL, NULL, 0, NULL},
};
