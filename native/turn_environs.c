/* Complete the environ of a request, and make its response; twin of _begun() in _gunicorn/requests/clean_connection.py.

   What all environs share is in the copy that its head was read into (clean_reader.c); what belongs to one request is
   put here. */

#include "clean_turn.h"

static PyObject *request_method, *head_method, *wsgi_errors, *early_hints;

int
prepare_environs(void)
{
    static const Name names[] = {
        {&request_method, "REQUEST_METHOD"},
        {&head_method, "HEAD"},
        {&wsgi_errors, "wsgi.errors"},
        {&early_hints, "wsgi.early_hints"},
    };
    return make_names(names, COUNT_OF(names));
}

/* Make what sends early hints: a function, as gunicorn's, that knows its response. */
static PyObject *
hints_of(PyObject *template, PyObject *response)
{
    PyObject *cell = PyCell_New(response), *closure = cell == NULL ? NULL : PyTuple_Pack(1, cell);
    PyObject *function =
        closure == NULL ? NULL : PyFunction_New(PyFunction_GET_CODE(template), PyFunction_GET_GLOBALS(template));
    if (function != NULL && PyFunction_SetClosure(function, closure) < 0) {
        Py_CLEAR(function);
    }
    Py_XDECREF(cell);
    Py_XDECREF(closure);
    return function;
}

/* Make what tells whether the client has left: as its class does, which only keeps the response. */
static PyObject *
gone_of(CleanTurn *self, PyObject *response)
{
    PyTypeObject *type = (PyTypeObject *)common(self, GONE);
    PyObject *gone = type->tp_alloc(type, 0);
    if (gone != NULL) {
        set_field(slot_at(gone, ((Turns *)self->fields[TURNS])->response_of_gone), Py_NewRef(response));
    }
    return gone;
}

static int
is_head_method(PyObject *environ)
{
    PyObject *method = PyDict_GetItemWithError(environ, request_method);
    return method != NULL && PyUnicode_Compare(method, head_method) == 0;
}

/* Complete the environ, and make the response. */
int
complete_environ(CleanTurn *self, Served *served)
{
    PyTypeObject *kind = (PyTypeObject *)common(self, RESPONSE);
    PyObject *environ = served->environ, *hints = common(self, HINTS);
    served->response = new_answer(kind, common(self, ANSWERS), served->request, self->fields[SOCKET],
                                  is_head_method(environ));
    if (served->response == NULL || put(environ, wsgi_errors, PyObject_CallOneArg(common(self, ERRORS), common(self, CFG))) < 0) {
        return -1;
    }
    if (hints != Py_None && put(environ, early_hints, hints_of(hints, served->response)) < 0) {
        return -1;
    }
    served->gone = gone_of(self, served->response);
    return served->gone == NULL ? -1 : PyDict_SetItem(environ, common(self, GONE_KEY), served->gone);
}
