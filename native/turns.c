/* Keep what the connections of a worker have in common, as Turns in _gunicorn/requests/clean_connection.py.

   It is made once, and read for every request: what is checked here needs no check there. */

#include "clean_turn.h"

PyTypeObject *turns_type;

PyObject *number_zero, *number_one, *no_bytes;

int
prepare_turns(void)
{
    if ((number_zero == NULL && (number_zero = PyLong_FromLong(0)) == NULL)
        || (number_one == NULL && (number_one = PyLong_FromLong(1)) == NULL)) {
        return -1;
    }
    return no_bytes == NULL && (no_bytes = PyBytes_FromStringAndSize("", 0)) == NULL ? -1 : 0;
}

static int
traverse_turns(Turns *self, visitproc visit, void *arg)
{
    Py_VISIT(self->first);
    Py_VISIT(self->hub);
    return visit_fields((PyObject *)self, self->fields, TURNS_FIELDS, visit, arg);
}

/* The fields are set once (records.c). */
static int
clear_turns(Turns *self)
{
    forget_ready(self);
    Py_CLEAR(self->hub);
    return 0;
}

static void
free_turns(Turns *self)
{
    PyObject_GC_UnTrack(self);
    clear_turns(self);
    free_record((PyObject *)self, self->fields, TURNS_FIELDS);
}

static PyObject *
create_turns(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"heads", "answers", "response", "worker",  "alive",      "begin",    "end",     "access_log",
                            "variables", "hints", "errors", "cfg",     "no_body",    "known_body", "gone",  "key",
                            "current",   "hub_of", "switch", "watch",  "unwatch",    "waits",    "bases",   "is_timed",
                            "most",      NULL};
    PyObject *given[TURNS_FIELDS];
    Py_ssize_t most;
    if (!PyArg_ParseTupleAndKeywords(
            args, named, "O!O!O!OUOOOO!OOOO!O!O!UOOOOOOO!O!n:Turns", names, clean_heads_type, &given[HEADS], answers_type,
            &given[ANSWERS], &PyType_Type, &given[RESPONSE], &given[WORKER], &given[ALIVE], &given[BEGIN], &given[END],
            &given[ACCESS_LOG], &PyDict_Type, &given[VARIABLES], &given[HINTS], &given[ERRORS], &given[CFG], &PyType_Type,
            &given[NO_BODY], &PyType_Type, &given[KNOWN_BODY], &PyType_Type, &given[GONE], &given[GONE_KEY],
            &given[CURRENT], &given[HUB_OF], &given[SWITCH], &given[WATCH], &given[UNWATCH], &given[IDLE_LIMIT],
            &PyDict_Type, &given[BASES], &PyBool_Type, &given[TIMED], &most)) {
        return NULL;
    }
    if (!PyType_IsSubtype((PyTypeObject *)given[RESPONSE], plain_answer_type) || most < 1 || most > MOST_AT_ONCE
        || (given[HINTS] != Py_None && !PyFunction_Check(given[HINTS]))) {
        PyErr_SetString(PyExc_ValueError, "expected a class of PlainAnswer, a function or None, and some kibibytes");
        return NULL;
    }
    static const char *const of_gone[] = {"response"};
    Py_ssize_t response_of_gone;
    if (find_slots(given[GONE], of_gone, &response_of_gone, 1) < 0) {
        return NULL;
    }
    Turns *self = (Turns *)type->tp_alloc(type, 0);
    for (int place = 0; self != NULL && place < TURNS_FIELDS; place++) {
        self->fields[place] = Py_NewRef(given[place]);
    }
    if (self != NULL) {
        self->most = most;
        self->response_of_gone = response_of_gone;
    }
    return (PyObject *)self;
}

static PyType_Slot turns_slots[] = {
    {Py_tp_doc, "What the connections of a worker have in common."},
    {Py_tp_new, create_turns},
    {Py_tp_dealloc, free_turns},
    {Py_tp_traverse, traverse_turns},
    {Py_tp_clear, clear_turns},
    {0, NULL},
};

PyType_Spec turns_spec = {
    .name = "nodecluster_compat._native.Turns",
    .basicsize = sizeof(Turns),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = turns_slots,
};
