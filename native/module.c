/* Offer the module nodecluster_compat._native; base/native.py decides whether it is used. */

#include "native.h"

#include "standby.h"

#ifndef NODECLUSTER_VERSION
#error "the build names the version that the extension belongs to: see native/building.py"
#endif

#define STRING_OF(text) #text
#define TEXT_OF(macro) STRING_OF(macro)
#define BUILT_FOR TEXT_OF(PY_MAJOR_VERSION) "." TEXT_OF(PY_MINOR_VERSION) "."

/* Refuse an interpreter with whose headers the extension was not built. */
static int
check_interpreter(void)
{
    const char *running = Py_GetVersion();
    if (strncmp(running, BUILT_FOR, strlen(BUILT_FOR)) == 0) {
        return 0;
    }
    PyErr_Format(PyExc_ImportError, "it was built with the headers of Python %sx, and this is %.20s", BUILT_FOR, running);
    return -1;
}

static int is_loaded;

/* Make a type, and add it; a file that compares with its type finds it in `kept`, for good. */
static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **kept)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL) {
        return -1;
    }
    int result = PyModule_AddType(module, (PyTypeObject *)type);
    if (kept != NULL && result == 0) {
        PyTypeObject *old = *kept;
        *kept = (PyTypeObject *)Py_NewRef(type);
        Py_XDECREF(old);
    }
    Py_DECREF(type);
    return result;
}

static int
add_types(PyObject *module)
{
    struct {
        PyType_Spec *spec;
        PyTypeObject **kept;
    } types[] = {
        {&request_stores_spec, NULL},       {&plain_request_spec, &plain_request_type}, {&clean_heads_spec, &clean_heads_type},
        {&answers_spec, &answers_type},     {&plain_answer_spec, &plain_answer_type},   {&turns_spec, &turns_type},
        {&errors_stream_spec, NULL},        {&request_ids_spec, &request_ids_type},
        {&clean_turn_spec, &clean_turn_type}, {&held_reader_spec, &held_reader_type},
        {&dealings_spec, &dealings_type},   {&accepting_spec, &accepting_type},         {&dealing_turns_spec, NULL},
        {&guarded_spec, NULL},              {&delivery_spec, NULL},                     {&inbox_spec, NULL},
        {&reading_spec, NULL},              {&slice_spec, &slice_type},                 {&post_spec, NULL},
        {&taking_spec, NULL},               {&feeding_spec, NULL},
        {&greenlets_spec, &greenlets_type}, {&request_slots_spec, NULL},                {&standby_spec, &standby_type},
        {&shared_number_spec, &shared_number_type},
    };
    for (int number = 0; number < COUNT_OF(types); number++) {
        if (add_type(module, types[number].spec, types[number].kept) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
add_functions(PyObject *module)
{
    PyMethodDef *const functions[] = {
        clean_head_functions, peeking_functions,      engineio_functions,     parent_death_functions,
        immortal_functions,   answer_heads_functions, publications_functions, choosing_functions, json_strings_functions,
    };
    for (int number = 0; number < COUNT_OF(functions); number++) {
        if (PyModule_AddFunctions(module, functions[number]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Make what is needed by functions, and by types that Python can make without arguments. */
static int
prepare(void)
{
    return prepare_clean_head() < 0 || prepare_clean_turn() < 0 || prepare_plain_answers() < 0 ? -1 : 0;
}

/* Files compare with the types of this process, and those of a second module would be others. */
static int
check_that_it_is_the_first(void)
{
    if (is_loaded) {
        PyErr_SetString(PyExc_ImportError, "this process has loaded it before");
    }
    return is_loaded ? -1 : 0;
}

static int
execute(PyObject *module)
{
    if (check_interpreter() < 0 || check_that_it_is_the_first() < 0
        || PyModule_AddStringConstant(module, "VERSION", NODECLUSTER_VERSION) < 0
        || PyModule_AddStringConstant(module, "SOURCES", NODECLUSTER_SOURCES) < 0 || prepare() < 0) {
        return -1;
    }
    is_loaded = add_functions(module) == 0 && add_types(module) == 0;
    return is_loaded ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "nodecluster_compat._native",
    .m_doc = "The compiled twins of what runs for every request.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
